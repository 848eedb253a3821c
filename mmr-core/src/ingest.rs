//! The only writer of new blobs: bytes first, then the row.

use std::sync::Arc;

use futures_util::StreamExt as _;

use crate::{
    Result,
    datastore::{BlobWriter, Datastores},
    store::{Inserted, MediaIndex, NewBlob, NewMedia, NewThumbnail, Refusal, ThumbnailIndex},
    stream::ByteStream,
    types::{BlobKey, BlobLocation, BlobRecord, Digests, MediaKind},
};

mod digesting;

use self::digesting::Digesting;

/// Takes bodies in and publishes them. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ingest {
    datastores: Datastores,
    media: Arc<dyn MediaIndex>,
    thumbnails: Arc<dyn ThumbnailIndex>,
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
    ) -> Self {
        Self { datastores, media, thumbnails }
    }

    /// Reads `body` to its end, hashing and writing in one pass.
    pub(crate) async fn stage(&self, kind: MediaKind, mut body: ByteStream) -> Result<Staged> {
        let (id, datastore) = self.datastores.pick(kind)?;
        let location = BlobLocation { datastore: id.clone(), key: BlobKey::generate() };
        let mut writer = datastore.create(&location.key).await?;
        match copy(&mut body, &mut *writer).await {
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
            Inserted::Stored => return Ok(Published::Recorded(blob)),
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

async fn copy(body: &mut ByteStream, writer: &mut dyn BlobWriter) -> Result<Digests> {
    let mut digests = Digesting::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        digests.update(&chunk).await?;
        writer.write(chunk).await?;
    }
    digests.finish().await
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
