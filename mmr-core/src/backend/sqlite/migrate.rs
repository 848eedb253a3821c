use rusqlite::Connection;

use super::{Migration, SchemaError, error::fault};
use crate::store::StoreError;

/// A migration, and how it is done. `PRAGMA user_version` counts those that a file has been through.
#[derive(Clone, Copy)]
struct Step {
    migration: Migration,
    sql: &'static str,
}

const STEPS: &[Step] = &[Step {
    migration: Migration { version: 1, name: "init" },
    sql: include_str!("../../../migrations/sqlite/0001_init.sql"),
}];

/// Marks a file as ours (`PRAGMA application_id`): "mmr1".
const APPLICATION_ID: i64 = 0x6d6d_7231;

/// Every migration, the first first.
pub(super) fn all() -> impl Iterator<Item = Migration> {
    STEPS.iter().map(|step| step.migration)
}

/// Those that the database has not been through.
pub(super) fn pending(conn: &Connection) -> Result<Vec<Migration>, StoreError> {
    Ok(pending_of(conn, STEPS)?.iter().map(|step| step.migration).collect())
}

/// Runs those that the database has not been through, each in one transaction, and answers which they were.
pub(super) fn migrate(conn: &Connection) -> Result<Vec<Migration>, StoreError> {
    migrate_with(conn, STEPS)
}

/// Refuses a database that has not been through all of them.
pub(super) fn require_current(conn: &Connection) -> Result<(), StoreError> {
    let known = newest(STEPS);
    match pending(conn)?.first() {
        None => Ok(()),
        Some(next) => Err(SchemaError::Older { found: next.version - 1, known }.into()),
    }
}

fn newest(steps: &[Step]) -> u32 {
    steps.last().map_or(0, |step| step.migration.version)
}

fn pending_of(conn: &Connection, steps: &[Step]) -> Result<Vec<Step>, StoreError> {
    let found = version(conn)?;
    let known = newest(steps);
    if found > known {
        return Err(SchemaError::Newer { found, known }.into());
    }
    Ok(steps.iter().filter(|step| step.migration.version > found).copied().collect())
}

fn version(conn: &Connection) -> Result<u32, StoreError> {
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(fault);
    let version = pragma("user_version")?;
    let is_empty = !conn.prepare("SELECT 1 FROM sqlite_schema").map_err(fault)?.exists([]).map_err(fault)?;
    let is_ours = pragma("application_id")? == APPLICATION_ID || (is_empty && version == 0);
    u32::try_from(version).ok().filter(|_| is_ours).ok_or_else(|| SchemaError::Foreign.into())
}

fn migrate_with(conn: &Connection, steps: &[Step]) -> Result<Vec<Migration>, StoreError> {
    let mut done = Vec::new();
    while !pending_of(conn, steps)?.is_empty() {
        conn.execute_batch("BEGIN IMMEDIATE").map_err(fault)?;
        match run_next(conn, steps) {
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
fn run_next(conn: &Connection, steps: &[Step]) -> Result<Option<Migration>, StoreError> {
    let next = pending_of(conn, steps)?.first().copied();
    if let Some(Step { migration, sql }) = next {
        conn.execute_batch(sql).map_err(fault)?;
        conn.pragma_update(None, "user_version", migration.version).map_err(fault)?;
    }
    conn.execute_batch("COMMIT").map_err(fault)?;
    Ok(next.map(|step| step.migration))
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
        assert!(all().map(|migration| migration.version).eq(1..=newest(STEPS)));
    }

    #[test]
    fn migrating_twice_does_nothing_the_second_time() {
        let conn = empty();
        assert_eq!(migrate(&conn).unwrap().len(), STEPS.len());
        assert_eq!(migrate(&conn).unwrap(), []);
        require_current(&conn).unwrap();
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let conn = empty();
        migrate(&conn).unwrap();
        conn.pragma_update(None, "user_version", 9_999).unwrap();
        let error = migrate(&conn).unwrap_err();
        assert_eq!(cause(&error), Some(&SchemaError::Newer { found: 9_999, known: newest(STEPS) }));
    }

    #[test]
    fn an_older_schema_is_refused_where_migrating_is_not_allowed() {
        let error = require_current(&empty()).unwrap_err();
        assert_eq!(cause(&error), Some(&SchemaError::Older { found: 0, known: newest(STEPS) }));
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
        let broken = Migration { version: 2, name: "broken" };
        let steps = [STEPS[0], Step { migration: broken, sql: "CREATE TABLE half (x) ; SELECT nonsense" }];
        migrate_with(&conn, &steps).unwrap_err();
        let pending = pending_of(&conn, &steps).unwrap();
        assert_eq!(pending.iter().map(|step| step.migration).collect::<Vec<_>>(), [broken]);
        assert!(conn.prepare("SELECT 1 FROM half").is_err());
    }
}
