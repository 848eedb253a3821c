//! What happens when a thumbnail is asked for that is not there yet.

use std::{iter, sync::Arc};

use bytes::Bytes;
use futures_util::future;
use tokio_util::sync::DropGuard;

use super::{
    Inner, RenderError, Rendered, Thumbnails,
    batch::{Batch, Ready},
    geometry,
    pool::Turn,
    spec::{base, is_canonical},
};
use crate::{
    Error, Result,
    datastore::DatastoreError,
    ingest::{NewRecord, Published, Target},
    metrics,
    policy::{ServerPolicy, ThumbnailPolicy},
    store::{Inserted, NewBlob, NewThumbnail},
    stream::ByteStream,
    types::{
        BlobKey, BlobLocation, BlobRecord, ContentType, DatastoreId, Digests, Hasher, MediaKind, MediaRecord,
        RangeRequest, Size, ThumbnailRecord, ThumbnailSpec, Variant,
    },
};

/// From sources of so many bytes the [`base`] is made along with whatever was asked, and so are sizes that cannot be made from
/// that: such sources take long to decode, and the next size is often asked for soon.
const MAKE_ALONG_FROM: u64 = 512 * 1024;

/// Thumbnails that are made along, at most.
const MOST_ALONG: usize = 3;

/// A larger picture by this factor gives as good a thumbnail as the original does.
const MARGIN: u32 = 2;

impl Thumbnails {
    /// Makes what a batch is for.
    pub(super) async fn make(
        self,
        source: Arc<MediaRecord>,
        policy: Arc<ServerPolicy>,
        batch: Batch,
    ) -> Result<Vec<Ready>> {
        Maker { inner: self.0, source, policy }.make(&batch).await
    }
}

/// Makes thumbnails of one source.
struct Maker {
    inner: Arc<Inner>,
    source: Arc<MediaRecord>,
    policy: Arc<ServerPolicy>,
}

impl Maker {
    async fn make(&self, batch: &Batch) -> Result<Vec<Ready>> {
        let limit = self.policy.thumbnails.max_source_bytes;
        if self.source.blob.size > limit {
            return Err(RenderError::TooManyBytes { limit }.into());
        }
        let ticket = self.inner.pool.admit(self.source.blob.size)?;
        let _lease = match self.take_lease(batch).await? {
            Leased::Ours(lease) => lease,
            Leased::Done(made) => return Ok(made),
        };
        let turn = ticket.turn().await?;
        let specs = batch.close();
        match self.base_for(&specs).await? {
            Some((body, base)) => self.render_base(turn, body, &base, specs).await,
            None => self.render_original(turn, specs).await,
        }
    }

    /// Waits until no other node renders this source, or until it has made what is wanted.
    async fn take_lease(&self, batch: &Batch) -> Result<Leased> {
        let Some(leases) = &self.inner.leases else { return Ok(Leased::Ours(None)) };
        let mut waited = false;
        loop {
            let lease = leases.take(format!("thumbnails {}", self.source.blob.hash)).await?;
            if (waited || lease.is_none())
                && let Some(made) = self.all(&batch.specs()).await?
            {
                batch.close();
                return Ok(Leased::Done(made));
            }
            if lease.is_some() {
                return Ok(Leased::Ours(lease));
            }
            waited = true;
        }
    }

    /// All of `specs`, when all are there.
    async fn all(&self, specs: &[ThumbnailSpec]) -> Result<Option<Vec<Ready>>> {
        let mut all = Vec::with_capacity(specs.len());
        for spec in specs {
            let Some(record) = self.inner.find(&self.source, spec).await? else { return Ok(None) };
            all.push(Ready { record, bytes: None });
        }
        Ok(Some(all))
    }

