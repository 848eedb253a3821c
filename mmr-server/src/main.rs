//! The server binary; everything is in the library.

use std::process::ExitCode;

// glibc keeps an arena per thread, and bursts of large buffers stay in them. Huge pages are off (`no_thp`): with them an idle
// server took 18 MB of memory of its own instead of 5, and four downloads 85 MB instead of 30.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mmr_server::cli::run(std::env::args_os())
}
