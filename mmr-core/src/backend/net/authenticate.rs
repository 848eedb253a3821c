//! Who sent a request, and proof of who sends one.

use std::collections::{HashMap, HashSet};

use http::{HeaderValue, Method, header::AUTHORIZATION, request::Parts};
use ruma::{OwnedServerName, ServerName};

use super::{InvalidXMatrix, RemoteKeys, SigningKeys, XMatrix};
use crate::federation::FederationError;

/// Signatures looked at per request. One is the rule; a server that changes its key may send two.
const MAX_SIGNATURES: usize = 4;

/// Tells by its signature which server sent a request ([spec]). Cheap to clone.
///
/// [spec]: https://spec.matrix.org/v1.19/server-server-api/#request-authentication
#[derive(Clone, Debug)]
pub struct Authenticator {
    keys: RemoteKeys,
    local: std::sync::Arc<HashSet<OwnedServerName>>,
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
        Self { keys, local: local.into() }
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
                Ok(key) if x.is_signed(&key, &request.method, target) => return Ok(x.origin),
                Ok(_) => {
                    let why = format!("{} did not sign this request with {}", x.origin, x.key);
                    failure = Some(FederationError::BadSignature(why));
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| FederationError::BadSignature(MISSING.to_owned())))
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
