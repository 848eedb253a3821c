use rusqlite::Connection;

use super::error::fault;
use crate::store::StoreError;

/// One step from a schema to the next. `PRAGMA user_version` counts those that a file has been through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The version of the schema behind it; the first is 1.
    pub version: u32,
    /// What it does, in a word or two.
    pub name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "init", sql: include_str!("../../../migrations/sqlite/0001_init.sql") }];

/// Marks a file as ours (`PRAGMA application_id`): "mmr1".
const APPLICATION_ID: i64 = 0x6d6d_7231;

/// Why a file is not a database that this version can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A newer version wrote it.
    #[error("the database has schema version {found}, and this software knows versions up to {known} only")]
    Newer {
        /// The file's version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// An older version wrote it, and migrating is not allowed.
    #[error("the database has schema version {found} and needs to be migrated to version {known}")]
    Older {
        /// The file's version.
        found: u32,
        /// The version needed.
        known: u32,
    },
    /// Other software wrote it.
    #[error("the file is an SQLite database of other software")]
    Foreign,
}

impl From<SchemaError> for StoreError {
    fn from(error: SchemaError) -> Self {
        Self::Other(Box::new(error))
    }
}

/// Every migration, the first first.
pub(super) fn all() -> impl Iterator<Item = Migration> {
    MIGRATIONS.iter().copied()
}

/// Those that the database has not been through.
pub(super) fn pending(conn: &Connection) -> Result<Vec<Migration>, StoreError> {
    pending_of(conn, MIGRATIONS)
}

/// Runs those that the database has not been through, each in one transaction, and answers which they were.
pub(super) fn migrate(conn: &Connection) -> Result<Vec<Migration>, StoreError> {
    migrate_with(conn, MIGRATIONS)
}

/// Refuses a database that has not been through all of them.
pub(super) fn require_current(conn: &Connection) -> Result<(), StoreError> {
    let known = newest(MIGRATIONS);
    match pending(conn)?.first() {
        None => Ok(()),
        Some(next) => Err(SchemaError::Older { found: next.version - 1, known }.into()),
    }
}

fn newest(migrations: &[Migration]) -> u32 {
    migrations.last().map_or(0, |migration| migration.version)
}

fn pending_of(conn: &Connection, migrations: &[Migration]) -> Result<Vec<Migration>, StoreError> {
    let found = version(conn)?;
    let known = newest(migrations);
    if found > known {
        return Err(SchemaError::Newer { found, known }.into());
    }
    Ok(migrations.iter().filter(|migration| migration.version > found).copied().collect())
}

fn version(conn: &Connection) -> Result<u32, StoreError> {
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(fault);
    let version = pragma("user_version")?;
    let is_empty = !conn.prepare("SELECT 1 FROM sqlite_schema").map_err(fault)?.exists([]).map_err(fault)?;
    let is_ours = pragma("application_id")? == APPLICATION_ID || (is_empty && version == 0);
    u32::try_from(version).ok().filter(|_| is_ours).ok_or_else(|| SchemaError::Foreign.into())
}

fn migrate_with(conn: &Connection, migrations: &[Migration]) -> Result<Vec<Migration>, StoreError> {
    let mut done = Vec::new();
    while !pending_of(conn, migrations)?.is_empty() {
        conn.execute_batch("BEGIN IMMEDIATE").map_err(fault)?;
        match run_next(conn, migrations) {
            Ok(migration) => done.extend(migration),
            Err(error) => {
                // The transaction may be gone already.
                let _ = conn.execute_batch("ROLLBACK");
                return Err(error);
            }
        }
    }
    Ok(done)
}

/// Another process may have run the next one just before the transaction began.
fn run_next(conn: &Connection, migrations: &[Migration]) -> Result<Option<Migration>, StoreError> {
    let next = pending_of(conn, migrations)?.first().copied();
    if let Some(migration) = next {
        conn.execute_batch(migration.sql).map_err(fault)?;
        conn.pragma_update(None, "user_version", migration.version).map_err(fault)?;
    }
    conn.execute_batch("COMMIT").map_err(fault)?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn empty() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    fn cause(error: &StoreError) -> Option<&SchemaError> {
        error.source()?.downcast_ref()
    }

    #[test]
    fn migrations_are_numbered_without_gaps() {
        assert!(all().map(|migration| migration.version).eq(1..=newest(MIGRATIONS)));
    }

    #[test]
    fn migrating_twice_does_nothing_the_second_time() {
        let conn = empty();
        assert_eq!(migrate(&conn).unwrap().len(), MIGRATIONS.len());
        assert_eq!(migrate(&conn).unwrap(), []);
        require_current(&conn).unwrap();
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let conn = empty();
        migrate(&conn).unwrap();
        conn.pragma_update(None, "user_version", 9_999).unwrap();
        let error = migrate(&conn).unwrap_err();
        assert_eq!(cause(&error), Some(&SchemaError::Newer { found: 9_999, known: newest(MIGRATIONS) }));
    }

    #[test]
    fn an_older_schema_is_refused_where_migrating_is_not_allowed() {
        let error = require_current(&empty()).unwrap_err();
        assert_eq!(cause(&error), Some(&SchemaError::Older { found: 0, known: newest(MIGRATIONS) }));
    }

    #[test]
    fn a_database_of_other_software_is_refused() {
        let conn = empty();
        conn.execute_batch("CREATE TABLE local_media_repository (media_id TEXT)").unwrap();
        assert_eq!(cause(&migrate(&conn).unwrap_err()), Some(&SchemaError::Foreign));
    }

    #[test]
    fn a_migration_that_fails_leaves_the_schema_as_it_was() {
        let conn = empty();
        migrate(&conn).unwrap();
        let broken = Migration { version: 2, name: "broken", sql: "CREATE TABLE half (x) ; SELECT nonsense" };
        let migrations = [MIGRATIONS[0], broken];
        migrate_with(&conn, &migrations).unwrap_err();
        assert_eq!(pending_of(&conn, &migrations).unwrap(), [broken]);
        assert!(conn.prepare("SELECT 1 FROM half").is_err());
    }
}
