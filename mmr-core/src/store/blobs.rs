//! Blobs: garbage, moves and sums.

use std::fmt;

use async_trait::async_trait;

use super::StoreError;
use crate::types::{BlobKey, BlobLocation, BlobRecord, ContentHash, DatastoreId, Timestamp};

/// Where bytes lie, and where they no longer should.
#[async_trait]
pub trait BlobIndex: fmt::Debug + Send + Sync + 'static {
    /// Up to `limit` locations that became garbage before `before`, oldest first. They stay on the list until
    /// [`BlobIndex::forget`]; answering the same ones twice is fine, deleting is idempotent.
    async fn garbage(&self, limit: u32, before: Timestamp) -> Result<Vec<BlobLocation>, StoreError>;

    /// Strikes locations off the garbage list, after their objects were deleted.
    async fn forget(&self, garbage: &[BlobLocation]) -> Result<(), StoreError>;

    /// Those of `keys` that no blob in `datastore` has and that are not on the garbage list: orphans, if they are old
    /// enough to belong to no upload in flight. In the order of `keys`.
    async fn unreferenced(
        &self,
        datastore: &DatastoreId,
        keys: &[BlobKey],
    ) -> Result<Vec<BlobKey>, StoreError>;

    /// Points a blob to a copy of its bytes; the old location becomes garbage as of `now`, and the new one leaves the
    /// garbage list, should it be there. False, and nothing done, when the blob is not at `from` any more.
    /// A location that another blob lies at is a [`StoreError::Conflict`].
    async fn relocate(
        &self,
        blob: &ContentHash,
        from: &BlobLocation,
        to: &BlobLocation,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Blobs in a datastore behind `after`, ordered bytewise by key, at most `limit`: all of them, page by page.
    async fn blobs_in(
        &self,
        datastore: &DatastoreId,
        after: Option<&BlobKey>,
        limit: u32,
    ) -> Result<Vec<StoredBlob>, StoreError>;

    /// What lies in a datastore, garbage not counted. Cheap: sums are kept, not computed.
    async fn datastore_usage(&self, datastore: &DatastoreId) -> Result<DatastoreUsage, StoreError>;

    /// Datastores that any blob lies in, in order. A server refuses to start when one of them is not configured.
    async fn datastores(&self) -> Result<Vec<DatastoreId>, StoreError>;
}

/// A blob and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// The blob.
    pub blob: BlobRecord,
    /// When its media was last read or stored, or its thumbnail rendered, whichever was last.
    pub last_used: Timestamp,
    /// Number of media with these bytes.
    pub media: u64,
    /// Number of thumbnails that are these bytes.
    pub thumbnails: u64,
}

/// What lies in a datastore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatastoreUsage {
    /// Number of blobs.
    pub blobs: u64,
    /// Total size in bytes.
    pub bytes: u64,
}
