//! Links with a shared access signature (SAS) of the service.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::DateTime;
use ring::hmac;
use url::Url;

use super::Azure;
use crate::{
    backend::cloud::{request::query_of, transport::Source},
    clock::{Clock as _, SystemClock},
    types::BlobKey,
};

/// What a link is signed for.
pub(super) struct Signature<'a> {
    pub(super) key: &'a BlobKey,
    pub(super) ttl: Duration,
    pub(super) content_type: &'a str,
    pub(super) content_disposition: Option<&'a str>,
}

/// The version of the rules below.
const VERSION: &str = "2020-12-06";
/// To read one blob.
const READ: &str = "r";
const BLOB: &str = "b";

#[derive(Debug, thiserror::Error)]
#[error("a link cannot live until then")]
struct TooLong;

impl Azure {
    /// A link to an object of the container at `container_url`.
    /// <https://learn.microsoft.com/en-us/rest/api/storageservices/create-service-sas#version-2020-12-06-and-later>
    pub(super) fn signed(&self, container_url: &str, signature: &Signature<'_>) -> Result<Url, Source> {
        let Signature { key, ttl, content_type, content_disposition } = signature;
        let end = SystemClock.now().plus(*ttl).as_millis();
        let end = i64::try_from(end).ok().and_then(DateTime::from_timestamp_millis).ok_or(TooLong)?;
        let expiry = end.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let resource = format!("/blob/{}/{}/{key}", self.account, self.container);
        // Emulators speak plain HTTP.
        let protocol = if container_url.starts_with("https:") { "https" } else { "" };
        let disposition = content_disposition.unwrap_or_default();
        let text = [
            READ,
            "",
            &expiry,
            &resource, // and no identifier of a policy, and no address:
            "",
            "",
            protocol,
            VERSION,
            BLOB, // no snapshot, no scope of encryption, nothing about caches:
            "",
            "",
            "",
            disposition, // no encoding, no language:
            "",
            "",
            content_type,
        ]
        .join("\n");
        let tag = BASE64_STANDARD.encode(hmac::sign(&self.signing_key, text.as_bytes()));
        let mut query = vec![("sv", VERSION), ("sr", BLOB), ("sp", READ), ("se", &expiry)];
        query.extend(
            [("spr", protocol), ("rscd", disposition)].into_iter().filter(|(_, value)| !value.is_empty()),
        );
        query.extend([("rsct", *content_type), ("sig", &tag)]);
        Ok(Url::parse(&format!("{container_url}/{key}?{}", query_of(&query)))?)
    }
}
