use std::{borrow::Cow, error::Error as StdError, time::Duration};

use deadpool_postgres::PoolError;
use tokio_postgres::{Error, error::SqlState};

use crate::store::StoreError;

/// The store is closed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the store is closed")]
pub(super) struct Closed;

/// No answer in time. What was asked for may have happened.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the database did not answer within {0:?}")]
pub(super) struct NoAnswer(pub(super) Duration);

/// All connections are in use.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no connection became free within {0:?}")]
pub(super) struct Exhausted(pub(super) Duration);

/// What the server says, its code and the hint of its operator included.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Said {
    message: String,
    #[source]
    source: Error,
}

/// What became of a statement that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It had no effect, for reasons that lie with others: it can be repeated at once.
    Undone,
    /// The session does not know a statement that was prepared in it: it is not ours alone.
    Forgotten,
    /// The statement was prepared before a migration.
    Outdated,
    /// The connection is gone, and nobody knows whether it took effect.
    Lost,
    /// Something else.
    Failed,
}

/// What may be done about an error.
pub(super) fn fate(error: &Error) -> Fate {
    let Some(code) = error.code() else {
        return if is_broken(error) { Fate::Lost } else { Fate::Failed };
    };
    match code.code() {
        "40001" | "40P01" => Fate::Undone,
        "26000" | "42P05" => Fate::Forgotten,
        "0A000" if error.as_db_error().is_some_and(|error| error.message().starts_with("cached plan")) => {
            Fate::Outdated
        }
        _ if is_broken(error) => Fate::Lost,
        _ => Fate::Failed,
    }
}

/// Whether the connection is of no more use.
pub(super) fn is_broken(error: &Error) -> bool {
    match error.code() {
        Some(code) => {
            let code = code.code();
            code.starts_with("08") || code.starts_with("57P")
        }
        None => error.is_closed() || source_is::<std::io::Error>(error),
    }
}

fn source_is<T: StdError + 'static>(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if error.is::<T>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// What an error of Postgres means to a caller.
pub(super) fn fault(error: Error) -> StoreError {
    let is_conflict = error.code() == Some(&SqlState::UNIQUE_VIOLATION);
    let constraint = error.as_db_error().and_then(tokio_postgres::error::DbError::constraint);
    if is_conflict && constraint == Some("blob_location") {
        return StoreError::Conflict { what: "blob location" };
    }
    let passes = passes(&error);
    let error = said(error);
    if passes { StoreError::Unavailable(error) } else { StoreError::Other(error) }
}

/// Whether it may be over later.
fn passes(error: &Error) -> bool {
    let Some(code) = error.code() else { return is_broken(error) };
    let code = code.code();
    // Connections, resources, operator intervention (but a dropped database stays dropped), rollbacks, locks, disks,
    // and a server that takes no writes, as in a failover.
    ["08", "53", "57P", "40", "58"].iter().any(|class| code.starts_with(class)) && code != "57P04"
        || matches!(code, "55P03" | "57014" | "25006")
}

fn said(error: Error) -> Box<dyn StdError + Send + Sync> {
    let Some(db) = error.as_db_error() else { return Box::new(error) };
    let hint = db.hint().map_or(Cow::Borrowed(""), |hint| Cow::Owned(format!(" ({hint})")));
    let message = format!("{} [{}]{hint}", db.message(), db.code().code());
    Box::new(Said { message, source: error })
}

/// Why there is no connection.
pub(super) fn no_connection(error: PoolError, waited: Duration) -> StoreError {
    match error {
        PoolError::Closed => Closed.into(),
        PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => {
            StoreError::Unavailable(Box::new(Exhausted(waited)))
        }
        PoolError::Backend(error) => connect_fault(error),
        error => StoreError::Unavailable(Box::new(error)),
    }
}

/// Connecting may succeed later, unless the server refuses for good: the name, the password, the database.
pub(super) fn connect_fault(error: Error) -> StoreError {
    let lasting = error.code().is_some_and(|code| code.code().starts_with("28") || code.code() == "3D000");
    let error = said(error);
    if lasting { StoreError::Other(error) } else { StoreError::Unavailable(error) }
}

impl From<Closed> for StoreError {
    fn from(closed: Closed) -> Self {
        Self::Unavailable(Box::new(closed))
    }
}

impl From<NoAnswer> for StoreError {
    fn from(error: NoAnswer) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

/// A row of `table` that this software would not have written.
pub(super) fn corrupt(table: &'static str, detail: &impl ToString) -> StoreError {
    StoreError::Corrupt { table, detail: detail.to_string() }
}
