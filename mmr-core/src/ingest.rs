//! The only writer of new blobs: bytes first, then the row.

use std::{fs::File, sync::Arc};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, TryFutureExt as _, future};

use crate::{
    Error, Result,
    datastore::{BlobWriter, Datastore, Datastores, OpenObject, Placement},
    news::{self, News},
    store::{
        BlobIndex, Inserted, MediaFilter, MediaIndex, NewBlob, NewMedia, NewThumbnail, Page, Refusal,
        ThumbnailIndex,
    },
    stream::{ByteStream, Spool, StreamError},
    types::{BlobKey, BlobLocation, BlobRecord, ContentHash, Digests, MediaKind, Timestamp},
};

mod digesting;

pub(crate) use self::digesting::Digesting;

/// Takes bodies in and publishes them. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ingest {
    datastores: Datastores,
    media: Arc<dyn MediaIndex>,
    thumbnails: Arc<dyn ThumbnailIndex>,
    news: News,
}

/// Where a new object goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'p> {
    pub(crate) kind: MediaKind,
    /// `None` is what is configured for everybody.
    pub(crate) placement: Option<&'p Placement>,
}

/// An object that is about to be written.
pub(crate) struct Opened {
    location: BlobLocation,
    writer: Box<dyn BlobWriter>,
    /// Where others read it while it is made.
    file: Option<Arc<File>>,
}

/// A body that has come in whole and is not visible yet. Dropping it abandons the object.
#[must_use = "staged bytes are lost unless they are published"]
pub(crate) struct Staged {
    digests: Digests,
    location: BlobLocation,
    writer: Box<dyn BlobWriter>,
}

/// A row that will name the staged bytes. Its `blob` is filled in by [`Ingest::publish`].
pub(crate) enum NewRecord {
    Media(NewMedia),
    Thumbnail(NewThumbnail),
}

/// What became of staged bytes.
#[derive(Debug)]
pub(crate) enum Published {
    /// The row names this blob.
    Recorded(BlobRecord),
    /// There is no row.
    Refused(Refusal),
    /// There is no row, because what it would belong to is gone.
    Gone,
}

impl Ingest {
    pub(crate) fn new(
        datastores: Datastores,
        media: Arc<dyn MediaIndex>,
        thumbnails: Arc<dyn ThumbnailIndex>,
        news: News,
    ) -> Self {
        Self { datastores, media, thumbnails, news }
    }

    /// Reads `body` to its end, hashing and writing in one pass.
    pub(crate) async fn stage(&self, target: Target<'_>, body: ByteStream) -> Result<Staged> {
        Self::stage_beside(self.open(target).await?, body, &mut None, |_| {}).await
    }

    pub(crate) async fn open(&self, target: Target<'_>) -> Result<Opened> {
        let (datastore, location) = self.place(target)?;
        let writer = datastore.create(&location.key).await?;
        Ok(Opened { location, writer, file: None })
    }

    /// The same, for an object that others read while it is made: of its own file, if it has one.
    pub(crate) async fn open_to_readers(&self, target: Target<'_>) -> Result<Opened> {
        let (datastore, location) = self.place(target)?;
        if let Some(OpenObject { file, writer }) = datastore.create_open(&location.key).await? {
            return Ok(Opened { location, writer, file: Some(file) });
        }
        let writer = datastore.create(&location.key).await?;
        Ok(Opened { location, writer, file: None })
    }

    fn place(&self, target: Target<'_>) -> Result<(Arc<dyn Datastore>, BlobLocation)> {
        let (id, datastore) = self.datastores.pick(target.kind, target.placement)?;
        Ok((datastore, BlobLocation { datastore: id, key: BlobKey::generate() }))
    }

