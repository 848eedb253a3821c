//! Thumbnails of stored pictures, rendered on first request.

use std::{error::Error as _, sync::Arc, time::Duration};

use super::{
    RenderError, RenderPool,
    batch::{Batches, Joined, Ready},
    failures::Failures,
    info::KnownHeaders,
    normalise,
};
use crate::{
    Error, Result,
    clock::Clock,
    datastore::{DatastoreError, Datastores},
    download::{DownloadRequest, Downloads},
    ingest::Ingest,
    leases::Leases,
    policy::PolicyHandle,
    store::ThumbnailIndex,
    stream::ByteStream,
    types::{ContentHash, MediaRecord, ThumbnailRecord, ThumbnailRequest, ThumbnailSpec},
};

/// Whose thumbnail, and which.
type Key = (ContentHash, ThumbnailSpec);
/// Thumbnails that were asked for lately. They belong to bytes, and bytes never change.
pub(crate) type KnownThumbnails = moka::sync::Cache<Key, Arc<ThumbnailRecord>>;

/// When to ask again for a thumbnail that could not be rendered for lack of room.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Makes and serves thumbnails. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Thumbnails(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) index: Arc<dyn ThumbnailIndex>,
    pub(crate) downloads: Downloads,
    pub(crate) datastores: Datastores,
    pub(crate) ingest: Ingest,
    pub(crate) pool: RenderPool,
    pub(crate) batches: Batches,
    pub(crate) failures: Failures,
    pub(crate) known: KnownThumbnails,
    pub(crate) fleeting: FleetingThumbnails,
    pub(crate) headers: KnownHeaders,
    /// What nodes on the same store agree by on who renders; `None` where there is one node.
    pub(crate) leases: Option<Leases>,
    pub(crate) policies: PolicyHandle,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Inner {
    /// What is recorded.
    pub(super) async fn find(
        &self,
        source: &MediaRecord,
        spec: &ThumbnailSpec,
    ) -> Result<Option<Arc<ThumbnailRecord>>> {
        let key = (source.blob.hash, *spec);
        if let Some(record) = self.known.get(&key) {
            return Ok(Some(record));
        }
        let found = self.index.thumbnail(&source.mxc, spec).await?.thumbnail.map(Arc::new);
        if let Some(record) = &found {
            self.known.insert(key, Arc::clone(record));
        }
        Ok(found)
    }
}

/// Thumbnails of sizes that are not kept, for the next who asks.
#[derive(Debug)]
pub(crate) struct FleetingThumbnails(moka::sync::Cache<Key, Ready>);

impl FleetingThumbnails {
    const CAPACITY_BYTES: u64 = 16 << 20;

    pub(crate) fn new() -> Self {
        let bytes = |_: &Key, ready: &Ready| {
            let len = ready.bytes.as_ref().map_or(0, bytes::Bytes::len);
            u32::try_from(len + 512).unwrap_or(u32::MAX)
        };
        Self(moka::sync::Cache::builder().weigher(bytes).max_capacity(Self::CAPACITY_BYTES).build())
    }

    pub(super) fn insert(&self, ready: &Ready) {
        self.0.insert((ready.record.source, ready.record.spec), ready.clone());
    }
}

/// A thumbnail on its way out.
#[derive(Debug)]
pub struct Thumbnail {
    /// What is known about it.
    pub record: Arc<ThumbnailRecord>,
    /// The encoded picture.
    pub body: ByteStream,
}

impl Thumbnails {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// The thumbnail of a picture that the caller may have, rendered now if it was not before ([spec]). Never smaller
    /// than asked unless the picture or the largest configured size is, never larger than the picture.
    ///
    /// Errors: those of [`Downloads::describe`]; [`Error::NotThumbnailable`] for what is no picture or a broken one;
    /// [`Error::TooLarge`] beyond the policy's bytes or pixels; [`Error::Busy`] when too many are being rendered.
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#thumbnails
    pub async fn open(&self, request: &DownloadRequest, wanted: &ThumbnailRequest) -> Result<Thumbnail> {
        let policies = self.0.policies.snapshot();
        let policy = policies.for_server(&request.server).ok_or(Error::NotFound)?;
        let spec = normalise(wanted, &policy.thumbnails)
            .map_err(|error| Error::NotThumbnailable(error.to_string()))?;
        let source = self.0.downloads.describe(request).await?;
        let hash = source.blob.hash;
        loop {
            if let Some(thumbnail) = self.made(&source, &spec).await? {
                return Ok(thumbnail);
            }
            self.0.failures.check(hash, &policy.thumbnails)?;
            let joined = self.0.batches.join(hash, spec, policy, |batch| {
                self.clone().make(Arc::clone(&source), Arc::clone(policy), batch)
            });
            match joined {
                Joined::Aboard(waiter) => return self.serve(waiter.thumbnail(&spec).await?).await,
                Joined::Missed(waiter) => waiter.end().await,
            }
        }
    }

    /// A thumbnail that was made before.
    async fn made(&self, source: &MediaRecord, spec: &ThumbnailSpec) -> Result<Option<Thumbnail>> {
        let key = (source.blob.hash, *spec);
        if let Some(ready) = self.0.fleeting.0.get(&key) {
            return self.serve(ready).await.map(Some);
        }
        let Some(record) = self.0.find(source, spec).await? else { return Ok(None) };
        match self.0.datastores.read(&record.blob.location, None).await {
            Ok(read) => Ok(Some(Thumbnail { record, body: read.body })),
            // Its bytes are gone: purged since, or lost. A new rendering serves this request either way.
            Err(DatastoreError::NotFound) => {
                self.0.known.invalidate(&key);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn serve(&self, ready: Ready) -> Result<Thumbnail> {
        let Ready { record, bytes } = ready;
        let body = match bytes {
            Some(bytes) => ByteStream::from(bytes),
            None => self.0.datastores.read(&record.blob.location, None).await?.body,
        };
        Ok(Thumbnail { record, body })
    }
}

/// With the names that mmr-server and matrix-media-repo have for the limits: whoever can change one reads this.
impl From<RenderError> for Error {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::TooManyPixels { limit, .. } => {
                Self::TooLarge { limit, unit: "pixels that thumbnails.maxPixels allows" }
            }
            RenderError::TooMuchMemory { limit, .. } => {
                Self::TooLarge { limit, unit: "pixels for which thumbnails.memoryBudgetBytes has room" }
            }
            RenderError::Busy => Self::Busy { retry_after: RETRY_AFTER },
            RenderError::Crashed => Self::NotThumbnailable("its decoder failed".to_owned()),
            RenderError::Source(error) => Self::Body(error),
            RenderError::Worker(error) => {
                tracing::error!(%error, "render workers cannot be started");
                Self::Internal("thumbnails cannot be rendered")
            }
            RenderError::Deadline => Self::NotThumbnailable(
                "rendering took longer than thumbnails.renderTimeoutSeconds".to_owned(),
            ),
            RenderError::TooManyBytes { limit } => {
                Self::TooLarge { limit, unit: "bytes that thumbnails.maxSourceBytes allows" }
            }
            error => Self::NotThumbnailable(
                error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
            ),
        }
    }
}
