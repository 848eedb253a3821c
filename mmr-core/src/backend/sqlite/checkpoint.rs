//! Moves committed pages from the write-ahead log into the database, without making commits wait.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use rusqlite::Connection;

use super::{SqliteOptions, conn, error::fault};
use crate::store::StoreError;

/// Changed rows after which the log is worth a checkpoint: a few megabytes.
const CHANGES: u64 = 1000;
/// Pages in the log from which on the writer pauses until it starts anew (32 MiB): under writes without a break the
/// thread alone would never catch up.
const MAX_PAGES: i64 = 8192;

/// The thread that makes checkpoints beside the writer, in the hands of the writer.
pub(super) struct Checkpointer {
    nudge: Option<SyncSender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    log_is_long: Arc<AtomicBool>,
    changes_seen: u64,
}

impl Checkpointer {
    pub(super) fn start(path: &Path, options: &SqliteOptions) -> Result<Self, StoreError> {
        let conn = conn::open_writer(path, options).map_err(fault)?;
        let log_is_long = Arc::new(AtomicBool::new(false));
        let (nudge, nudges) = sync_channel(1);
        let flag = Arc::clone(&log_is_long);
        let thread = thread::Builder::new()
            .name("mmr-sqlite-ckpt".to_owned())
            .spawn(move || serve(&conn, &nudges, &flag))
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        Ok(Self { nudge: Some(nudge), thread: Some(thread), log_is_long, changes_seen: 0 })
    }

    /// Wakes the thread when enough has changed. Makes a checkpoint on the spot only when the log has become too long.
    pub(super) fn after_commit(&mut self, writer: &Connection) {
        if self.log_is_long.swap(false, Ordering::Relaxed) {
            checkpoint(writer, "PRAGMA wal_checkpoint(PASSIVE)");
        }
        let changes = writer.total_changes();
        if changes.saturating_sub(self.changes_seen) >= CHANGES {
            self.changes_seen = changes;
            // An error means that a nudge is waiting already.
            let _ = self.nudge.as_ref().map(|nudge| nudge.try_send(()));
        }
    }

    /// Ends the thread and empties the log.
    pub(super) fn finish(mut self, writer: &Connection) {
        self.nudge = None;
        // A panic of the thread has been reported by its hook, and costs no data.
        let _ = self.thread.take().map(thread::JoinHandle::join);
        checkpoint(writer, "PRAGMA wal_checkpoint(TRUNCATE)");
    }
}

fn serve(conn: &Connection, nudges: &Receiver<()>, log_is_long: &AtomicBool) {
    while nudges.recv().is_ok() {
        if checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)").is_some_and(|pages| pages > MAX_PAGES) {
            log_is_long.store(true, Ordering::Relaxed);
        }
    }
}

/// Answers the length of the log in pages. A failure is not fatal: the log grows until a later checkpoint succeeds.
fn checkpoint(conn: &Connection, statement: &str) -> Option<i64> {
    match conn.query_row(statement, [], |row| row.get(1)) {
        Ok(pages) => Some(pages),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "checkpoint of the SQLite database failed"
            );
            None
        }
    }
}
