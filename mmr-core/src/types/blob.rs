//! Blobs: bytes, and where they lie.

use std::{fmt, str::FromStr};

use super::{Checksum, ContentHash, mxc::random_text};

/// Text that is not a key or datastore ID of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct InvalidKey(&'static str);

/// The configured name of a datastore. Recorded with every blob, so it must never change.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatastoreId(Box<str>);

impl DatastoreId {
    /// Validates `text`: 1 to 255 bytes, no control characters.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let ok = (1..=255).contains(&text.len()) && !text.chars().any(char::is_control);
        if ok { Ok(Self(text.into())) } else { Err(InvalidKey("datastore id")) }
    }

    /// The ID of no datastore: no configured one is empty.
    pub(crate) fn nowhere() -> Self {
        Self("".into())
    }

    /// The ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatastoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DatastoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an object in a datastore: segments of `A-Z a-z 0-9 _ - .` joined by `/`, at most 1024 bytes.
///
/// Keys of new objects are random and hold nothing that a user chose. Keys of adopted objects are whatever the
/// previous software wrote, within the same grammar. No segment is empty, `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobKey(Box<str>);

/// Characters of a generated key behind its fan.
const RANDOM: usize = 40;

impl BlobKey {
    /// A fresh key of 240 random bits, fanned out over 256 prefixes.
    #[must_use]
    pub fn generate() -> Self {
        let mut byte = [0];
        getrandom::fill(&mut byte).expect("the operating system's random generator works");
        Self(format!("{:02x}/{}", byte[0], random_text(RANDOM)).into())
    }

    /// Whether the key looks like one that [`BlobKey::generate`] made. What other software keeps in the same place does not.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        let is_text = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        match self.0.split_once('/') {
            Some((fan, name)) => {
                fan.len() == 2
                    && fan.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
                    && name.len() == RANDOM
                    && name.bytes().all(is_text)
            }
            None => false,
        }
    }

    /// Validates `text` as a key.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let segment_ok = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        let ok = text.len() <= 1024 && text.split('/').all(segment_ok);
        if ok { Ok(Self(text.into())) } else { Err(InvalidKey("blob key")) }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BlobKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Self::parse(text)
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an object lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobLocation {
    /// The datastore.
    pub datastore: DatastoreId,
    /// The object in it.
    pub key: BlobKey,
}

/// Stored bytes: identity, integrity, size and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRecord {
    /// SHA-256 of the bytes.
    pub hash: ContentHash,
    /// BLAKE3 of the bytes; `None` for adopted blobs until they are verified.
    pub checksum: Option<Checksum>,
    /// Length in bytes.
    pub size: u64,
    /// Where the bytes lie.
    pub location: BlobLocation,
}

/// What a blob is stored for; datastores are chosen by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaKind {
    /// Uploaded here.
    Local,
    /// Cached from another server.
    Remote,
    /// Derived, can be made again.
    Thumbnail,
    /// Part of an export.
    Archive,
}

impl MediaKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Local, Self::Remote, Self::Thumbnail, Self::Archive];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_keys_are_valid_and_fanned_out() {
        let key = BlobKey::generate();
        assert_eq!(BlobKey::parse(key.as_str()), Ok(key.clone()));
        assert_eq!(key.as_str().find('/'), Some(2));
    }

    #[test]
    fn keys_that_could_leave_a_directory_are_refused() {
        for text in
            ["", "/", "a/", "/a", "..", "a/../b", "a//b", "a\0", "a b", "ä", "a\\b", "a#1", &"a".repeat(1025)]
        {
            assert!(BlobKey::parse(text).is_err(), "{text:?}");
        }
    }
}
