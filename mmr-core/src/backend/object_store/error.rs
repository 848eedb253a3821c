//! From errors of `object_store` and the operating system to [`DatastoreError`].

use std::{error::Error, io, sync::Arc};

use ::object_store::Error as StoreError;

use crate::datastore::DatastoreError;

type Source = Box<dyn Error + Send + Sync>;
type Kind = fn(Source) -> DatastoreError;

/// Where a store is, for messages: bucket and endpoint. Directories say so themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Place(Option<Arc<str>>);

#[derive(Debug, thiserror::Error)]
#[error("{place} failed")]
struct At {
    place: Arc<str>,
    source: Source,
}

impl Place {
    #[cfg(feature = "s3")]
    pub(super) fn new(place: &str) -> Self {
        Self(Some(place.into()))
    }

    /// As [`classify`], and names the place.
    pub(super) fn classify(&self, error: impl Into<Source>) -> DatastoreError {
        let error = classify(error);
        let Some(place) = &self.0 else { return error };
        let at = |source| Box::new(At { place: Arc::clone(place), source });
        match error {
            DatastoreError::Denied(source) => DatastoreError::Denied(at(source)),
            DatastoreError::Full(source) => DatastoreError::Full(at(source)),
            DatastoreError::Unavailable(source) => DatastoreError::Unavailable(at(source)),
            DatastoreError::Other(source) => DatastoreError::Other(at(source)),
            error => error,
        }
    }
}

/// Finds the kind of an error by what lies deepest in it: `object_store` hides most of them in `Generic`.
pub(super) fn classify(error: impl Into<Source>) -> DatastoreError {
    let error = error.into();
    let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
    while let Some(current) = cause {
        if let Some(StoreError::NotFound { .. }) = current.downcast_ref() {
            return DatastoreError::NotFound;
        }
        if let Some(kind) = kind_of(current) {
            return kind(error);
        }
        cause = current.source();
    }
    DatastoreError::Other(error)
}

fn kind_of(error: &(dyn Error + 'static)) -> Option<Kind> {
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return match error {
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
                Some(DatastoreError::Denied)
            }
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<tokio::task::JoinError>() {
        // A cancelled task means that the runtime is shutting down.
        return error.is_cancelled().then_some(DatastoreError::Unavailable as Kind);
    }
    #[cfg(feature = "s3")]
    if let Some(kind) = kind_of_http(error) {
        return Some(kind);
    }
    error.downcast_ref::<io::Error>().and_then(kind_of_io)
}

#[cfg(feature = "s3")]
fn kind_of_http(error: &(dyn Error + 'static)) -> Option<Kind> {
    use ::object_store::client::{HttpError, HttpErrorKind};

    use super::transport::{Meaning, Refusal};

    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return match refusal.meaning() {
            Meaning::Denied => Some(DatastoreError::Denied),
            Meaning::Full => Some(DatastoreError::Full),
            Meaning::Unavailable => Some(DatastoreError::Unavailable),
            Meaning::Other => Some(DatastoreError::Other),
        };
    }
    let error = error.downcast_ref::<HttpError>()?;
    // What the store said decides. Without that, nothing was said.
    let said = error.source().and_then(|source| source.downcast_ref::<Refusal>()).is_some();
    let broke = !matches!(error.kind(), HttpErrorKind::Unknown | HttpErrorKind::Decode);
    (broke && !said).then_some(DatastoreError::Unavailable as Kind)
}

fn kind_of_io(error: &io::Error) -> Option<Kind> {
    use io::ErrorKind as Io;
    // No file descriptors left (EMFILE, ENFILE), which has no `ErrorKind`: it passes.
    if matches!(error.raw_os_error(), Some(23 | 24)) {
        return Some(DatastoreError::Unavailable);
    }
    match error.kind() {
        Io::NotFound => Some(|_| DatastoreError::NotFound),
        Io::PermissionDenied | Io::ReadOnlyFilesystem => Some(DatastoreError::Denied),
        Io::StorageFull | Io::QuotaExceeded => Some(DatastoreError::Full),
        Io::TimedOut
        | Io::WouldBlock
        | Io::ResourceBusy
        | Io::StaleNetworkFileHandle
        | Io::OutOfMemory
        | Io::BrokenPipe
        | Io::ConnectionAborted
        | Io::ConnectionRefused
        | Io::ConnectionReset
        | Io::HostUnreachable
        | Io::NetworkDown
        | Io::NetworkUnreachable
        | Io::NotConnected => Some(DatastoreError::Unavailable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(errno: i32) -> DatastoreError {
        let source = Box::new(io::Error::from_raw_os_error(errno));
        classify(StoreError::Generic { store: "LocalFileSystem", source })
    }

    #[test]
    fn what_the_operating_system_said_decides_the_kind() {
        for (errno, is_kind) in [
            (2, (|error| matches!(error, DatastoreError::NotFound)) as fn(&DatastoreError) -> bool),
            (13, |error| matches!(error, DatastoreError::Denied(_))),
            (30, |error| matches!(error, DatastoreError::Denied(_))),
            (28, |error| matches!(error, DatastoreError::Full(_))),
            (122, |error| matches!(error, DatastoreError::Full(_))),
            (24, |error| matches!(error, DatastoreError::Unavailable(_))),
            (110, |error| matches!(error, DatastoreError::Unavailable(_))),
            (5, |error| matches!(error, DatastoreError::Other(_))),
        ] {
            let error = hidden(errno);
            assert!(is_kind(&error), "errno {errno} became {error:?}");
        }
    }

    #[test]
    fn the_cause_stays_attached() {
        let error = hidden(28);
        let source = error.source().and_then(Error::source).unwrap();
        assert_eq!(source.downcast_ref::<io::Error>().unwrap().raw_os_error(), Some(28));
    }
}