    /// [`Ingest::stage`] into an object that is open, and into a spool for those who cannot wait: that of the object itself,
    /// or one beside it. One beside it that fails is dropped, whereupon its readers fail; the body comes in all the same.
    /// `copied` is called after each chunk.
    pub(crate) async fn stage_beside(
        opened: Opened,
        mut body: ByteStream,
        spool: &mut Option<Spool>,
        copied: impl Fn(&Option<Spool>) + Send + Sync,
    ) -> Result<Staged> {
        let Opened { location, mut writer, .. } = opened;
        match Box::pin(copy(&mut body, &mut *writer, spool, copied)).await {
            Ok(digests) => Ok(Staged { digests, location, writer }),
            Err(error) => {
                writer.abort().await;
                Err(error)
            }
        }
    }

    /// Makes `record` name the staged bytes, or the same bytes where they are stored already.
    ///
    /// With `known` the bytes are believed to be stored: then linking is tried before anything is written.
    pub(crate) async fn publish(
        &self,
        staged: Staged,
        mut record: NewRecord,
        known: Option<BlobRecord>,
    ) -> Result<Published> {
        let blob = staged.blob();
        let Staged { digests, writer, .. } = staged;
        if let Some(known) = known {
            match self.insert(&mut record, NewBlob::Link(digests.hash)).await {
                Ok(Inserted::BlobGone) => {}
                outcome => {
                    writer.abort().await;
                    return match outcome? {
                        Inserted::Refused(refusal) => Ok(Published::Refused(refusal)),
                        Inserted::Linked(location) => {
                            Ok(Published::Recorded(BlobRecord { location, ..known }))
                        }
                        Inserted::Stored | Inserted::BlobGone => Ok(Published::Recorded(known)),
                    };
                }
            }
        }
        writer.commit().await?;
        // When the insert fails, its outcome may be unknown, and deleting the object could take the bytes from a row
        // that exists. The sweep tells the two cases apart later.
        let published = match self.insert(&mut record, NewBlob::Store(blob.clone())).await? {
            Inserted::Stored => {
                self.datastores.raise_level(&blob.location.datastore, blob.size);
                return Ok(Published::Recorded(blob));
            }
            // Our own object: an earlier attempt had its effect.
            Inserted::Linked(location) if location == blob.location => return Ok(Published::Recorded(blob)),
            Inserted::Linked(location) => Published::Recorded(BlobRecord { location, ..blob.clone() }),
            Inserted::Refused(refusal) => Published::Refused(refusal),
            Inserted::BlobGone => Published::Gone,
        };
        if let Err(error) = self.datastores.delete(&blob.location).await {
            tracing::warn!(%error, key = %blob.location.key, "a superfluous object is left for the sweep");
        }
        Ok(published)
    }

    /// Lays the staged bytes where `lost`, a blob of the same bytes whose object is gone, will find them, and tells all nodes,
    /// which may remember where it was.
    pub(crate) async fn restore(
        &self,
        staged: Staged,
        lost: &BlobRecord,
        blobs: &dyn BlobIndex,
        now: Timestamp,
    ) -> Result<()> {
        let Staged { location, writer, .. } = staged;
        writer.commit().await?;
        let moved = blobs.relocate(&lost.hash, &lost.location, &location, now).await;
        if moved.is_err() {
            // Perhaps it is, and only the answer was lost.
            self.news.anything_may_have_changed().await;
        }
        if moved? {
            self.tell_of_move(lost.hash).await;
            return Ok(());
        }
        // Somebody else did, or the blob is gone.
        self.datastores.delete(&location).await?;
        Ok(())
    }

