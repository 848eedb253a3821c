//! `mmr-server render-program`: what the server starts to make pictures of videos, Opus and HEIC with programs of others.

use std::{ffi::OsString, process::ExitCode};

use mmr_core::thumbnail::programs;

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    programs::run(arguments)
}
