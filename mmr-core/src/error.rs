//! What a service answers when it cannot do what it was asked.

use std::{sync::Arc, time::Duration};

use crate::{
    datastore::{DatastoreError, NoDatastore},
    federation::FederationError,
    store::StoreError,
    stream::StreamError,
};

/// The result of a service call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a service did not do what it was asked. Each maps to one HTTP status and one Matrix errcode.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such media, or the caller must not learn that there is.
    #[error("media not found")]
    NotFound,
    /// The name is reserved and its bytes did not come in time.
    #[error("media has not been uploaded yet")]
    NotYetUploaded,
    /// Moderators have withdrawn the media, or these bytes may not be uploaded.
    #[error("media is quarantined")]
    Quarantined,
    /// The media is served on authenticated endpoints only.
    #[error("authentication is required to download this media")]
    AuthRequired,
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The name has its bytes already.
    #[error("media has already been uploaded")]
    AlreadyUploaded,
    /// The upload, or the picture to make a thumbnail of, is too large.
    #[error("the media is larger than the {limit} {unit}")]
    TooLarge {
        /// The limit.
        limit: u64,
        /// What the limit counts, and which one it is: `bytes allowed`, `pixels that thumbnails.maxPixels allows`.
        unit: &'static str,
    },
    /// The upload is smaller than allowed.
    #[error("the media is smaller than the {limit} bytes required")]
    TooSmall {
        /// The number of bytes required.
        limit: u64,
    },
    /// The uploader has as much as is allowed.
    #[error("the upload quota is used up")]
    QuotaExceeded,
    /// The uploader has as many reserved names as are allowed.
    #[error("too many pending uploads")]
    TooManyPending,
    /// The range starts behind the end of the media.
    #[error("range is outside the {len} stored bytes")]
    RangeNotSatisfiable {
        /// Length of the media in bytes.
        len: u64,
    },
    /// No thumbnail can be made of this media.
    #[error("cannot make a thumbnail: {0}")]
    NotThumbnailable(String),
    /// Too much is going on; try again.
    #[error("too busy, try again later")]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// Another server did not give what was asked.
    #[error("another server failed")]
    Federation(#[from] FederationError),
    /// The database failed.
    #[error("the metadata store failed")]
    Store(#[from] StoreError),
    /// The object storage failed.
    #[error("the object storage failed")]
    Datastore(#[from] DatastoreError),
    /// No datastore is configured for what was asked.
    #[error("the datastores are not configured for this")]
    NoDatastore(#[from] NoDatastore),
    /// The body of the upload ended before its end.
    #[error("the body broke off")]
    Body(#[source] StreamError),
    /// A defect of this software or the machine.
    #[error("internal error: {0}")]
    Internal(&'static str),
    /// What became of a job that several requests waited for.
    #[error(transparent)]
    Shared(Arc<Self>),
}

/// The kind of an [`Error`]: what happened, without the details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each stands for the variant of Error with its name")]
pub enum ErrorKind {
    NotFound,
    NotYetUploaded,
    Quarantined,
    AuthRequired,
    Forbidden,
    AlreadyUploaded,
    TooLarge,
    TooSmall,
    QuotaExceeded,
    TooManyPending,
    RangeNotSatisfiable,
    NotThumbnailable,
    Busy,
    Federation,
    Store,
    Datastore,
    NoDatastore,
    Body,
    Internal,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [Self; 19] = [
        Self::NotFound,
        Self::NotYetUploaded,
        Self::Quarantined,
        Self::AuthRequired,
        Self::Forbidden,
        Self::AlreadyUploaded,
        Self::TooLarge,
        Self::TooSmall,
        Self::QuotaExceeded,
        Self::TooManyPending,
        Self::RangeNotSatisfiable,
        Self::NotThumbnailable,
        Self::Busy,
        Self::Federation,
        Self::Store,
        Self::Datastore,
        Self::NoDatastore,
        Self::Body,
        Self::Internal,
    ];

    /// A label for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotYetUploaded => "not_yet_uploaded",
            Self::Quarantined => "quarantined",
            Self::AuthRequired => "auth_required",
            Self::Forbidden => "forbidden",
            Self::AlreadyUploaded => "already_uploaded",
            Self::TooLarge => "too_large",
            Self::TooSmall => "too_small",
            Self::QuotaExceeded => "quota_exceeded",
            Self::TooManyPending => "too_many_pending",
            Self::RangeNotSatisfiable => "range_not_satisfiable",
            Self::NotThumbnailable => "not_thumbnailable",
            Self::Busy => "busy",
            Self::Federation => "federation",
            Self::Store => "store",
            Self::Datastore => "datastore",
            Self::NoDatastore => "no_datastore",
            Self::Body => "body",
            Self::Internal => "internal",
        }
    }
}

impl Error {
    /// What happened, without the details.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::NotYetUploaded => ErrorKind::NotYetUploaded,
            Self::Quarantined => ErrorKind::Quarantined,
            Self::AuthRequired => ErrorKind::AuthRequired,
            Self::Forbidden(_) => ErrorKind::Forbidden,
            Self::AlreadyUploaded => ErrorKind::AlreadyUploaded,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::TooSmall { .. } => ErrorKind::TooSmall,
            Self::QuotaExceeded => ErrorKind::QuotaExceeded,
            Self::TooManyPending => ErrorKind::TooManyPending,
            Self::RangeNotSatisfiable { .. } => ErrorKind::RangeNotSatisfiable,
            Self::NotThumbnailable(_) => ErrorKind::NotThumbnailable,
            Self::Busy { .. } => ErrorKind::Busy,
            Self::Federation(_) => ErrorKind::Federation,
            Self::Store(_) => ErrorKind::Store,
            Self::Datastore(_) => ErrorKind::Datastore,
            Self::NoDatastore(_) => ErrorKind::NoDatastore,
            Self::Body(_) => ErrorKind::Body,
            Self::Internal(_) => ErrorKind::Internal,
            Self::Shared(error) => error.kind(),
        }
    }

    /// The error itself, where several requests share one.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::Shared(error) => error.root(),
            error => error,
        }
    }
}

impl From<StreamError> for Error {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::TooLarge { limit } => Self::TooLarge { limit, unit: "bytes allowed" },
            error => Self::Body(error),
        }
    }
}
