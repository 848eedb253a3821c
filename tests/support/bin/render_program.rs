//! Becomes a program, locked in, for tests: `test-render-program TAG SETUP PROGRAM ARGUMENT...`.

use std::process::ExitCode;

use mmr_core::thumbnail::programs;

fn main() -> ExitCode {
    programs::run(std::env::args_os().skip(2))
}
