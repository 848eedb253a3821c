//! What all stores can be told.

use std::{fmt, time::Duration};

/// Text that no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(in crate::backend) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Addresses of objects for clients.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// Where everybody may read the bucket: the key is appended to it as it is, so it usually ends with `/`. It goes
    /// before presigned links.
    pub public_base_url: Option<String>,
    /// Links that the store lets anybody read by for a while.
    pub presign: Option<Presign>,
}

/// How presigned links are made.
#[derive(Clone, Debug)]
pub struct Presign {
    /// Objects that are shorter get none: a redirect costs the client more than the bytes cost us.
    pub min_bytes: u64,
    /// The longest that a link may live. S3 and Google allow a week.
    pub max_ttl: Duration,
    /// Under which address clients reach the store, if it is not the endpoint; written like that one.
    pub endpoint: Option<String>,
}

/// Patience and trust.
#[derive(Clone, Debug)]
pub struct Network {
    /// PEM of certificate authorities that are trusted in addition to the system's.
    pub ca: Vec<u8>,
    /// How long a connection may take to be opened.
    pub connect_timeout: Duration,
    /// How long nothing may move in either direction while a request is under way. There is no limit for a whole
    /// request: objects are of any size.
    pub stall_timeout: Duration,
    /// How often one request is tried again, where that is safe.
    pub max_retries: usize,
    /// How long after its first try a request may still be tried again.
    pub retry_timeout: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            ca: vec![],
            connect_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(20),
            max_retries: 6,
            retry_timeout: Duration::from_mins(1),
        }
    }
}
