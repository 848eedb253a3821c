//! Bringing the schema up to date while others use it.
//!
//! Each part of a migration is one transaction under a lock, which looks first what there is to do. So it does not matter
//! how many nodes migrate at the same time, which of them dies in the middle, or whether a pooler is in between.
//!
//! A migration states the oldest version of the software's schema that can work on what it leaves behind. So a node of
//! the version before keeps running, and starts again, beside one of the version after.

use tokio_postgres::{Client, Transaction, types::Type};

use super::{
    Migration, SchemaError,
    connect::{Connector, Session},
    error::fault,
};
use crate::store::StoreError;

/// A migration, and how it is done.
#[derive(Clone, Copy)]
pub(super) struct Step {
    migration: Migration,
    /// The oldest version of the schema whose software works on this one.
    oldest_reader: u32,
    parts: &'static [Part],
}

/// A part of a migration.
#[derive(Clone, Copy)]
enum Part {
    /// Statements that run together.
    Once(&'static str),
    /// One statement that answers how many rows it has dealt with, repeated until there are none left.
    #[cfg_attr(not(test), expect(dead_code, reason = "the first migration finds nothing to convert"))]
    Batches(&'static str),
}

const STEPS: &[Step] = &[Step {
    migration: Migration { version: 1, name: "init" },
    oldest_reader: 1,
    parts: &[Part::Once(include_str!("../../../migrations/postgres/0001_init.sql"))],
}];

/// Held while something is created or changed; any number that others are unlikely to use.
const LOCK: i64 = 0x6d6d_7231_7363_6865;

/// The book of what was done; `parts` says how far an unfinished migration has come.
const BOOK: &str = "
    CREATE SCHEMA mmr;
    CREATE TABLE mmr.migrations (
        version       bigint      NOT NULL PRIMARY KEY,
        name          text        NOT NULL,
        oldest_reader bigint      NOT NULL,
        parts         bigint      NOT NULL,
        finished      timestamptz
    );";

/// Those that the database has not been through.
pub(super) async fn pending(connector: &Connector) -> Result<Vec<Migration>, StoreError> {
    let mut session = open(connector).await?;
    let transaction = session.client.transaction().await.map_err(fault)?;
    let state = state(&transaction).await?;
    Ok(rest(state.as_ref(), STEPS)?.iter().map(|step| step.migration).collect())
}

/// Runs those that the database has not been through, and answers which they were.
pub(super) async fn migrate(connector: &Connector) -> Result<Vec<Migration>, StoreError> {
    migrate_with(&mut open(connector).await?.client, STEPS).await
}

/// Refuses a database that has not been through all of them.
pub(super) async fn require_current(connector: &Connector) -> Result<(), StoreError> {
    let known = newest(STEPS);
    match pending(connector).await?.first() {
        None => Ok(()),
        Some(next) => Err(SchemaError::Older { found: next.version - 1, known }.into()),
    }
}

async fn open(connector: &Connector) -> Result<Session, StoreError> {
    match tokio::time::timeout(connector.timeout(), connector.open(None)).await {
        Ok(session) => session.map_err(|error| connector.fault(error)),
        Err(_) => Err(super::error::NoAnswer(connector.timeout()).into()),
    }
}

fn newest(steps: &[Step]) -> u32 {
    steps.last().map_or(0, |step| step.migration.version)
}

/// How far a database is.
#[derive(Debug, Default)]
struct State {
    /// The newest migration that is finished, and who can work on what it left.
    version: u32,
    oldest_reader: u32,
    /// Parts done of the one that is not.
    parts: usize,
}

/// `None` when there is nothing of ours.
async fn state(transaction: &Transaction<'_>) -> Result<Option<State>, StoreError> {
    // Asked of the tables: functions such as to_regclass may answer from a cache of before the lock.
    let sql = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'mmr'), EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'mmr' AND c.relname = 'migrations')";
    let row = transaction.query_typed(sql, &[]).await.map_err(fault)?.pop().ok_or(SchemaError::Foreign)?;
    match (row.get::<_, bool>(0), row.get::<_, bool>(1)) {
        (false, _) => return Ok(None),
        (true, false) => {
            // An operator may have made the schema for us, empty.
            let sql = "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'mmr' LIMIT 1";
            let foreign = !transaction.query_typed(sql, &[]).await.map_err(fault)?.is_empty();
            return if foreign { Err(SchemaError::Foreign.into()) } else { Ok(None) };
        }
        (true, true) => {}
    }
    let sql =
        "SELECT version, oldest_reader, parts, finished IS NOT NULL FROM mmr.migrations ORDER BY version";
    let mut state = State::default();
    for row in transaction.query_typed(sql, &[]).await.map_err(fault)? {
        let number = |column| {
            let number = row.try_get::<usize, i64>(column).ok().and_then(|number| u32::try_from(number).ok());
            number
                .ok_or_else(|| StoreError::Corrupt { table: "migrations", detail: "not a number".to_owned() })
        };
        let (version, oldest_reader, parts) = (number(0)?, number(1)?, number(2)?);
        // One under way holds back whoever cannot work on what it leaves.
        state.oldest_reader = oldest_reader;
        if row.get::<_, bool>(3) {
            state = State { version, oldest_reader, parts: 0 };
        } else {
            state.parts = parts as usize;
        }
    }
    Ok(Some(state))
}

/// The steps that are not finished.
fn rest<'a>(state: Option<&State>, steps: &'a [Step]) -> Result<&'a [Step], StoreError> {
    let Some(state) = state else { return Ok(steps) };
    let known = newest(steps);
    if state.oldest_reader > known {
        return Err(SchemaError::Newer { found: state.version, known }.into());
    }
    let done = steps.iter().filter(|step| step.migration.version <= state.version).count();
    Ok(&steps[done..])
}