    /// The blob lies elsewhere now, whatever its name. Those who are not told ask again when they miss the object.
    async fn tell_of_move(&self, hash: ContentHash) {
        let filter = MediaFilter { hash: Some(hash), ..MediaFilter::default() };
        let told = match self.media.list(&filter, &Page { limit: news::MANY, ..Page::default() }).await {
            Ok(records) => {
                let names: Vec<_> = records.into_iter().map(|record| record.mxc).collect();
                self.news.media_changed(&names).await
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = told {
            tracing::warn!(%error, "other nodes could not be told where restored media lies");
            self.news.anything_may_have_changed().await;
        }
    }

    async fn insert(&self, record: &mut NewRecord, blob: NewBlob) -> Result<Inserted> {
        Ok(match record {
            NewRecord::Media(media) => {
                media.blob = blob;
                self.media.insert(media).await?
            }
            NewRecord::Thumbnail(thumbnail) => {
                thumbnail.blob = blob;
                self.thumbnails.insert_thumbnail(thumbnail).await?
            }
        })
    }
}

async fn copy(
    body: &mut ByteStream,
    writer: &mut dyn BlobWriter,
    spool: &mut Option<Spool>,
    copied: impl Fn(&Option<Spool>) + Send + Sync,
) -> Result<Digests> {
    let mut digests = Digesting::new();
    let mut ready = Ready::new(body);
    let mut next = ready.next().await?;
    while let Some(chunks) = next {
        let written = async {
            for chunk in &chunks {
                digests.update(chunk).await?;
            }
            writer.write_many(chunks.clone()).await?;
            Ok::<_, Error>(())
        };
        next = match spool {
            Some(open) if open.is_object() => {
                let readable = async {
                    written.await?;
                    open.advance(chunks.iter().map(|chunk| chunk.len() as u64).sum());
                    Ok(())
                };
                // More comes in while the file is written to, which its writer waits for.
                future::try_join(readable, ready.next().map_err(Error::from)).await?.1
            }
            _ => {
                future::join(append(spool, &chunks), written).await.1?;
                copied(spool);
                // Other writers do not wait: what is read as soon as it is there comes in small pieces, at twice the cost.
                ready.next().await?
            }
        };
    }
    digests.finish().await
}

/// What only lies beside the object may fail.
async fn append(spool: &mut Option<Spool>, chunks: &[Bytes]) {
    if let Some(open) = spool
        && let Err(error) = open.append(chunks.to_vec()).await
    {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "a temporary file for remote media failed: readers wait for the whole of it");
        *spool = None;
    }
}

/// The chunks of a body, as many at once as are there already: each hop to another thread should be worth it.
struct Ready<'b> {
    body: &'b mut ByteStream,
    failed: Option<StreamError>,
}

/// Bytes that are taken at once, unless the first chunk has more.
const AT_ONCE: usize = 128 << 10;

impl<'b> Ready<'b> {
    const fn new(body: &'b mut ByteStream) -> Self {
        Self { body, failed: None }
    }

    /// At least one chunk; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<Bytes>>, StreamError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let Some(first) = self.body.next().await else { return Ok(None) };
        let mut chunks = vec![first?];
        let mut bytes = chunks[0].len();
        while bytes < AT_ONCE
            && let Some(Some(chunk)) = self.body.next().now_or_never()
        {
            match chunk {
                Ok(chunk) => {
                    bytes += chunk.len();
                    chunks.push(chunk);
                }
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        Ok(Some(chunks))
    }
}

impl Opened {
    /// A spool over the file of the object, where it is one.
    pub(crate) fn spool(&self, hold_back: u64) -> Option<Spool> {
        Some(Spool::of_object(Arc::clone(self.file.as_ref()?), hold_back))
    }
}

impl Staged {
    pub(crate) fn digests(&self) -> &Digests {
        &self.digests
    }

    /// The blob that these bytes will be, once they are published.
    fn blob(&self) -> BlobRecord {
        let Digests { hash, checksum, len } = self.digests;
        BlobRecord { hash, checksum: Some(checksum), size: len, location: self.location.clone() }
    }

    /// Abandons the bytes.
    pub(crate) async fn discard(self) {
        self.writer.abort().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_full_disk_beside_the_object_costs_the_spool_and_nothing_else() {
        let full = Arc::new(File::options().write(true).open("/dev/full").unwrap());
        let mut spool = Some(Spool::new(full, false, 0));
        append(&mut spool, &[Bytes::from_static(b"bytes")]).await;
        assert!(spool.is_none());
    }
}
