//! Who sent a request, and proof of who sends one.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use blake3::Hash;
use http::{HeaderValue, Method, header::AUTHORIZATION, request::Parts};
use ruma::{OwnedServerName, ServerName};

use super::{InvalidXMatrix, RemoteKeys, SigningKeys, XMatrix};
use crate::federation::FederationError;

/// Signatures looked at per request. One is the rule; a server that changes its key may send two.
const MAX_SIGNATURES: usize = 4;

/// Good signatures remembered, in 32 bytes each. A signature has no date, so that whoever asks for the same again, or for
/// the next range of it, sends the same one, and checking one takes five times as long as serving a small file.
const REMEMBERED: u64 = 16_384;

/// Tells by its signature which server sent a request ([spec]). Cheap to clone.
///
/// [spec]: https://spec.matrix.org/v1.19/server-server-api/#request-authentication
#[derive(Clone, Debug)]
pub struct Authenticator {
    keys: RemoteKeys,
    local: Arc<HashSet<OwnedServerName>>,
    /// Of what was signed, with which key, and the signature. Says nothing about whether that key is still good.
    good: moka::sync::Cache<Hash, ()>,
}

/// Signs the requests of local homeservers.
#[derive(Clone, Debug, Default)]
pub struct Signer {
    keys: HashMap<OwnedServerName, SigningKeys>,
}

impl Authenticator {
    /// For requests to the homeservers `local`.
    #[must_use]
    pub fn new(keys: RemoteKeys, local: HashSet<OwnedServerName>) -> Self {
        Self { keys, local: local.into(), good: moka::sync::Cache::new(REMEMBERED) }
    }

    /// The server that signed this request, which has no body.
    ///
    /// All signatures must be by one server and for one of the local homeservers, or for none where the sender does not
    /// tell; one that is good suffices. What was signed is the request target as it came, byte by byte.
    ///
    /// Errors: [`FederationError::Unreachable`] when the keys of that server could not be fetched,
    /// [`FederationError::BadSignature`] for everything else.
    pub async fn authenticate(&self, request: &Parts) -> Result<OwnedServerName, FederationError> {
        let signatures = self.signatures(request).map_err(FederationError::BadSignature)?;
        let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
        let mut failure = None;
        for x in signatures {
            match self.keys.get(&x.origin, &x.key).await {
                Ok(key) if self.is_signed(&x, &key, &request.method, target) => return Ok(x.origin),
                Ok(_) => {
                    let why = format!("{} did not sign this request with {}", x.origin, x.key);
                    failure = Some(FederationError::BadSignature(why));
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| FederationError::BadSignature(MISSING.to_owned())))
    }

    fn is_signed(&self, x: &XMatrix, key: &[u8; 32], method: &Method, target: &str) -> bool {
        let text = x.signed_text(method, target);
        let mut claim = blake3::Hasher::new();
        claim.update(key).update(&x.signature).update(text.as_bytes());
        let claim = claim.finalize();
        if self.good.contains_key(&claim) {
            return true;
        }
        let signed = x.is_signature_of(&text, key);
        if signed {
            self.good.insert(claim, ());
        }
        signed
    }

    /// The signatures of a request, which agree about who sent it to whom.
    fn signatures(&self, request: &Parts) -> Result<Vec<XMatrix>, String> {
        let mut found: Vec<XMatrix> = Vec::new();
        for value in request.headers.get_all(AUTHORIZATION) {
            let x = match XMatrix::parse(value.as_bytes()) {
                Ok(x) => x,
                Err(InvalidXMatrix::Scheme) => continue,
                Err(error) => return Err(format!("the Authorization header is malformed: {error}")),
            };
            if let Some(name) = x.destination.as_ref().filter(|name| !self.local.contains(*name)) {
                return Err(format!("the request is for {name}, which is not served here"));
            }
            if found.iter().any(|other| other.origin != x.origin || other.destination != x.destination) {
                return Err("the Authorization headers name different servers".to_owned());
            }
            if found.len() == MAX_SIGNATURES {
                return Err(format!("there are more than {MAX_SIGNATURES} Authorization headers"));
            }
            found.push(x);
        }
        if found.is_empty() { Err(MISSING.to_owned()) } else { Ok(found) }
    }
}

const MISSING: &str = "there is no header Authorization: X-Matrix";

impl Signer {
    /// Signs with the first of the keys that a homeserver has.
    #[must_use]
    pub const fn new(keys: HashMap<OwnedServerName, SigningKeys>) -> Self {
        Self { keys }
    }

    /// The `Authorization` header for `GET target`, a path and query as they will be sent, from `origin` to
    /// `destination`. `None` when `origin` has no key here.
    #[must_use]
    pub fn header(&self, origin: &ServerName, destination: &ServerName, target: &str) -> Option<HeaderValue> {
        let key = self.keys.get(origin)?.first();
        Some(XMatrix::sign(key, origin, destination, &Method::GET, target).to_header())
    }
}

#[cfg(test)]
mod tests;
