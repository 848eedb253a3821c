//! What a transfer would move.

use crate::{
    Result,
    store::{BlobIndex, StoredBlob},
    types::{DatastoreId, Timestamp},
};

/// Blobs to look at in one step.
const PAGE: u32 = 1000;

/// What a transfer would move. Bytes that are both media and a thumbnail count as media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Media, by name.
    pub media: u64,
    /// Different bytes behind it.
    pub media_blobs: u64,
    /// Their size in bytes.
    pub media_bytes: u64,
    /// Thumbnails, by picture and size.
    pub thumbnails: u64,
    /// Different bytes behind them.
    pub thumbnail_blobs: u64,
    /// Their size in bytes.
    pub thumbnail_bytes: u64,
    /// All blobs, parts of exports included.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

pub(super) async fn estimate(
    blobs: &dyn BlobIndex,
    datastore: &DatastoreId,
    before: Option<Timestamp>,
) -> Result<Estimate> {
    let mut sum = Estimate::default();
    let mut after = None;
    loop {
        let page = blobs.blobs_in(datastore, after.as_ref(), PAGE).await?;
        page.iter().filter(|stored| is_due(stored, before)).for_each(|stored| sum.add(stored));
        match page.last() {
            Some(last) => after = Some(last.blob.location.key.clone()),
            None => return Ok(sum),
        }
    }
}

/// Whether a blob was last used before `before`.
pub(super) fn is_due(stored: &StoredBlob, before: Option<Timestamp>) -> bool {
    before.is_none_or(|before| stored.last_used < before)
}

impl Estimate {
    fn add(&mut self, stored: &StoredBlob) {
        let size = stored.blob.size;
        self.blobs += 1;
        self.bytes += size;
        self.media += stored.media;
        self.thumbnails += stored.thumbnails;
        if stored.media > 0 {
            self.media_blobs += 1;
            self.media_bytes += size;
        } else if stored.thumbnails > 0 {
            self.thumbnail_blobs += 1;
            self.thumbnail_bytes += size;
        }
    }
}
