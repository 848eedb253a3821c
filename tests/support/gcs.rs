//! Google Cloud Storage in-process, as far as its XML API is S3's: tokens and links are checked with the public half of the
//! only key that there is.
//!
//! This is our reading of Google's documents, not Google's.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderValue, Method, Uri, header, request::Parts};
use mmr_core::backend::gcs::{GcsOptions, Secret};
use ring::{
    digest,
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey},
};
use serde_json::Value;
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};

use crate::s3::S3Server;

/// The only key of a service account.
pub const KEY: &str = include_str!("gcs/service-account.json");

/// A server on a port of its own. Stops when it is dropped.
#[derive(Debug)]
pub struct GcsServer {
    /// What it is made of.
    pub s3: S3Server,
}

impl GcsServer {
    /// Starts a server in a directory of its own.
    pub async fn start() -> Self {
        Self { s3: S3Server::start_guarded(admit).await }
    }

    /// How to reach a bucket, with little patience.
    #[must_use]
    pub fn options(&self, bucket: &str) -> GcsOptions {
        let mut options = GcsOptions::new(bucket, Secret::new(KEY));
        options.endpoint = Some(format!("http://{}", self.s3.address()));
        options.network.max_retries = 2;
        options
    }
}

type Refused = (u16, &'static str);

fn admit(root: &Path, parts: &mut Parts) -> Result<(), Refused> {
    let query: Vec<_> = parts.uri.query().unwrap_or_default().split('&').map(str::to_owned).collect();
    match parts.headers.remove(header::AUTHORIZATION) {
        Some(header) => check_token(&header).ok_or((401, "AuthenticationRequired"))?,
        None => check_link(parts, &query).ok_or((403, "SignatureDoesNotMatch"))?,
    }
    // S3 does not say that an object was missing; Google does.
    let key =
        parts.uri.path().replace("%2F", "/").replace("%2D", "-").replace("%2E", ".").replace("%5F", "_");
    let names_object = parts.uri.query().is_none() && key.len() < 100;
    if parts.method == Method::DELETE && names_object && !root.join(key.trim_start_matches('/')).is_file() {
        return Err((404, "NoSuchKey"));
    }
    // The same things by S3's names.
    if let Some(generation) = parts.headers.remove("x-goog-if-generation-match") {
        assert_eq!(generation, "0", "nothing else is ever asked for");
        parts.headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
    if let Some(class) = parts.headers.remove("x-goog-storage-class") {
        parts.headers.insert("x-amz-storage-class", class);
    }
    let query: Vec<_> = query.into_iter().filter(|pair| !pair.starts_with("X-Goog-")).collect();
    let uri = format!("{}?{}", parts.uri.path(), query.join("&"));
    parts.uri = Uri::try_from(uri.trim_end_matches('?')).map_err(|_| (400, "InvalidURI"))?;
    Ok(())
}

fn verify(message: &[u8], signature: &[u8]) -> Option<()> {
    let key: Value = serde_json::from_str(KEY).ok()?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(key["private_key"].as_str()?.as_bytes()).ok()?;
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).ok()?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    public.verify(message, signature).ok()
}

/// A token that the account has signed itself, for itself, and for now.
/// <https://google.aip.dev/auth/4111>
fn check_token(header: &HeaderValue) -> Option<()> {
    let (message, signature) = header.to_str().ok()?.strip_prefix("Bearer ")?.rsplit_once('.')?;
    verify(message.as_bytes(), &BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?)?;
    let claims: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(message.split_once('.')?.1).ok()?).ok()?;
    #[expect(clippy::disallowed_methods, reason = "a server has a clock of its own")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let is_now = claims["iat"].as_u64()? <= now + 5 && claims["exp"].as_u64()? > now;
    let key: Value = serde_json::from_str(KEY).ok()?;
    let scope = claims["scope"].as_str()?;
    let may_store = scope.contains("/auth/devstorage.") || scope.contains("/auth/cloud-platform");
    (is_now && claims["iss"] == key["client_email"] && may_store).then_some(())
}

/// <https://cloud.google.com/storage/docs/authentication/signatures>
fn check_link(parts: &Parts, query: &[String]) -> Option<()> {
    let value = |name: &str| query.iter().find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    let (date, credential) = (value("X-Goog-Date")?, value("X-Goog-Credential")?);
    let (_, scope) = credential.split_once("%2F")?;
    let scope = scope.replace("%2F", "/");
    if value("X-Goog-Algorithm")? != "GOOG4-RSA-SHA256" || !scope.starts_with(date.split_once('T')?.0) {
        return None;
    }
    let mut signed: Vec<_> = query.iter().filter(|pair| !pair.starts_with("X-Goog-Signature=")).collect();
    signed.sort();
    let signed: Vec<_> = signed.into_iter().map(String::as_str).collect();
    let canonical = format!(
        "{}\n{}\n{}\nhost:storage.googleapis.com\n\nhost\nUNSIGNED-PAYLOAD",
        parts.method,
        parts.uri.path(),
        signed.join("&")
    );
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("GOOG4-RSA-SHA256\n{date}\n{scope}\n{hash}");
    let signature = value("X-Goog-Signature")?;
    let bytes =
        (0..signature.len()).step_by(2).map(|at| u8::from_str_radix(signature.get(at..at + 2)?, 16).ok());
    verify(text.as_bytes(), &bytes.collect::<Option<Vec<u8>>>()?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
