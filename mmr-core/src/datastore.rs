//! The seam to bytes at rest.

use std::{error::Error, fmt, fs::File, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use url::Url;

use crate::{
    stream::ByteStream,
    types::{BlobKey, Timestamp},
};

mod cached;
mod registry;
mod tiered;

pub use self::{
    cached::CachedDatastore,
    registry::{Datastores, DatastoresBuilder, NoDatastore, Placement},
    tiered::TieredDatastore,
};

/// Bytes at rest. Objects are immutable: created once, read many times, deleted.
///
/// What implementors promise:
/// - An object becomes visible whole, when [`BlobWriter::commit`] returns, or not at all. When `commit` has returned
///   `Ok`, the object survives a crash of the process and, unless configured otherwise, of the machine.
/// - Keys are fresh ([`BlobKey::generate`]): `create` is never called twice for a key, and nothing relies on the
///   backend refusing to overwrite.
/// - Every method may be called at any time by any number of tasks.
///
/// `mmr_core::testing::datastore_suite!` holds these promises as tests (feature `testing`).
#[async_trait]
pub trait Datastore: fmt::Debug + Send + Sync + 'static {
    /// Opens a writer for a new object. Nothing is visible at `key` until `commit` returns.
    async fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, DatastoreError>;

    /// Like `create`, for an object that is to be read while it is made. `None` where that cannot be, because what is being
    /// made is no file of this machine.
    async fn create_open(&self, _: &BlobKey) -> Result<Option<OpenObject>, DatastoreError> {
        Ok(None)
    }

    /// Reads an object, or the bytes of `range`, which must lie inside the object and not be empty.
    ///
    /// Errors: [`DatastoreError::NotFound`]; [`DatastoreError::Range`] when the range reaches behind the end.
    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobRead, DatastoreError>;

    /// Deletes an object. A missing object is success.
    async fn delete(&self, key: &BlobKey) -> Result<(), DatastoreError>;

    /// Lists all objects whose key has the segments of `prefix` and at least one more, in no particular order. Objects
    /// that come or go meanwhile may or may not be listed. What lies in the backend without being an object of ours
    /// (its name is no valid key) is passed over.
    fn list(&self, prefix: Option<&BlobKey>) -> BoxStream<'static, Result<BlobStat, DatastoreError>>;

    /// A public or presigned address that a client can fetch the object from, where the backend has one. It may live
    /// shorter than was asked for, and a public one may be answered with other headers.
    async fn link(&self, key: &BlobKey, request: &LinkRequest<'_>) -> Result<Option<Url>, DatastoreError>;

    /// Removes what interrupted writers left behind before `before`: staged files, unfinished multipart uploads.
    /// Answers how many. Writers that are still at work may be among those older than `before`, so leave them ample
    /// time.
    async fn remove_unfinished(&self, before: Timestamp) -> Result<u64, DatastoreError>;
}

/// A new object in the making. Dropping a writer abandons the object, cleaning up in the background; `abort` does so
/// and waits.
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends `chunk`. It may return before the bytes are stored, so that the next chunk can be awaited meanwhile; an
    /// error then comes from a later call. After an error, or when the returned future was dropped before its end, the
    /// writer can only be aborted or dropped.
    async fn write(&mut self, chunk: Bytes) -> Result<(), DatastoreError>;

    /// Appends several chunks, which is cheaper for some than one after the other.
    async fn write_many(&mut self, chunks: Vec<Bytes>) -> Result<(), DatastoreError> {
        for chunk in chunks {
            self.write(chunk).await?;
        }
        Ok(())
    }

    /// Makes the object visible and durable. After an error, or when the returned future was dropped before its end,
    /// nothing is visible at the key, or, when the backend cannot tell, a whole but unreferenced object is left for the
    /// sweep.
    async fn commit(self: Box<Self>) -> Result<(), DatastoreError>;

    /// Abandons the object and frees what it took.
    async fn abort(self: Box<Self>);
}

/// A new object in the making that others read meanwhile.
pub struct OpenObject {
    /// What the writer has been given, from the start of the file on, as soon as [`BlobWriter::write`] returns.
    pub file: Arc<File>,
    /// What writes to the file, and makes an object of it.
    pub writer: Box<dyn BlobWriter>,
}

impl fmt::Debug for OpenObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenObject").field("file", &self.file).finish_non_exhaustive()
    }
}

/// What is asked of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkRequest<'a> {
    /// How long it has to work.
    pub ttl: Duration,
    /// `Content-Type` that the object is to be answered with.
    pub content_type: &'a str,
    /// `Content-Disposition` that the object is to be answered with.
    pub content_disposition: Option<&'a str>,
    /// Length of the object in bytes: a redirect is not worth it for a short one.
    pub len: u64,
}

/// An object being read.
#[derive(Debug)]
pub struct BlobRead {
    /// Number of bytes that `body` will yield.
    pub len: u64,
    /// The bytes. Never fewer than `len` without an error at the end, even if the stored object was cut short.
    pub body: ByteStream,
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobStat {
    /// Its key.
    pub key: BlobKey,
    /// Its length in bytes.
    pub size: u64,
    /// When it was created.
    pub modified: Timestamp,
}

/// Why a datastore could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatastoreError {
    /// There is no such object.
    #[error("the object does not exist")]
    NotFound,
    /// The range reaches behind the end of the object.
    #[error("range reaches behind the {len} bytes of the object")]
    Range {
        /// Length of the object in bytes.
        len: u64,
    },
    /// The backend refused: credentials, permissions, a read-only file system.
    #[error("the datastore refused access")]
    Denied(#[source] Box<dyn Error + Send + Sync>),
    /// There is no room left.
    #[error("the datastore is full")]
    Full(#[source] Box<dyn Error + Send + Sync>),
    /// The backend does not answer, or not in time. Worth another try.
    #[error("the datastore is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Anything else.
    #[error("the datastore failed")]
    Other(#[source] Box<dyn Error + Send + Sync>),
}

impl DatastoreError {
    /// Whether the same call may succeed later without anybody doing anything about it.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
