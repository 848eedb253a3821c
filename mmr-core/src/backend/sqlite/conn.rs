use std::path::Path;

use rusqlite::{Connection, OpenFlags, Result, config::DbConfig};

use super::{SqliteOptions, row::int};

/// Statements that a connection keeps compiled: all the fixed ones, and the usual filters.
const STATEMENTS: usize = 96;
/// To what size the write-ahead log is cut back when it starts anew.
const WAL_LIMIT: u32 = 16 << 20;

/// The connection that writes. Makes the file if there is none.
pub(super) fn open_writer(path: &Path, options: &SqliteOptions) -> Result<Connection> {
    let conn = open(path, options, OpenFlags::SQLITE_OPEN_CREATE)?;
    let journal: String = conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if journal != "wal" {
        tracing::warn!("the file system of the SQLite database allows no write-ahead log: readers will wait");
    }
    conn.pragma_update(None, "synchronous", if options.sync { "full" } else { "off" })?;
    // Checkpoints are made elsewhere, so that no commit waits for one.
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "journal_size_limit", WAL_LIMIT)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    Ok(conn)
}

/// A connection that reads.
pub(super) fn open_reader(path: &Path, options: &SqliteOptions) -> Result<Connection> {
    // Not opened read-only: only a connection that may write can take part in a write-ahead log after a crash.
    let conn = open(path, options, OpenFlags::empty())?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

fn open(path: &Path, options: &SqliteOptions, flags: OpenFlags) -> Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(options.busy_timeout)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.pragma_update(None, "cache_size", -i64::from(options.cache_kib))?;
    conn.pragma_update(None, "mmap_size", int(options.mmap_bytes))?;
    conn.pragma_update(None, "trusted_schema", false)?;
    // Without, a statement from the cache is compiled anew where a partial index might depend on its parameters, and a
    // lookup costs six times as much.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(conn)
}
