//! What a server says about its keys ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2server

use std::{collections::HashMap, fmt, time::Duration};

use ring::signature::{ED25519, UnparsedPublicKey};
use ruma::{CanonicalJsonObject, CanonicalJsonValue, ServerName};

use crate::{backend::net::encoding, types::Timestamp};

/// Longest time that keys are believed, whatever their server says ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/server-server-api/#publishing-keys
const MAX_VALIDITY: Duration = Duration::from_hours(7 * 24);
/// Keys that a server may have in use. Real ones have one or two.
const MAX_KEYS: usize = 32;

/// The keys with which a server signs at present.
pub(super) struct PublishedKeys {
    keys: HashMap<Box<str>, [u8; 32]>,
    /// When to ask again: half of the time that was left.
    pub(super) refresh: Timestamp,
    /// Until when the keys are believed.
    pub(super) expiry: Timestamp,
}

impl PublishedKeys {
    /// Reads an answer of `server`. Whatever is wrong with it is wrong with all of it: every key in use must be of the
    /// right length and have signed the answer. Keys of other algorithms are ignored, and so are `old_verify_keys`,
    /// which sign no requests any more.
    pub(super) fn parse(body: &[u8], server: &ServerName, now: Timestamp) -> Result<Self, String> {
        let object: CanonicalJsonObject =
            serde_json::from_slice(body).map_err(|error| format!("they are no signed JSON: {error}"))?;
        let named = object.get("server_name").and_then(CanonicalJsonValue::as_str);
        if named != Some(server.as_str()) {
            return Err(format!("they are those of {}", named.unwrap_or("nobody")));
        }
        let valid_until = object.get("valid_until_ts").and_then(CanonicalJsonValue::as_integer);
        let valid_until =
            valid_until.and_then(|ms| u64::try_from(i64::from(ms)).ok()).map(Timestamp::from_millis);
        let valid_until = valid_until.ok_or("they have no valid_until_ts")?;
        if valid_until <= now {
            return Err(format!("they expired {} s ago", now.since(valid_until).as_secs()));
        }
        let expiry = valid_until.min(now.plus(MAX_VALIDITY));
        let refresh = now.plus(expiry.since(now) / 2);
        Ok(Self { keys: signing_keys(&object, server)?, refresh, expiry })
    }

    pub(super) fn get(&self, id: &str) -> Option<[u8; 32]> {
        self.keys.get(id).copied()
    }
}

impl fmt::Debug for PublishedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishedKeys")
            .field("ids", &self.keys.keys())
            .field("refresh", &self.refresh)
            .field("expiry", &self.expiry)
            .finish()
    }
}

fn signing_keys(
    object: &CanonicalJsonObject,
    server: &ServerName,
) -> Result<HashMap<Box<str>, [u8; 32]>, String> {
    let member = |object: &CanonicalJsonObject, name: &str| {
        object.get(name).and_then(|value| value.as_object().cloned())
    };
    let published = member(object, "verify_keys").ok_or("they have no verify_keys")?;
    let signatures =
        member(object, "signatures").and_then(|all| member(&all, server.as_str())).unwrap_or_default();
    let text = encoding::signed_text(object);
    let mut keys = HashMap::new();
    for (id, entry) in published.iter().filter(|(id, _)| id.starts_with("ed25519:")) {
        if keys.len() == MAX_KEYS {
            return Err(format!("there are more than {MAX_KEYS} of them"));
        }
        let key = entry.as_object().and_then(|entry| entry.get("key")).and_then(CanonicalJsonValue::as_str);
        let key: [u8; 32] = key
            .and_then(|key| encoding::decode(key.as_bytes()))
            .ok_or_else(|| format!("{id:?} is no key of 32 bytes"))?;
        let signature: [u8; 64] = signatures
            .get(id)
            .and_then(CanonicalJsonValue::as_str)
            .and_then(|signature| encoding::decode(signature.as_bytes()))
            .ok_or_else(|| format!("{id:?} has not signed them"))?;
        UnparsedPublicKey::new(&ED25519, key)
            .verify(text.as_bytes(), &signature)
            .map_err(|_| format!("the signature of {id:?} does not fit"))?;
        keys.insert(id.as_str().into(), key);
    }
    if keys.is_empty() { Err("there is no ed25519 key among them".to_owned()) } else { Ok(keys) }
}
