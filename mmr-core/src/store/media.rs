//! Media records and the insert that decides every upload race.

use std::fmt;

use async_trait::async_trait;
use ruma::{OwnedServerName, OwnedUserId};

use super::StoreError;
use crate::types::{
    BlobLocation, BlobRecord, ContentHash, ContentType, FileName, Lookup, MediaRecord, Mxc, Restriction,
    Timestamp,
};

/// Media records.
#[async_trait]
pub trait MediaIndex: fmt::Debug + Send + Sync + 'static {
    /// What is known about `mxc`, in one round trip. Expired records and reservations are answered as they stand.
    async fn lookup(&self, mxc: &Mxc) -> Result<Lookup, StoreError>;

    /// All facts that an upload decision needs, in one round trip.
    async fn upload_facts(&self, probe: &UploadProbe) -> Result<UploadFacts, StoreError>;

    /// Records media in one transaction. Checks, in this order, and refuses with the first that fails:
    /// 1. the name is in use neither by stored media nor, without `fills_reservation`, by a reservation, be it expired
    ///    ([`Refusal::Taken`]);
    /// 2. with `fills_reservation`, a reservation of that name by that uploader exists and has not expired at
    ///    `created` ([`Refusal::NotReserved`]); it is used up by the insert;
    /// 3. no media with the same hash is quarantined ([`Refusal::Quarantined`]);
    /// 4. the blob to link is there ([`Inserted::BlobGone`]);
    /// 5. the uploader, if there is one, stays within `quota`, this media included ([`Refusal::QuotaExceeded`]).
    ///
    /// Then stores the new blob, or links the one that is there, answering its location, so that the caller can remove
    /// an object that lost the race. (A call that is repeated because its outcome was lost may find the very object it
    /// brought: compare the locations before removing anything.)
    /// A stored blob's location leaves the garbage list, should it be there. A location that another blob lies at is a
    /// [`StoreError::Conflict`].
    async fn insert(&self, media: &NewMedia) -> Result<Inserted, StoreError>;

    /// Records that match, a page at a time, in the order of `page`.
    async fn list(&self, filter: &MediaFilter, page: &Page) -> Result<Vec<MediaRecord>, StoreError>;

    /// Removes up to `limit` matching records, the oldest first; with [`MediaFilter::expired_at`], first what expired
    /// first. Thumbnails made from bytes that no media has any more
    /// go too, then blobs that nothing refers to, whose locations enter the garbage list as of `now`: all in the same
    /// transaction.
    async fn remove(&self, filter: &MediaFilter, limit: u32, now: Timestamp) -> Result<Removed, StoreError>;

    /// Notes that the media of these blobs was read. An older time than the recorded one is ignored, an unknown blob
    /// too.
    async fn touch(&self, seen: &[(ContentHash, Timestamp)]) -> Result<(), StoreError>;
}

/// What an upload wants to know before it decides.
#[derive(Clone, Debug)]
pub struct UploadProbe {
    /// SHA-256 of the uploaded bytes.
    pub hash: ContentHash,
    /// Server that the media will belong to.
    pub origin: OwnedServerName,
    /// The uploader; `None` for media fetched from elsewhere.
    pub uploader: Option<OwnedUserId>,
    /// The uploaded type.
    pub content_type: ContentType,
    /// The uploaded name.
    pub file_name: Option<FileName>,
}

/// The facts behind an upload decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadFacts {
    /// Some media with these bytes is quarantined.
    pub quarantined: bool,
    /// The blob with these bytes, if it is stored already.
    pub blob: Option<BlobRecord>,
    /// Media by the same uploader on the same origin with the same bytes, type and name that has neither restriction
    /// nor expiry. The oldest, when there are several; none without an uploader.
    pub same: Option<MediaRecord>,
    /// Bytes and number of files of the uploader; zero for none.
    pub usage: super::MediaUsage,
}

/// Media to record.
#[derive(Clone, Debug)]
pub struct NewMedia {
    /// The name.
    pub mxc: Mxc,
    /// The bytes.
    pub blob: NewBlob,
    /// The uploaded type.
    pub content_type: ContentType,
    /// The uploaded name.
    pub file_name: Option<FileName>,
    /// The local uploader; `None` for media fetched from elsewhere.
    pub uploader: Option<OwnedUserId>,
    /// Now.
    pub created: Timestamp,
    /// Served on authenticated endpoints only.
    pub requires_auth: bool,
    /// Who may see it (MSC3911).
    pub restriction: Option<Restriction>,
    /// When it ceases to exist (MSC4425).
    pub expires: Option<Timestamp>,
    /// The name was reserved by the uploader, and the insert uses the reservation up.
    pub fills_reservation: bool,
    /// What the uploader may have altogether.
    pub quota: QuotaCap,
}

