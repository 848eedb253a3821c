//! The reference [`MediaStore`](crate::store::MediaStore): plain maps behind one mutex.
//!
//! It is written to be obviously right, and other backends are tested against it. Sums and references are counted anew
//! whenever they are needed, so it serves tests and small embeddings, not a million records.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::OwnedUserId;

use super::board::Board;
use crate::{
    store::{Inserted, NewBlob, PreviewRecord, StoreError, StoredBlob},
    types::{
        BlobLocation, BlobRecord, ContentHash, ContentType, FileName, MediaRecord, Mxc, Reservation,
        Restriction, ThumbnailRecord, ThumbnailSpec, Timestamp,
    },
};

mod blobs;
mod exports;
mod leases;
mod media;
mod moderation;
mod previews;
mod signals;
mod tasks;
mod thumbnails;
mod uploads;
mod usage;

/// A [`MediaStore`](crate::store::MediaStore) that forgets everything when its last clone is dropped.
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    board: Board,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The maps. Methods check before they change anything, so a panic leaves nothing half done behind.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

/// Everything that is remembered.
#[derive(Default)]
struct State {
    blobs: HashMap<ContentHash, Blob>,
    media: BTreeMap<Mxc, Media>,
    reservations: BTreeMap<Mxc, Reservation>,
    thumbnails: HashMap<(ContentHash, ThumbnailSpec), Thumbnail>,
    garbage: BTreeMap<BlobLocation, Timestamp>,
    exports: BTreeMap<String, Export>,
    previews: BTreeMap<(String, String, Timestamp), PreviewRecord>,
    tasks: tasks::Tasks,
    leases: HashMap<String, leases::Lease>,
}

struct Blob {
    record: BlobRecord,
    last_read: Timestamp,
}

struct Media {
    hash: ContentHash,
    content_type: ContentType,
    file_name: Option<FileName>,
    uploader: Option<OwnedUserId>,
    created: Timestamp,
    quarantined: bool,
    pinned: bool,
    requires_auth: bool,
    restriction: Option<Restriction>,
    expires: Option<Timestamp>,
}

struct Thumbnail {
    hash: ContentHash,
    content_type: ContentType,
    width: u32,
    height: u32,
    created: Timestamp,
}

struct Export {
    entity: String,
    parts: BTreeMap<u32, (String, ContentHash)>,
}

impl State {
    fn media_record(&self, mxc: &Mxc, media: &Media) -> MediaRecord {
        MediaRecord {
            mxc: mxc.clone(),
            blob: self.blob(&media.hash).record.clone(),
            content_type: media.content_type.clone(),
            file_name: media.file_name.clone(),
            uploader: media.uploader.clone(),
            created: media.created,
            quarantined: media.quarantined,
            requires_auth: media.requires_auth,
            restriction: media.restriction.clone(),
            expires: media.expires,
        }
    }

    fn thumbnail_record(&self, source: ContentHash, spec: ThumbnailSpec) -> Option<ThumbnailRecord> {
        let thumbnail = self.thumbnails.get(&(source, spec))?;
        Some(ThumbnailRecord {
            source,
            spec,
            blob: self.blob(&thumbnail.hash).record.clone(),
            content_type: thumbnail.content_type.clone(),
            width: thumbnail.width,
            height: thumbnail.height,
            created: thumbnail.created,
        })
    }

    fn stored_blob(&self, blob: &Blob) -> StoredBlob {
        let hash = blob.record.hash;
        let media = self.media_of(hash).map(|(_, media)| media.created);
        let thumbnails = self.thumbnails.values().filter(|it| it.hash == hash).map(|it| it.created);
        StoredBlob {
            blob: blob.record.clone(),
            media: media.clone().count() as u64,
            thumbnails: thumbnails.clone().count() as u64,
            last_used: media.chain(thumbnails).fold(blob.last_read, Timestamp::max),
        }
    }

    /// A blob that something refers to.
    fn blob(&self, hash: &ContentHash) -> &Blob {
        self.blobs.get(hash).expect("`sweep` keeps every blob that something refers to")
    }

    /// Media with these bytes.
    fn media_of(&self, hash: ContentHash) -> impl Iterator<Item = (&Mxc, &Media)> + Clone {
        self.media.iter().filter(move |(_, media)| media.hash == hash)
    }

    /// Makes sure that the blob is there, for a reference that the caller adds next.
    fn admit(&mut self, blob: &NewBlob) -> Result<Inserted, StoreError> {
        if let Some(known) = self.blobs.get(blob.hash()) {
            return Ok(Inserted::Linked(known.record.location.clone()));
        }
        let NewBlob::Store(record) = blob else { return Ok(Inserted::BlobGone) };
        self.check_vacant(&record.location)?;
        self.garbage.remove(&record.location);
        self.blobs.insert(record.hash, Blob { record: record.clone(), last_read: Timestamp::EPOCH });
        Ok(Inserted::Stored)
    }

    /// Two blobs never lie in one place.
    fn check_vacant(&self, location: &BlobLocation) -> Result<(), StoreError> {
        let vacant = self.blobs.values().all(|blob| blob.record.location != *location);
        if vacant { Ok(()) } else { Err(StoreError::Conflict { what: "blob location" }) }
    }

    /// Drops thumbnails of bytes that no media has any more, then blobs that nothing refers to; their locations become
    /// garbage. Answers number and total size of the dropped blobs.
    fn sweep(&mut self, now: Timestamp) -> (u64, u64) {
        let sources: HashSet<ContentHash> = self.media.values().map(|media| media.hash).collect();
        self.thumbnails.retain(|(source, _), _| sources.contains(source));
        let mut used = sources;
        used.extend(self.thumbnails.values().map(|thumbnail| thumbnail.hash));
        used.extend(self.exports.values().flat_map(|export| export.parts.values().map(|(_, hash)| *hash)));

        let (mut blobs, mut bytes) = (0, 0);
        let garbage = &mut self.garbage;
        self.blobs.retain(|hash, blob| {
            let keep = used.contains(hash);
            if !keep {
                blobs += 1;
                bytes += blob.record.size;
                garbage.insert(blob.record.location.clone(), now);
            }
            keep
        });
        (blobs, bytes)
    }
}
