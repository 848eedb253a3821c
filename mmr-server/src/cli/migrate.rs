//! `mmr-server migrate`.
use clap::Args;
use std::{path::Path, process::ExitCode};
/// Options of `mmr-server migrate`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only show what would be done.
    #[arg(long)]
    dry_run: bool,
}
pub(super) fn run(_config: &Path, _options: &Options) -> anyhow::Result<ExitCode> {
    anyhow::bail!("wip")
}
