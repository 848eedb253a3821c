//! `mmr-server serve`.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub(super) fn run(_config: &Path) -> anyhow::Result<ExitCode> {
    anyhow::bail!("wip")
}

/// The runtime of every command that serves.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot be started")
}

/// Cancelled by SIGINT or SIGTERM; the second one ends the process.
pub(super) fn shutdown_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    #[expect(
        clippy::disallowed_methods,
        reason = "this task is what shutdown begins with, and lives until the end"
    )]
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        for second in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if second {
                std::process::exit(130);
            }
            tracing::info!("stopping; a second signal stops at once");
            cancelled.cancel();
        }
    });
    token
}
