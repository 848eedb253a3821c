//! The embedded [`MediaStore`](crate::store::MediaStore): one SQLite file.
//!
//! - Writes go to one connection on a thread of its own, which commits what is queued as a group: concurrent uploads
//!   share one sync of the disk. Reads go to a few connections of their own and wait for nobody (WAL).
//! - Every read sees one snapshot, every write is one savepoint: it takes effect wholly or not at all.
//! - Several processes may open one file. Their writes take turns; signals reach only the process that publishes them.
//! - Numbers beyond 2^63 - 1, which only a time at the end of all time can be, are kept as 2^63 - 1.
//!
//! The files mirror `store/`.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use rusqlite::Connection;
use tempfile::TempDir;

use self::{checkpoint::Checkpointer, error::fault, readers::Readers, writer::Writer};
use super::board::Board;
use crate::store::StoreError;

mod blobs;
mod checkpoint;
mod conn;
mod error;
mod exports;
mod filter;
mod leases;
mod media;
mod migrate;
mod moderation;
#[cfg(test)]
mod plans;
mod previews;
mod readers;
mod row;
mod signals;
mod tasks;
mod thumbnails;
mod uploads;
mod usage;
mod writer;

pub use super::schema::{Migration, SchemaError};

/// How to open a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Connections that read at the same time, at least 1; each is opened when it is needed first.
    pub readers: u32,
    /// How long a write waits for another process that writes.
    pub busy_timeout: Duration,
    /// Page cache of each connection in KiB.
    pub cache_kib: u32,
    /// How much of the file each connection maps into memory, in bytes; what is mapped counts as resident once read.
    pub mmap_bytes: u64,
    /// Whether a write reaches the disk before it is acknowledged. Without, a crash of the machine (not of the process)
    /// may undo acknowledged writes.
    pub sync: bool,
    /// Whether to bring an older schema up to date; otherwise opening one is an error.
    pub migrate: bool,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            cache_kib: 1024,
            mmap_bytes: 0,
            sync: true,
            migrate: true,
        }
    }
}

/// A [`MediaStore`](crate::store::MediaStore) in an SQLite file. Clones share the connections.
///
/// Dropping the last clone finishes what is queued and tidies the file up, which blocks for a moment;
/// [`SqliteStore::close`] does the same without blocking.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

// Fields drop in order: the writer last among the connections, so that it leaves no write-ahead log behind.
struct Inner {
    readers: Readers,
    writer: Writer,
    board: Board,
    _scratch: Option<TempDir>,
}

impl SqliteStore {
    /// Opens a database, making the file, and the schema, if need be. Blocks.
    ///
    /// Errors: [`StoreError::Unavailable`] when the file cannot be opened; [`StoreError::Other`] with a [`SchemaError`]
    /// when it is not a database of this software, or of a newer one.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        Self::open_with(path, options, None)
    }

    /// An empty database that vanishes with the store: a temporary file that is never synced. For tests.
    pub fn in_memory() -> Result<Self, StoreError> {
        let scratch = TempDir::new().map_err(|error| StoreError::Unavailable(error.into()))?;
        let path = scratch.path().join("mmr.db");
        Self::open_with(&path, SqliteOptions { sync: false, ..SqliteOptions::default() }, Some(scratch))
    }

    fn open_with(path: &Path, options: SqliteOptions, scratch: Option<TempDir>) -> Result<Self, StoreError> {
        let mut conn = conn::open_writer(path, &options).map_err(fault)?;
        if options.migrate {
            migrate::migrate(&conn)?;
        } else {
            migrate::require_current(&conn)?;
        }
        let checkpointer = Checkpointer::start(path, &options, &mut conn)?;
        let writer = Writer::start(conn, checkpointer)?;
        let readers = Readers::new(path, options);
        Ok(Self(Arc::new(Inner { readers, writer, board: Board::default(), _scratch: scratch })))
    }

    /// The migrations that opening the file would run: all of them, when there is no file. Blocks.
    pub fn pending_migrations(path: &Path) -> Result<Vec<Migration>, StoreError> {
        match path.try_exists() {
            Ok(false) => Ok(migrate::all().collect()),
            Ok(true) => {
                let options = SqliteOptions::default();
                migrate::pending(&conn::open_reader(path, &options).map_err(fault)?)
            }
            Err(error) => Err(StoreError::Unavailable(error.into())),
        }
    }

    /// Runs the pending migrations, making the file if there is none, and answers which they were. Blocks.
    pub fn migrate(path: &Path) -> Result<Vec<Migration>, StoreError> {
        let conn = conn::open_writer(path, &SqliteOptions::default()).map_err(fault)?;
        migrate::migrate(&conn)
    }

    /// Finishes what is queued, tidies the file up and closes it. Later calls of the store's methods are
    /// [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.0.readers.close();
        self.0.writer.close().await;
    }

    /// Runs `operation` on the writing connection; when `Ok` comes back, its effect is committed. It runs to its end,
    /// or never begins, when the future is dropped.
    async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.0.writer.run(operation).await
    }

    /// Runs `query` on a reading connection, on one snapshot.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.0.readers.run(query).await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}
