use std::{borrow::Cow, error::Error as StdError, time::Duration};

use tokio_postgres::{Error, error::SqlState};

use super::dsn::TlsMode;
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

/// Whether a write that failed like that may have happened all the same.
pub(super) fn may_have_happened(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|cause| {
        cause.is::<NoAnswer>() || cause.downcast_ref().is_some_and(|error| fate(error) == Fate::Lost)
    })
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
    chain(error).skip(1).any(<dyn StdError>::is::<T>)
}

/// An error, and what it comes from.
fn chain<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
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

/// Connecting may succeed later, unless the server refuses for good (the name, the password, the database), or one side
/// does not like the other's TLS. Then the error names the setting of the connection string.
pub(super) fn connect_fault(error: Error, mode: TlsMode) -> StoreError {
    let advice = match tls_error(&error) {
        Some(rustls::Error::InvalidCertificate(_)) => Some(format!(
            "sslmode={mode} checks the server's certificate: sslrootcert names who is trusted, and verify-full wants \
             the host's name in it"
        )),
        Some(rustls::Error::AlertReceived(_)) => {
            Some("the server refuses what sslcert and sslkey say about us".to_owned())
        }
        _ if is_of_tls(&error) => Some(format!("sslmode={mode} wants TLS")),
        _ if is_of_class(&error, "28") => Some(format!("sslmode={mode}")),
        _ => None,
    };
    let lasting = advice.is_some() || error.code() == Some(&SqlState::INVALID_CATALOG_NAME);
    let error = match advice {
        None => said(error),
        Some(advice) => Box::new(Advised { advice, source: said(error) }),
    };
    if lasting { StoreError::Other(error) } else { StoreError::Unavailable(error) }
}

/// An error, and the setting to look at.
#[derive(Debug, thiserror::Error)]
#[error("{advice}")]
struct Advised {
    advice: String,
    source: Box<dyn StdError + Send + Sync>,
}

/// Whether there was a connection, and no agreement about TLS.
pub(super) fn is_of_tls(error: &Error) -> bool {
    // The library tells its kinds apart by their text alone.
    tls_error(error).is_some() || error.to_string().starts_with("error performing TLS handshake")
}

/// What the library for TLS said.
fn tls_error(error: &Error) -> Option<&rustls::Error> {
    let io: &std::io::Error = error.source()?.downcast_ref()?;
    io.get_ref()?.downcast_ref()
}

fn is_of_class(error: &Error, class: &str) -> bool {
    error.code().is_some_and(|code| code.code().starts_with(class))
}

impl From<Closed> for StoreError {
    fn from(closed: Closed) -> Self {
        Self::Unavailable(Box::new(closed))
    }
}

impl From<Exhausted> for StoreError {
    fn from(error: Exhausted) -> Self {
        Self::Unavailable(Box::new(error))
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