async fn migrate_with(client: &mut Client, steps: &[Step]) -> Result<Vec<Migration>, StoreError> {
    let mut done = Vec::new();
    let mut batches = 0_u64;
    loop {
        match advance(client, steps).await? {
            Progress::Nothing => return Ok(done),
            Progress::Part => {}
            Progress::Batch(migration, rows) => {
                batches += 1;
                tracing::info!(
                    migration.version,
                    migration.name,
                    batches,
                    rows,
                    "the database is being migrated"
                );
            }
            Progress::Finished(migration) => {
                tracing::info!(migration.version, migration.name, "the database was migrated");
                batches = 0;
                done.push(migration);
            }
        }
    }
}

/// What one transaction brought.
enum Progress {
    Nothing,
    Part,
    Batch(Migration, i64),
    Finished(Migration),
}

/// Does the next part of whatever is next.
async fn advance(client: &mut Client, steps: &[Step]) -> Result<Progress, StoreError> {
    // Looking takes no lock: a database that is up to date may be one that we may not change.
    let glance = client.transaction().await.map_err(fault)?;
    let up_to_date = rest(state(&glance).await?.as_ref(), steps)?.is_empty();
    glance.rollback().await.map_err(fault)?;
    if up_to_date {
        return Ok(Progress::Nothing);
    }
    let transaction = client.transaction().await.map_err(fault)?;
    // Building an index may take its time, and so may whoever else is at it.
    transaction
        .batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        .await
        .map_err(fault)?;
    let lock = "SELECT pg_advisory_xact_lock($1)";
    transaction.query_typed(lock, &[(&LOCK, Type::INT8)]).await.map_err(fault)?;
    let state = if let Some(state) = state(&transaction).await? {
        state
    } else {
        prepare_book(&transaction).await?;
        State::default()
    };
    let Some(step) = rest(Some(&state), steps)?.first().copied() else {
        return Ok(Progress::Nothing);
    };
    let mut parts = state.parts;
    let mut batch = None;
    match step.parts.get(parts) {
        Some(Part::Once(sql)) => {
            transaction.batch_execute(sql).await.map_err(fault)?;
            parts += 1;
        }
        Some(Part::Batches(sql)) => {
            let row = transaction.query_typed(sql, &[]).await.map_err(fault)?.pop();
            match row.map_or(0, |row| row.get::<_, i64>(0)) {
                0 => parts += 1,
                rows => batch = Some(rows),
            }
        }
        None => {}
    }
    let finished = parts >= step.parts.len();
    record(&transaction, step, parts, finished).await?;
    transaction.commit().await.map_err(fault)?;
    Ok(match batch {
        Some(rows) => Progress::Batch(step.migration, rows),
        None if finished => Progress::Finished(step.migration),
        None => Progress::Part,
    })
}

async fn prepare_book(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let exists = transaction
        .query_typed("SELECT 1 FROM pg_namespace WHERE nspname = 'mmr'", &[])
        .await
        .map_err(fault)?
        .pop()
        .is_some();
    let book = if exists { BOOK.replace("CREATE SCHEMA mmr;", "") } else { BOOK.to_owned() };
    transaction.batch_execute(&book).await.map_err(fault)
}

async fn record(
    transaction: &Transaction<'_>,
    step: Step,
    parts: usize,
    finished: bool,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO mmr.migrations AS m (version, name, oldest_reader, parts, finished)
        VALUES ($1, $2, $3, $4, CASE WHEN $5 THEN now() END)
        ON CONFLICT (version) DO UPDATE SET parts = excluded.parts, finished = excluded.finished";
    let version = i64::from(step.migration.version);
    let oldest_reader = i64::from(step.oldest_reader);
    let parts = i64::try_from(parts).unwrap_or(i64::MAX);
    transaction
        .query_typed(
            sql,
            &[
                (&version, Type::INT8),
                (&step.migration.name, Type::TEXT),
                (&oldest_reader, Type::INT8),
                (&parts, Type::INT8),
                (&finished, Type::BOOL),
            ],
        )
        .await
        .map_err(fault)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(version: u32, oldest_reader: u32) -> Step {
        Step { migration: Migration { version, name: "test" }, oldest_reader, parts: &[Part::Batches("")] }
    }

    #[test]
    fn migrations_are_numbered_without_gaps() {
        assert!(STEPS.iter().map(|step| step.migration.version).eq(1..=newest(STEPS)));
    }

    #[test]
    fn a_migration_lets_somebody_read_what_it_leaves() {
        for step in STEPS {
            assert!((1..=step.migration.version).contains(&step.oldest_reader));
        }
    }

    #[test]
    fn an_empty_database_has_everything_before_it() {
        assert_eq!(rest(None, STEPS).unwrap().len(), STEPS.len());
    }

    #[test]
    fn what_is_finished_is_not_done_again() {
        let steps = [step(1, 1), step(2, 1), step(3, 2)];
        let state = State { version: 2, oldest_reader: 1, parts: 0 };
        assert_eq!(rest(Some(&state), &steps).unwrap().len(), 1);
    }

    #[test]
    fn a_newer_schema_is_used_as_long_as_it_allows() {
        let steps = [step(1, 1), step(2, 1)];
        let readable = State { version: 3, oldest_reader: 2, parts: 0 };
        assert!(rest(Some(&readable), &steps).unwrap().is_empty());
        let unreadable = State { version: 4, oldest_reader: 3, parts: 0 };
        assert!(rest(Some(&unreadable), &steps).is_err());
    }
}
