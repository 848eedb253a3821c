//! The server binary; everything is in the library.

use std::process::ExitCode;

// glibc keeps an arena per thread, and bursts of large buffers stay in them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mmr_server::cli::run(std::env::args_os())
}
