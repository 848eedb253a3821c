//! Thumbnails of stored pictures.

use std::fmt;

use async_trait::async_trait;

use super::{Inserted, MediaFilter, NewBlob, StoreError};
use crate::types::{ContentHash, ContentType, Lookup, Mxc, ThumbnailRecord, ThumbnailSpec, Timestamp};

/// Thumbnails, by the bytes of their source and the normalised request.
#[async_trait]
pub trait ThumbnailIndex: fmt::Debug + Send + Sync + 'static {
    /// What is known about `mxc` and about its thumbnail for `spec`, in one round trip.
    async fn thumbnail(&self, mxc: &Mxc, spec: &ThumbnailSpec) -> Result<ThumbnailLookup, StoreError>;

    /// Up to `limit` of the thumbnails of these bytes, the narrowest first, then by height, method and variant.
    async fn thumbnails_of(
        &self,
        source: &ContentHash,
        limit: u32,
    ) -> Result<Vec<ThumbnailRecord>, StoreError>;

    /// Records a thumbnail. Answers [`Inserted::BlobGone`] when no media has the source's bytes any more, or the blob
    /// to link is not there; [`super::Refusal::Taken`] when there is such a thumbnail already; otherwise like
    /// [`super::MediaIndex::insert`]. Quarantine and quota play no part.
    async fn insert_thumbnail(&self, thumbnail: &NewThumbnail) -> Result<Inserted, StoreError>;

    /// Removes up to `limit` thumbnails whose bytes were rendered before `rendered_before` and whose source any media
    /// has that matches `filter`, the oldest first. Locations of blobs left unused enter the garbage list as of `now` in
    /// the same transaction.
    async fn remove_thumbnails(
        &self,
        filter: &MediaFilter,
        rendered_before: Timestamp,
        limit: u32,
        now: Timestamp,
    ) -> Result<RemovedThumbnails, StoreError>;
}

/// What a removal of thumbnails removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemovedThumbnails {
    /// Number of thumbnails; fewer than the limit when there are no more.
    pub thumbnails: u32,
    /// Number of blobs that nothing refers to any more.
    pub blobs: u64,
    /// Their total size in bytes.
    pub bytes: u64,
}

/// A picture and its thumbnail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThumbnailLookup {
    /// The picture.
    pub media: Lookup,
    /// Its thumbnail, if it was rendered already.
    pub thumbnail: Option<ThumbnailRecord>,
}

/// A thumbnail to record.
#[derive(Clone, Debug)]
pub struct NewThumbnail {
    /// SHA-256 of the source picture.
    pub source: ContentHash,
    /// The normalised request that it answers.
    pub spec: ThumbnailSpec,
    /// Its bytes.
    pub blob: NewBlob,
    /// Type of the encoded picture.
    pub content_type: ContentType,
    /// Width of the encoded picture in pixels.
    pub width: u32,
    /// Height of the encoded picture in pixels.
    pub height: u32,
    /// Now.
    pub created: Timestamp,
}
