//! The seam to the rest of the Matrix network.

use std::{error::Error, fmt, time::Duration};

use async_trait::async_trait;
use ruma::OwnedServerName;

use crate::{
    stream::ByteStream,
    types::{ContentType, FileName, Mxc, Restriction},
};

/// The rest of the Matrix network. A homeserver that embeds us brings its own.
///
/// What implementors promise:
/// - `fetch` asks the server named in the MXC URI, federation endpoint first ([spec]), and answers as soon as the body
///   starts; nothing is collected. Every connection, redirects included, passes one egress policy.
/// - The body ends with an error when it is longer than `max_bytes`, shorter than declared, or silent for long. It never
///   ends early without one.
/// - `authenticate` trusts nothing but a signature by a valid key of the server that it names, over this very request.
///
/// `mmr_core::testing::federation_suite!` holds these promises as tests (feature `testing`).
///
/// [spec]: https://spec.matrix.org/v1.19/server-server-api/#content-repository
#[async_trait]
pub trait Federation: fmt::Debug + Send + Sync + 'static {
    /// Starts fetching media from its origin.
    async fn fetch(&self, request: FetchRequest) -> Result<RemoteMedia, FederationError>;

    /// Names the server that signed this inbound request. `request` carries the raw request target, as it was signed.
    async fn authenticate(&self, request: &http::request::Parts) -> Result<OwnedServerName, FederationError>;
}

/// What to fetch, and within which bounds.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// The media.
    pub mxc: Mxc,
    /// The local homeserver on whose behalf it is fetched.
    pub sign_as: OwnedServerName,
    /// Longest body in bytes.
    pub max_bytes: u64,
    /// Longest wait for the body to start.
    pub timeout: Duration,
}

/// Media that has begun to arrive.
#[derive(Debug)]
pub struct RemoteMedia {
    /// The origin's word about the type.
    pub content_type: ContentType,
    /// The origin's name for the file.
    pub file_name: Option<FileName>,
    /// Who may see it (MSC3911).
    pub restriction: Option<Restriction>,
    /// Length in bytes, when it is known before the body has come. A body of another length ends with an error.
    pub len: Option<u64>,
    /// The bytes.
    pub body: ByteStream,
}

/// Why the network did not give what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FederationError {
    /// The origin says that there is no such media.
    #[error("the origin does not have the media")]
    NotFound,
    /// The origin says that the media has not been uploaded yet.
    #[error("the media has not been uploaded to its origin yet")]
    NotYetUploaded,
    /// The origin refuses, or the egress policy does.
    #[error("access was denied: {0}")]
    Denied(String),
    /// The media is larger than allowed.
    #[error("the media is larger than {limit} bytes")]
    TooLarge {
        /// The number of bytes that was allowed.
        limit: u64,
    },
    /// The origin cannot be reached, or does not answer in time.
    #[error("the origin could not be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// The origin answers in a way that the protocol does not allow.
    #[error("the origin broke the protocol: {0}")]
    Protocol(String),
    /// The request is not signed by the server that it claims to come from.
    #[error("the request signature is not valid: {0}")]
    BadSignature(String),
}

impl FederationError {
    /// Whether the same call may succeed later without anybody doing anything about it.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::NotYetUploaded)
    }
}

/// No network at all: only local media exists, and no server is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFederation;

#[async_trait]
impl Federation for NoFederation {
    async fn fetch(&self, _: FetchRequest) -> Result<RemoteMedia, FederationError> {
        Err(FederationError::NotFound)
    }

    async fn authenticate(&self, _: &http::request::Parts) -> Result<OwnedServerName, FederationError> {
        Err(FederationError::BadSignature("federation is switched off".to_owned()))
    }
}
