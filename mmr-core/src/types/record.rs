//! Rows as the services see them.

use ruma::OwnedUserId;

use super::{BlobRecord, ContentType, FileName, Mxc, ThumbnailSpec, Timestamp};

/// A name for a blob, and what its uploader said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRecord {
    /// The name.
    pub mxc: Mxc,
    /// The bytes.
    pub blob: BlobRecord,
    /// The uploader's word about the type; nothing is sniffed.
    pub content_type: ContentType,
    /// The uploader's name for the file, if there was one.
    pub file_name: Option<FileName>,
    /// The local user who uploaded it; `None` for remote media.
    pub uploader: Option<OwnedUserId>,
    /// When it was stored here.
    pub created: Timestamp,
    /// Whether moderators have withdrawn it.
    pub quarantined: bool,
    /// Whether it is served on authenticated endpoints only (the freeze of specification v1.12).
    pub requires_auth: bool,
    /// Who may see it (MSC3911); `None` is everybody who is otherwise allowed.
    pub restriction: Option<Restriction>,
    /// When it ceases to exist (MSC4425).
    pub expires: Option<Timestamp>,
}

/// A restriction in the words of the server that imposed it (MSC3911), as a JSON object.
///
/// No kind of restriction is understood yet, and what is not understood denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction(Box<str>);

impl Restriction {
    /// Keeps `json` as it came.
    #[must_use]
    pub fn new(json: &str) -> Self {
        Self(json.into())
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name handed out before its bytes (MSC2246).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The name.
    pub mxc: Mxc,
    /// The only user who may fill it.
    pub owner: OwnedUserId,
    /// When it was handed out.
    pub created: Timestamp,
    /// The last moment at which an upload to it may be completed.
    pub expires: Timestamp,
}

impl Reservation {
    /// Whether the name can no longer be filled at `now`.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        now > self.expires
    }
}

/// A rendered thumbnail. It belongs to the bytes of its source, so copies of a picture share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThumbnailRecord {
    /// SHA-256 of the source picture.
    pub source: super::ContentHash,
    /// The normalised request that it answers.
    pub spec: ThumbnailSpec,
    /// Its bytes.
    pub blob: BlobRecord,
    /// Type of the encoded picture.
    pub content_type: ContentType,
    /// Width of the encoded picture in pixels.
    pub width: u32,
    /// Height of the encoded picture in pixels.
    pub height: u32,
    /// When it was rendered.
    pub created: Timestamp,
}
