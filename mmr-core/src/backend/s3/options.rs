//! How a bucket is reached and used.

use std::{fmt, path::PathBuf};

use ring::digest;

use super::{S3Links, S3Network, Secret};
use crate::backend::object_store::ObjectStoreDatastore;

/// A bucket of an S3-compatible store. [`S3Options::new`] fills in what most of them need.
///
/// Objects lie at the root of the bucket, each under its [`BlobKey`](crate::types::BlobKey) as it is. There is no
/// option for a prefix length: generated keys are fanned out by their first two characters anyway, and keys of adopted
/// objects must stay what they are.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// `host`, `host:port` or a URL. With `virtual_host_style` it is still the name without the bucket.
    pub endpoint: String,
    /// Whether to connect with TLS, where `endpoint` has no scheme.
    pub ssl: bool,
    /// The region that signatures name.
    pub region: String,
    /// The bucket, which must exist.
    pub bucket: String,
    /// The ID of the access key.
    pub access_key_id: String,
    /// The access key.
    pub secret_access_key: Secret,
    /// Storage class of new objects; the bucket's own where `None`.
    pub storage_class: Option<String>,
    /// Whether the bucket is a part of the host name rather than of the path.
    pub virtual_host_style: bool,
    /// Encryption that the store is to do.
    pub encryption: S3Encryption,
    /// How objects are sent.
    pub upload: S3Upload,
    /// Addresses of objects for clients. None by default.
    pub links: S3Links,
    /// Patience and trust.
    pub network: S3Network,
}

/// Encryption on the side of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum S3Encryption {
    /// What the bucket does by itself.
    #[default]
    None,
    /// With keys of the store (`AES256`).
    Store,
    /// With a key in the key management service (`aws:kms`).
    Kms {
        /// ID or ARN of the key.
        key_id: String,
    },
    /// With a key that is sent with every request (SSE-C). There are no links then.
    Customer(CustomerKey),
}

/// The 32 bytes that SSE-C encrypts with.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomerKey([u8; 32]);

impl CustomerKey {
    /// Wraps a key.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two keys apart.
        let hash = digest::digest(&digest::SHA256, &self.0);
        write!(f, "CustomerKey(sha256 {:02x}{:02x}..)", hash.as_ref()[0], hash.as_ref()[1])
    }
}

/// How objects are sent.
#[derive(Clone, Debug)]
pub struct S3Upload {
    /// Whether objects that are longer than one part are sent in parts while they come in. Where they may not be, they
    /// are collected in an unnamed temporary file and sent from there at the commit.
    pub multipart: bool,
    /// Length of a part in bytes, also the length up to which an object is buffered and put whole. S3 demands 5 MiB.
    pub part_bytes: usize,
    /// Parts that one upload has on their way at a time. It holds one more in memory.
    pub parts_in_flight: usize,
    /// Directory for temporary files, or the system's.
    pub temp_dir: Option<PathBuf>,
}

impl Default for S3Upload {
    fn default() -> Self {
        Self {
            multipart: true,
            part_bytes: ObjectStoreDatastore::REMOTE_PART_BYTES,
            parts_in_flight: 2,
            temp_dir: None,
        }
    }
}

impl S3Options {
    /// A bucket at `endpoint` with TLS, multipart uploads and no links; the rest can be set afterwards.
    pub fn new(
        endpoint: impl Into<String>,
        region: impl Into<String>,
        bucket: impl Into<String>,
        (access_key_id, secret_access_key): (impl Into<String>, Secret),
    ) -> Self {
        Self {
            endpoint: endpoint.into(),
            ssl: true,
            region: region.into(),
            bucket: bucket.into(),
            access_key_id: access_key_id.into(),
            secret_access_key,
            storage_class: None,
            virtual_host_style: false,
            encryption: S3Encryption::None,
            upload: S3Upload::default(),
            links: S3Links::default(),
            network: S3Network::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let mut options = S3Options::new("localhost:1", "r", "b", ("id", Secret::new("hunter2")));
        options.encryption = S3Encryption::Customer(CustomerKey::new([107; 32]));
        let text = format!("{options:?}");
        assert!(!text.contains("hunter2") && !text.contains("107") && !text.contains("kkkk"), "{text}");
    }
}