    /// The larger thumbnail that all of `specs` can be made from, if it is there.
    async fn base_for(&self, specs: &[ThumbnailSpec]) -> Result<Option<(ByteStream, Arc<ThumbnailRecord>)>> {
        let base = base(&self.policy.thumbnails);
        if !specs.iter().all(|spec| comes_from(spec, base.size())) {
            return Ok(None);
        }
        let Some(record) = self.inner.find(&self.source, &base).await? else { return Ok(None) };
        let size = Size::new(record.width, record.height);
        // The original itself has no margin to give.
        if record.blob.hash == self.source.blob.hash || !specs.iter().all(|spec| comes_from(spec, size)) {
            return Ok(None);
        }
        match self.inner.datastores.read(&record.blob.location, None).await {
            Ok(read) => Ok(Some((read.body, record))),
            Err(DatastoreError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn render_base(
        &self,
        turn: Turn,
        body: ByteStream,
        base: &ThumbnailRecord,
        specs: Vec<ThumbnailSpec>,
    ) -> Result<Vec<Ready>> {
        // It is ours: the operator's limits are for what others send.
        let ours = ThumbnailPolicy {
            max_pixels: u64::MAX,
            max_source_bytes: base.blob.size,
            types: vec![base.content_type.essence().to_owned()],
            ..ThumbnailPolicy::default()
        };
        let rendered = turn.render(body, specs.clone(), Arc::new(ours)).await;
        let rendered = rendered.map_err(|error| self.failed(error))?;
        self.keep_all(specs, rendered).await
    }

    async fn render_original(&self, turn: Turn, mut specs: Vec<ThumbnailSpec>) -> Result<Vec<Ready>> {
        let asked = specs.len();
        if self.source.blob.size >= MAKE_ALONG_FROM {
            let along = made_along(&self.policy.thumbnails);
            let along: Vec<_> = along.into_iter().filter(|spec| !specs.contains(spec)).collect();
            specs.extend(along);
        }
        let body = self.inner.downloads.read(&self.source, RangeRequest::Whole).await?.body;
        let rendered = turn.render(body, specs.clone(), Arc::clone(&self.policy.thumbnails)).await;
        let rendered = rendered.map_err(|error| self.failed(error))?;
        // Nobody asked for the original under another name.
        let all = specs.into_iter().zip(rendered).enumerate();
        let wanted =
            all.filter(|(index, (_, made))| *index < asked || matches!(made, Rendered::Image { .. }));
        let (specs, rendered) = wanted.map(|(_, made)| made).unzip();
        self.keep_all(specs, rendered).await
    }

    /// Remembers a source that cannot be thumbnailed.
    fn failed(&self, error: RenderError) -> Error {
        self.inner.failures.note(self.source.blob.hash, &self.policy.thumbnails, error)
    }

    async fn keep_all(&self, specs: Vec<ThumbnailSpec>, rendered: Vec<Rendered>) -> Result<Vec<Ready>> {
        let kept = specs.into_iter().zip(rendered).map(|(spec, rendered)| {
            metrics::rendered(spec.method.as_str());
            self.keep(spec, rendered)
        });
        future::try_join_all(kept).await
    }

    /// Keeps a thumbnail for the next who asks. Whoever asked now gets it from memory, kept or not: a full disk must not
    /// take the pictures away from people.
    async fn keep(&self, spec: ThumbnailSpec, rendered: Rendered) -> Result<Ready> {
        let source = &self.source;
        let canonical = is_canonical(&spec, &self.policy.thumbnails);
        let (Rendered::Image { content_type, width, height, .. }
        | Rendered::Original { content_type, width, height }) = rendered;
        let thumbnail = NewThumbnail {
            source: source.blob.hash,
            spec,
            blob: NewBlob::Link(source.blob.hash),
            content_type: ContentType::new(content_type),
            width,
            height,
            created: self.inner.clock.now(),
        };
        let (blob, bytes) = match rendered {
            Rendered::Image { bytes, .. } => {
                let stored =
                    if canonical { self.store(thumbnail.clone(), bytes.clone()).await } else { None };
                (stored.unwrap_or_else(|| nowhere(&bytes)), Some(bytes))
            }
            Rendered::Original { .. } if canonical => (self.link_original(&thumbnail).await?, None),
            Rendered::Original { .. } => (source.blob.clone(), None),
        };
        let record = ThumbnailRecord {
            source: thumbnail.source,
            spec,
            blob,
            content_type: thumbnail.content_type,
            width: thumbnail.width,
            height: thumbnail.height,
            created: thumbnail.created,
        };
        let ready = Ready { record: Arc::new(record), bytes };
        if !canonical {
            self.inner.fleeting.insert(&ready);
        }
        Ok(ready)
    }

    async fn store(&self, thumbnail: NewThumbnail, bytes: Bytes) -> Option<BlobRecord> {
        let target = Target { kind: MediaKind::Thumbnail, placement: self.policy.placement.as_ref() };
        let published = async {
            let staged = self.inner.ingest.stage(target, ByteStream::from(bytes)).await?;
            self.inner.ingest.publish(staged, NewRecord::Thumbnail(thumbnail), None).await
        };
        match published.await {
            Ok(Published::Recorded(blob)) => Some(blob),
            // Somebody else stored one meanwhile, or the picture is gone by now.
            Ok(Published::Refused(_) | Published::Gone) => None,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "a thumbnail could not be stored and will be rendered again");
                None
            }
        }
    }

    /// A picture that is small enough already is its own thumbnail, under the same bytes.
    async fn link_original(&self, thumbnail: &NewThumbnail) -> Result<BlobRecord> {
        let source = &self.source;
        match self.inner.index.insert_thumbnail(thumbnail).await? {
            Inserted::Linked(location) => Ok(BlobRecord { location, ..source.blob.clone() }),
            Inserted::Stored | Inserted::Refused(_) | Inserted::BlobGone => Ok(source.blob.clone()),
        }
    }
}

/// Whose turn it is to render a source.
enum Leased {
    /// Ours, for as long as the lease is kept; `None` where there is one node.
    Ours(Option<DropGuard>),
    /// Another node has made it.
    Done(Vec<Ready>),
}

/// Whether a thumbnail comes out as well from a picture of this size as from the original.
fn comes_from(spec: &ThumbnailSpec, size: Size) -> bool {
    let placement = geometry::place(size, spec.size(), spec.method);
    let needed =
        Size::new(placement.size.width.saturating_mul(MARGIN), placement.size.height.saturating_mul(MARGIN));
    spec.variant != Variant::Animated && placement.region.size.contains(needed)
}

/// The base, and the configured sizes that would suffer from being made from it.
fn made_along(policy: &ThumbnailPolicy) -> Vec<ThumbnailSpec> {
    let base = base(policy);
    let sizes = policy.sizes().iter();
    let scaled = sizes.map(|&Size { width, height }| ThumbnailSpec { width, height, ..base });
    let others = scaled.filter(|spec| *spec != base && !comes_from(spec, base.size()));
    iter::once(base).chain(others).take(MOST_ALONG).collect()
}

/// The record of bytes that were not stored; it is never remembered as a place to read from.
fn nowhere(bytes: &[u8]) -> BlobRecord {
    let Digests { hash, checksum, len } = Hasher::digest(bytes);
    let location = BlobLocation { datastore: DatastoreId::nowhere(), key: BlobKey::generate() };
    BlobRecord { hash, checksum: Some(checksum), size: len, location }
}
