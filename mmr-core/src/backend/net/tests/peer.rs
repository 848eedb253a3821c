//! A federation of two: us, and an origin that answers what the test wants.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, header::CONTENT_TYPE};
use ruma::{CanonicalJsonObject, OwnedServerName};
use serde_json::json;

use super::{
    super::{NetFederation, NetOptions, SigningKey, SigningKeys, encoding},
    origin::{Origin, Reply, Seen},
    world::{PATIENCE, SERVER, World},
};
use crate::{
    federation::{Federation as _, FederationError, FetchRequest, RemoteMedia},
    stream::StreamError,
    types::{MediaId, Mxc, Timestamp},
};

/// Whom we are.
pub(super) const HERE: &str = "here.test";
/// Where the media is that [`Peer::fetch`] asks for.
pub(super) const PATH: &str = "/_matrix/federation/v1/media/download/abc";
pub(super) const BOUNDARY: &str = "0123456789abcdef";
/// Longest media that [`Peer::fetch`] takes.
pub(super) const LIMIT: u64 = 1000;

pub(super) struct Peer {
    pub(super) world: World,
    pub(super) origin: Origin,
    pub(super) federation: NetFederation,
}

impl Peer {
    pub(super) async fn new(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let world = World::new().await;
        let origin = Origin::start(world.ca.issue(&[SERVER]), handler).await;
        Self::of(world, origin)
    }

    /// The origin answers everything with these bytes.
    pub(super) async fn raw(answer: impl Into<Bytes>) -> Self {
        let world = World::new().await;
        let origin = Origin::start_raw(world.ca.issue(&[SERVER]), answer).await;
        Self::of(world, origin)
    }

    pub(super) fn of(world: World, origin: Origin) -> Self {
        let federation = federation(world.options(), Some(key()));
        Self { world, origin, federation }
    }

    pub(super) fn name(&self) -> OwnedServerName {
        format!("{SERVER}:{}", self.origin.port()).try_into().unwrap()
    }

    pub(super) fn request(&self) -> FetchRequest {
        FetchRequest {
            mxc: Mxc::new(self.name(), MediaId::parse("abc").unwrap()),
            sign_as: HERE.try_into().unwrap(),
            max_bytes: LIMIT,
            timeout: PATIENCE,
        }
    }

    pub(super) async fn fetch(&self) -> Result<RemoteMedia, FederationError> {
        self.federation.fetch(self.request()).await
    }

    /// Fetches, and reads to the end.
    pub(super) async fn fetch_bytes(&self) -> Result<Bytes, StreamError> {
        self.fetch().await.unwrap().body.collect_up_to(u64::MAX).await
    }

    /// What was asked for, in order.
    pub(super) fn targets(&self) -> Vec<String> {
        self.origin.seen().into_iter().map(|seen| seen.target).collect()
    }
}

/// We, with or without a key. Silence is given up soon.
pub(super) fn federation(options: NetOptions, key: Option<SigningKey>) -> NetFederation {
    let options = NetOptions { stall_timeout: Duration::from_millis(500), ..options };
    let homeserver = (HERE.try_into().unwrap(), key.map(SigningKeys::single));
    NetFederation::new(options, [homeserver]).unwrap()
}

pub(super) fn key() -> SigningKey {
    SigningKey::from_seed("1", [7; 32]).unwrap()
}

/// What stands before the media; `headers` end with line breaks.
pub(super) fn before(headers: &str) -> String {
    format!("--{BOUNDARY}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{BOUNDARY}\r\n{headers}\r\n")
}

pub(super) fn behind() -> String {
    format!("\r\n--{BOUNDARY}--\r\n")
}

/// An answer with media, whose part has these headers.
pub(super) fn mixed(headers: &str, media: &str) -> Reply {
    mixed_text([before(headers).as_str(), media, &behind()].concat())
}

pub(super) fn mixed_text(text: impl Into<Bytes>) -> Reply {
    Reply::Answer(with_type(text.into().into()))
}

pub(super) fn with_type<B>(body: B) -> Response<B> {
    let content_type = format!("multipart/mixed; boundary={BOUNDARY}");
    Response::builder().header(CONTENT_TYPE, content_type).body(body).unwrap()
}

pub(super) fn status(status: u16, body: &str) -> Reply {
    Reply::Answer(Response::builder().status(status).body(body.to_owned().into()).unwrap())
}

/// What a server with this key publishes.
pub(super) fn published(server: &str, key: &SigningKey, now: Timestamp) -> Bytes {
    let mut keys = json!({
        "server_name": server,
        "valid_until_ts": now.plus(Duration::from_hours(24)).as_millis(),
        "verify_keys": { key.id(): { "key": key.public_key() } },
        "old_verify_keys": {},
    });
    let object: CanonicalJsonObject = serde_json::from_value(keys.clone()).unwrap();
    let signature = key.sign(encoding::signed_text(&object).as_bytes());
    keys["signatures"] = json!({ server: { key.id(): encoding::encode(&signature) } });
    keys.to_string().into()
}

/// The kind of an error, for tables.
pub(super) fn kind(error: &FederationError) -> &'static str {
    match error {
        FederationError::NotFound => "not found",
        FederationError::NotYetUploaded => "not yet uploaded",
        FederationError::Denied(_) => "denied",
        FederationError::TooLarge { .. } => "too large",
        FederationError::Unreachable(_) => "unreachable",
        FederationError::Protocol(_) => "protocol",
        FederationError::BadSignature(_) => "bad signature",
    }
}