impl NewMedia {
    /// The record that this becomes, with the blob that its insert decided on.
    pub(crate) fn recorded(self, blob: BlobRecord) -> MediaRecord {
        MediaRecord {
            mxc: self.mxc,
            blob,
            content_type: self.content_type,
            file_name: self.file_name,
            uploader: self.uploader,
            created: self.created,
            quarantined: false,
            requires_auth: self.requires_auth,
            restriction: self.restriction,
            expires: self.expires,
        }
    }
}

/// The bytes of new media or of a new thumbnail.
#[derive(Clone, Debug)]
pub enum NewBlob {
    /// A committed object, to be recorded unless the same bytes are stored by now.
    Store(BlobRecord),
    /// Bytes believed to be stored already.
    Link(ContentHash),
}

impl NewBlob {
    /// SHA-256 of the bytes.
    #[must_use]
    pub const fn hash(&self) -> &ContentHash {
        match self {
            Self::Store(blob) => &blob.hash,
            Self::Link(hash) => hash,
        }
    }
}

/// What a user may have altogether; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaCap {
    /// Total size of all media in bytes; media sharing a blob counts each time.
    pub max_bytes: Option<u64>,
    /// Number of media.
    pub max_files: Option<u64>,
}

/// What became of an insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// Recorded, with the blob that was given.
    Stored,
    /// Recorded, with the blob that was there already. An object given with [`NewBlob::Store`] is not referenced.
    Linked(BlobLocation),
    /// Nothing recorded: the blob to link is not stored.
    BlobGone,
    /// Nothing recorded.
    Refused(Refusal),
}

/// Why an insert recorded nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The name is in use already.
    Taken,
    /// The name is not reserved by that user, or no longer.
    NotReserved,
    /// The same bytes are quarantined.
    Quarantined,
    /// The uploader would have too much.
    QuotaExceeded,
}

/// Selects media records. All given conditions hold at once; the default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaFilter {
    /// These names only.
    pub mxcs: Option<Vec<Mxc>>,
    /// Media of this server.
    pub origin: Option<OwnedServerName>,
    /// Media of any server but these.
    pub not_origins: Vec<OwnedServerName>,
    /// Media by this user.
    pub uploader: Option<OwnedUserId>,
    /// Media with these bytes.
    pub hash: Option<ContentHash>,
    /// What comes behind this media in the ascending [`Order::Created`], be it there or not. For going through much media
    /// step by step without coming past any of it twice.
    pub after: Option<(Timestamp, Mxc)>,
    /// Stored before this moment.
    pub created_before: Option<Timestamp>,
    /// Last read before this moment. Reading is noted by bytes ([`MediaIndex::touch`]), and storing counts as reading.
    pub unused_since: Option<Timestamp>,
    /// Expired at this moment (MSC4425): `expires` is not after it.
    pub expired_at: Option<Timestamp>,
    /// Larger than this many bytes.
    pub larger_than: Option<u64>,
    /// Quarantined, or not.
    pub quarantined: Option<bool>,
    /// Spare media whose attributes pin it.
    pub not_pinned: bool,
}

/// A page of an ordered answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Order by this.
    pub order: Order,
    /// Largest first.
    pub descending: bool,
    /// Skip so many.
    pub offset: u64,
    /// Answer at most so many.
    pub limit: u32,
}

/// What answers are ordered by; ties are broken by MXC URI, ascending whatever the direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Time of storing.
    #[default]
    Created,
    /// Size in bytes.
    Size,
    /// Time of last reading, as in [`MediaFilter::unused_since`].
    LastRead,
    /// MXC URI: bytewise by server name, then by media ID.
    Mxc,
}

/// What a removal removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names of the removed media, in the order of [`MediaIndex::remove`].
    pub mxcs: Vec<Mxc>,
    /// Number of blobs that nothing refers to any more, thumbnails included.
    pub blobs: u64,
    /// Their total size in bytes.
    pub bytes: u64,
}
