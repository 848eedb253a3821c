//! Moves committed pages from the write-ahead log into the database, without making commits wait.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI32, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use rusqlite::Connection;

use super::{SqliteOptions, conn, error::fault};
use crate::store::StoreError;

/// Pages that the log grows between two checkpoints (4 MiB).
const PAGES: i32 = 1024;
/// Pages in the log from which on the writer makes the checkpoints itself (32 MiB). While it does, nothing is added, so
/// that the log can start anew; under writes without a break the thread alone never comes to the end of it.
const MAX_PAGES: i32 = 8192;

/// The thread that makes checkpoints beside the writer, in the hands of the writer.
pub(super) struct Checkpointer {
    nudge: Option<SyncSender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    /// Length of the log at the writer's last commit.
    pages: Arc<AtomicI32>,
    pages_at_nudge: i32,
    turn: Arc<Turn>,
}

/// Held by who makes a checkpoint. SQLite would refuse a second one beside it rather than wait.
type Turn = Mutex<()>;

impl Checkpointer {
    /// Watches the commits of `writer`, a connection to the database at `path`.
    pub(super) fn start(
        path: &Path,
        options: &SqliteOptions,
        writer: &mut Connection,
    ) -> Result<Self, StoreError> {
        let pages = Arc::new(AtomicI32::new(0));
        let length = Arc::clone(&pages);
        let hook = move |_: &mut _, pages| {
            length.store(pages, Ordering::Relaxed);
            Ok(())
        };
        writer.wal_hook(Some(hook)).map_err(fault)?;

        let conn = conn::open_writer(path, options).map_err(fault)?;
        let turn = Arc::new(Turn::default());
        let turn_of_thread = Arc::clone(&turn);
        let (nudge, nudges) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("mmr-sqlite-ckpt".to_owned())
            .spawn(move || serve(&conn, &turn_of_thread, &nudges))
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        Ok(Self { nudge: Some(nudge), thread: Some(thread), pages, pages_at_nudge: 0, turn })
    }

    /// Wakes the thread when the log has grown enough.
    pub(super) fn after_commit(&mut self, writer: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages >= MAX_PAGES {
            checkpoint(writer, &self.turn, "PRAGMA wal_checkpoint(PASSIVE)");
        }
        // It is shorter after it has started anew.
        let grown = if pages < self.pages_at_nudge { pages } else { pages - self.pages_at_nudge };
        if grown >= PAGES {
            self.pages_at_nudge = pages;
            // An error means that a nudge is waiting already.
            let _ = self.nudge.as_ref().map(|nudge| nudge.try_send(()));
        }
    }

    /// Ends the thread and empties the log.
    pub(super) fn finish(mut self, writer: &Connection) {
        self.nudge = None;
        // A panic of the thread has been reported by its hook, and costs no data.
        let _ = self.thread.take().map(thread::JoinHandle::join);
        checkpoint(writer, &self.turn, "PRAGMA wal_checkpoint(TRUNCATE)");
    }
}

fn serve(conn: &Connection, turn: &Turn, nudges: &Receiver<()>) {
    while nudges.recv().is_ok() {
        checkpoint(conn, turn, "PRAGMA wal_checkpoint(PASSIVE)");
    }
}

/// A failure is not fatal: the log grows until a later checkpoint succeeds.
fn checkpoint(conn: &Connection, turn: &Turn, statement: &str) {
    let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = conn.query_row(statement, [], |_| Ok(())) {
        tracing::warn!(error = &error as &dyn std::error::Error, "checkpoint of the SQLite database failed");
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_log_stays_short_under_writes_without_a_break() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("db");
        let options = SqliteOptions { sync: false, ..SqliteOptions::default() };
        let mut writer = conn::open_writer(&path, &options).unwrap();
        let mut checkpointer = Checkpointer::start(&path, &options, &mut writer).unwrap();
        writer.execute_batch("CREATE TABLE bodies (body BLOB)").unwrap();
        let mut longest = 0;
        // 20 000 pages in commits of a little more than 20.
        for _ in 0..1000 {
            writer.execute("INSERT INTO bodies VALUES (zeroblob(80000))", []).unwrap();
            checkpointer.after_commit(&writer);
            longest = longest.max(checkpointer.pages.load(Ordering::Relaxed));
        }
        assert!((PAGES..MAX_PAGES + 50).contains(&longest), "the log grew to {longest} pages");
        checkpointer.finish(&writer);
        assert_eq!(path.with_file_name("db-wal").metadata().unwrap().len(), 0);
    }
}
