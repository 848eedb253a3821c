//! From errors of `object_store` and the operating system to [`DatastoreError`].

use std::{error::Error, io, sync::Arc};

use ::object_store::Error as StoreError;

use crate::datastore::DatastoreError;

type Source = Box<dyn Error + Send + Sync>;
pub(in crate::backend) type Kind = fn(Source) -> DatastoreError;

/// Where a store is, for messages, and what its own errors mean. Directories need neither.
#[derive(Clone, Debug, Default)]
pub(in crate::backend) struct Place(Option<Named>);

#[derive(Clone, Debug)]
struct Named {
    name: Arc<str>,
    kind_of: fn(&(dyn Error + 'static)) -> Option<Kind>,
}

#[derive(Debug, thiserror::Error)]
#[error("{name} failed")]
struct At {
    name: Arc<str>,
    source: Source,
}

impl Place {
    #[cfg_attr(
        not(any(feature = "azure", feature = "gcs", feature = "s3")),
        expect(dead_code, reason = "only stores behind features have names")
    )]
    pub(in crate::backend) fn new(name: &str, kind_of: fn(&(dyn Error + 'static)) -> Option<Kind>) -> Self {
        Self(Some(Named { name: name.into(), kind_of }))
    }

    /// As [`classify`], and names the place.
    pub(in crate::backend) fn classify(&self, error: impl Into<Source>) -> DatastoreError {
        let Some(Named { name, kind_of }) = &self.0 else { return classify(error) };
        let at = |source| Box::new(At { name: Arc::clone(name), source });
        match classify_by(error.into(), |error| kind_of(error).or_else(|| self::kind_of(error))) {
            DatastoreError::Denied(source) => DatastoreError::Denied(at(source)),
            DatastoreError::Full(source) => DatastoreError::Full(at(source)),
            DatastoreError::Unavailable(source) => DatastoreError::Unavailable(at(source)),
            DatastoreError::Other(source) => DatastoreError::Other(at(source)),
            error => error,
        }
    }
}

/// Finds the kind of an error by what lies deepest in it: `object_store` hides most of them in `Generic`.
pub(in crate::backend) fn classify(error: impl Into<Source>) -> DatastoreError {
    classify_by(error.into(), kind_of)
}

fn classify_by(error: Source, kind_of: impl Fn(&(dyn Error + 'static)) -> Option<Kind>) -> DatastoreError {
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
    error.downcast_ref::<io::Error>().and_then(kind_of_io)
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
