//! `mmr-server serve`.

use std::{path::Path, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use mmr_core::datastore::{CachedDatastore, Datastore};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub(super) fn run(_config: &Path) -> anyhow::Result<ExitCode> {
    anyhow::bail!("wip")
}

/// Puts hot media in memory, up to `bytes` altogether.
pub(super) fn cached(datastore: Arc<dyn Datastore>, bytes: u64) -> Arc<dyn Datastore> {
    match bytes {
        0 => datastore,
        // No object may push out more than a sixteenth of the others.
        _ => Arc::new(CachedDatastore::new(datastore, bytes, bytes / 16)),
    }
}

/// The runtime of every command that serves.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(64)
        .thread_keep_alive(std::time::Duration::from_secs(2))
        .enable_all()
        .build()
        .context("the runtime cannot be started")
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
