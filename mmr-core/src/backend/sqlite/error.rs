use rusqlite::{Error, ErrorCode};

use crate::store::StoreError;

/// The store is closed, or its thread is gone.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the store is closed")]
pub(super) struct Closed;

impl From<Closed> for StoreError {
    fn from(closed: Closed) -> Self {
        Self::Unavailable(Box::new(closed))
    }
}

/// What an error of SQLite means to a caller.
pub(super) fn fault(error: Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::OutOfMemory
            | ErrorCode::FileLockingProtocolFailed,
        ) => StoreError::Unavailable(Box::new(error)),
        _ => StoreError::Other(Box::new(error)),
    }
}

/// A row of `table` that this software would not have written.
pub(super) fn corrupt(table: &'static str, detail: &impl ToString) -> StoreError {
    StoreError::Corrupt { table, detail: detail.to_string() }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn trouble_that_may_pass_is_unavailable_and_the_rest_is_not() {
        let with_code = |code| fault(Error::SqliteFailure(ffi::Error::new(code), None));
        for code in [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_READONLY_DBMOVED,
        ] {
            assert!(matches!(with_code(code), StoreError::Unavailable(_)), "{code}");
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_CONSTRAINT] {
            assert!(matches!(with_code(code), StoreError::Other(_)), "{code}");
        }
    }
}
