//! Thumbnails of stored pictures, rendered on first request.

use std::{error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{RenderError, RenderPool, Rendered, normalise};
use crate::{
    Error, Result,
    clock::Clock,
    datastore::{DatastoreError, Datastores},
    download::{DownloadRequest, Downloads},
    flight::Flights,
    ingest::{Ingest, NewRecord, Published, Target},
    metrics,
    policy::{PolicyHandle, ServerPolicy},
    store::{Inserted, NewBlob, NewThumbnail, ThumbnailIndex},
    stream::ByteStream,
    types::{
        BlobKey, BlobLocation, BlobRecord, ContentHash, ContentType, DatastoreId, Digests, Hasher, MediaKind,
        MediaRecord, RangeRequest, ThumbnailRecord, ThumbnailRequest, ThumbnailSpec,
    },
};

/// What a thumbnail is made of and how.
type Job = (ContentHash, ThumbnailSpec);
/// What everybody who waits for a rendering gets.
pub(crate) type Outcome = std::result::Result<Ready, Arc<Error>>;
/// Renderings under way.
pub(crate) type Renderings = Flights<Job, Outcome>;
/// Thumbnails that were asked for lately. They belong to bytes, and bytes never change.
pub(crate) type KnownThumbnails = moka::sync::Cache<Job, Arc<ThumbnailRecord>>;

/// When to ask again for a thumbnail that could not be rendered for lack of room.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Makes and serves thumbnails. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Thumbnails(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) index: Arc<dyn ThumbnailIndex>,
    pub(crate) downloads: Downloads,
    pub(crate) datastores: Datastores,
    pub(crate) ingest: Ingest,
    pub(crate) pool: RenderPool,
    pub(crate) renderings: Renderings,
    pub(crate) known: KnownThumbnails,
    pub(crate) policies: PolicyHandle,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A thumbnail on its way out.
#[derive(Debug)]
pub struct Thumbnail {
    /// What is known about it.
    pub record: Arc<ThumbnailRecord>,
    /// The encoded picture.
    pub body: ByteStream,
}

/// A thumbnail that was just rendered, with its bytes still at hand.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    record: Arc<ThumbnailRecord>,
    bytes: Bytes,
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
        if let Some(record) = self.find(&source, &spec).await? {
            match self.0.datastores.read(&record.blob.location, None).await {
                Ok(read) => return Ok(Thumbnail { record, body: read.body }),
                // Its bytes are gone: purged since, or lost. A new rendering serves this request either way.
                Err(DatastoreError::NotFound) => self.0.known.invalidate(&(record.source, record.spec)),
                Err(error) => return Err(error.into()),
            }
        }
        let Ready { record, bytes } = self.render(source, spec, policy).await?;
        Ok(Thumbnail { record, body: ByteStream::from(bytes) })
    }

    async fn find(&self, source: &MediaRecord, spec: &ThumbnailSpec) -> Result<Option<Arc<ThumbnailRecord>>> {
        let job = (source.blob.hash, *spec);
        if let Some(record) = self.0.known.get(&job) {
            return Ok(Some(record));
        }
        let found = self.0.index.thumbnail(&source.mxc, spec).await?.thumbnail.map(Arc::new);
        if let Some(record) = &found {
            self.0.known.insert(job, Arc::clone(record));
        }
        Ok(found)
    }

    async fn render(
        &self,
        source: Arc<MediaRecord>,
        spec: ThumbnailSpec,
        policy: &Arc<ServerPolicy>,
    ) -> Result<Ready> {
        let (this, policy) = (self.clone(), Arc::clone(policy));
        let job = (source.blob.hash, spec);
        let rendering =
            move || async move { this.render_alone(source, spec, policy).await.map_err(Arc::new) };
        match self.0.renderings.join(job, rendering).await {
            Some(outcome) => outcome.map_err(Error::Shared),
            None => Err(Error::Internal("a rendering was dropped")),
        }
    }

    async fn render_alone(
        self,
        source: Arc<MediaRecord>,
        spec: ThumbnailSpec,
        policy: Arc<ServerPolicy>,
    ) -> Result<Ready> {
        let limit = policy.thumbnails.max_source_bytes;
        if source.blob.size > limit {
            return Err(Error::TooLarge { limit, unit: "bytes" });
        }
        let original =
            self.0.downloads.read(&source, RangeRequest::Whole).await?.body.collect_up_to(limit).await?;
        let rendered = self.0.pool.render(original.clone(), spec, Arc::clone(&policy.thumbnails)).await?;
        metrics::rendered(spec.method.as_str());
        let (Rendered::Image { content_type, width, height, .. }
        | Rendered::Original { content_type, width, height }) = rendered;
        let thumbnail = NewThumbnail {
            source: source.blob.hash,
            spec,
            blob: NewBlob::Link(source.blob.hash),
            content_type: ContentType::new(content_type),
            width,
            height,
            created: self.0.clock.now(),
        };
        let (blob, bytes) = match rendered {
            Rendered::Image { bytes, .. } => {
                (self.keep(&policy, thumbnail.clone(), bytes.clone()).await, bytes)
            }
            Rendered::Original { .. } => (self.link_original(&thumbnail, &source).await?, original),
        };
        let record = Arc::new(ThumbnailRecord {
            source: thumbnail.source,
            spec,
            blob,
            content_type: thumbnail.content_type,
            width: thumbnail.width,
            height: thumbnail.height,
            created: thumbnail.created,
        });
        Ok(Ready { record, bytes })
    }

    /// Keeps a rendering for the next who asks. Whoever asked now gets it from memory, kept or not: a full disk must not
    /// take the pictures away from people.
    async fn keep(&self, policy: &ServerPolicy, thumbnail: NewThumbnail, bytes: Bytes) -> BlobRecord {
        let Digests { hash, checksum, len } = Hasher::digest(&bytes);
        match self.store(policy, thumbnail, bytes).await {
            Ok(Published::Recorded(blob)) => return blob,
            // Somebody else stored one meanwhile, or the picture is gone by now.
            Ok(Published::Refused(_) | Published::Gone) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "a thumbnail could not be stored and will be rendered again");
            }
        }
        // A place where nothing lies: this record is never remembered.
        let location = BlobLocation { datastore: DatastoreId::nowhere(), key: BlobKey::generate() };
        BlobRecord { hash, checksum: Some(checksum), size: len, location }
    }

    async fn store(&self, policy: &ServerPolicy, thumbnail: NewThumbnail, bytes: Bytes) -> Result<Published> {
        let target = Target { kind: MediaKind::Thumbnail, placement: policy.placement.as_ref() };
        let staged = self.0.ingest.stage(target, ByteStream::from(bytes)).await?;
        self.0.ingest.publish(staged, NewRecord::Thumbnail(thumbnail), None).await
    }

    /// A picture that is small enough already is its own thumbnail, under the same bytes.
    async fn link_original(&self, thumbnail: &NewThumbnail, source: &MediaRecord) -> Result<BlobRecord> {
        match self.0.index.insert_thumbnail(thumbnail).await? {
            Inserted::Linked(location) => Ok(BlobRecord { location, ..source.blob.clone() }),
            Inserted::Stored | Inserted::Refused(_) | Inserted::BlobGone => Ok(source.blob.clone()),
        }
    }
}

impl From<RenderError> for Error {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::TooManyPixels { limit, .. } => Self::TooLarge { limit, unit: "pixels" },
            RenderError::Busy => Self::Busy { retry_after: RETRY_AFTER },
            RenderError::Crashed => Self::NotThumbnailable("its decoder failed".to_owned()),
            RenderError::Source(error) => Self::Body(error),
            RenderError::Worker(error) => {
                tracing::error!(%error, "render workers cannot be started");
                Self::Internal("thumbnails cannot be rendered")
            }
            RenderError::Deadline => Self::NotThumbnailable("rendering took too long".to_owned()),
            RenderError::TooManyBytes { limit } => Self::TooLarge { limit, unit: "bytes" },
            error => Self::NotThumbnailable(
                error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
            ),
        }
    }
}
