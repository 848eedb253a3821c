//! wip
use std::{path::Path, process::ExitCode};
pub(super) fn run(_config: &Path) -> anyhow::Result<ExitCode> {
    anyhow::bail!("wip")
}
