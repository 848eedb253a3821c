//! The side of the process that becomes a program.

use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode},
};

use serde::{Deserialize, Serialize};

use crate::thumbnail::worker::sandbox;

/// What the first argument says. The program and its arguments follow.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) memory_bytes: u64,
    pub(super) cpu_seconds: u64,
    /// What the program may read besides itself and the libraries of the system.
    pub(super) directory: PathBuf,
    /// Files that the program may write to.
    pub(super) writable: Vec<PathBuf>,
}

/// The exit code of a process that did not become a program.
pub(super) const NOT_STARTED: u8 = 121;

/// Before what the kernel does not have, on standard error.
pub(super) const MISSING: &str = "not locked in: ";

/// Locks this process in and becomes the program that the arguments name. Returns only when that fails.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let error = become_program(arguments.into_iter());
    eprintln!("{error}");
    ExitCode::from(NOT_STARTED)
}

fn become_program(mut arguments: impl Iterator<Item = OsString>) -> io::Error {
    let (Some(setup), Some(program)) = (arguments.next(), arguments.next()) else {
        return io::Error::other("a setup and a program belong here, from the server that starts this");
    };
    let Setup { memory_bytes, cpu_seconds, directory, writable } =
        match serde_json::from_slice(setup.as_encoded_bytes()) {
            Ok(setup) => setup,
            Err(error) => return error.into(),
        };
    let program = PathBuf::from(program);
    // Made first, as there may be no memory left for it afterwards.
    let mut command = Command::new(&program);
    command.args(arguments).env_clear();
    let rules =
        sandbox::ProgramRules { memory_bytes, cpu_seconds, readable: vec![program, directory], writable };
    for missing in sandbox::enter_for_program(&rules) {
        eprintln!("{MISSING}{missing}");
    }
    command.exec()
}
