//! `mmr-server render-worker`: what the server starts to render thumbnails in.

use std::process::ExitCode;

use anyhow::Context as _;
use mmr_core::thumbnail::{formats, worker};

pub(super) fn run() -> anyhow::Result<ExitCode> {
    worker::run(&formats::native_renderers()).context("the server is gone")?;
    Ok(ExitCode::SUCCESS)
}
