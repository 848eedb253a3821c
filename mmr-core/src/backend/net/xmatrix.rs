//! The `Authorization: X-Matrix` header ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#request-authentication

use http::{HeaderValue, Method};
use ring::signature::{ED25519, UnparsedPublicKey};
use ruma::{OwnedServerName, ServerName};
use serde::Serialize;

use super::{SigningKey, encoding};

mod parse;

/// Who says to have signed a request, for whom and with which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XMatrix {
    /// The server that the request comes from.
    pub origin: OwnedServerName,
    /// The server that it is for; servers from before Matrix v1.3 do not tell.
    pub destination: Option<OwnedServerName>,
    /// The id of a key of the origin: `ed25519:VERSION`, visible ASCII without `"`, `\` and `,`.
    pub key: String,
    /// The signature of the request.
    pub signature: [u8; 64],
}

/// Why a header is no `X-Matrix` header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidXMatrix {
    /// It is of another scheme.
    #[error("the scheme is not X-Matrix")]
    Scheme,
    /// It is not a list of parameters.
    #[error("at byte {at}: accepted are parameters name=value or name=\"value\", separated by commas")]
    Syntax {
        /// Where in the header, counted from 0.
        at: usize,
    },
    /// A parameter is there twice.
    #[error("the parameter {0} is there twice")]
    Duplicate(&'static str),
    /// A parameter is missing.
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    /// A parameter does not say what it should.
    #[error("the parameter {name} must be {accepted}")]
    Value {
        /// Its name.
        name: &'static str,
        /// What it should be.
        accepted: &'static str,
    },
}

/// What is signed of a request without a body. The members stand in the order of canonical JSON.
#[derive(Serialize)]
struct Signed<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<&'r ServerName>,
    method: &'r str,
    origin: &'r ServerName,
    uri: &'r str,
}

impl XMatrix {
    /// Signs a request without a body. `target` is its path and query, byte by byte as they are sent.
    #[must_use]
    pub fn sign(
        key: &SigningKey,
        origin: &ServerName,
        destination: &ServerName,
        method: &Method,
        target: &str,
    ) -> Self {
        let text = signed_text(origin, Some(destination), method, target);
        Self {
            origin: origin.to_owned(),
            destination: Some(destination.to_owned()),
            key: key.id().to_owned(),
            signature: key.sign(text.as_bytes()),
        }
    }

    /// Whether the holder of `public_key` signed this request without a body. `target` is its path and query, byte by
    /// byte as they came.
    #[must_use]
    pub fn is_signed(&self, public_key: &[u8; 32], method: &Method, target: &str) -> bool {
        self.is_signature_of(&self.signed_text(method, target), public_key)
    }

    /// What the signature should be of.
    pub(super) fn signed_text(&self, method: &Method, target: &str) -> String {
        signed_text(&self.origin, self.destination.as_deref(), method, target)
    }

    pub(super) fn is_signature_of(&self, text: &str, public_key: &[u8; 32]) -> bool {
        UnparsedPublicKey::new(&ED25519, public_key).verify(text.as_bytes(), &self.signature).is_ok()
    }

    /// Reads the value of an `Authorization` header, liberally: parameters may stand in any order, with names in any
    /// case, quoted or not, with spaces round commas; unknown ones are ignored.
    ///
    /// Errors: [`InvalidXMatrix::Scheme`] for headers that are none of our business, others for broken ones.
    pub fn parse(value: &[u8]) -> Result<Self, InvalidXMatrix> {
        parse::parse(value)
    }

    /// The value of the `Authorization` header, in the form that everybody understands.
    ///
    /// # Panics
    /// When `key` is no key id.
    #[must_use]
    pub fn to_header(&self) -> HeaderValue {
        let Self { origin, destination, key, signature } = self;
        let destination = destination.as_ref().map(|name| format!("destination=\"{name}\","));
        let destination = destination.unwrap_or_default();
        let signature = encoding::encode(signature);
        let text = format!("X-Matrix origin=\"{origin}\",{destination}key=\"{key}\",sig=\"{signature}\"");
        HeaderValue::try_from(text).expect("names, key ids and base64 are visible ASCII")
    }
}

fn signed_text(
    origin: &ServerName,
    destination: Option<&ServerName>,
    method: &Method,
    target: &str,
) -> String {
    let signed = Signed { destination, method: method.as_str(), origin, uri: target };
    serde_json::to_string(&signed).expect("a struct of strings is always JSON")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::server_name;

    use super::*;

    const TARGET: &str = "/_matrix/federation/v1/media/download/a%2Fb?timeout_ms=1&&x=%c3%A9+";

    fn key() -> SigningKey {
        SigningKey::from_seed("1", [7; 32]).unwrap()
    }

    fn public_key() -> [u8; 32] {
        encoding::decode(key().public_key().as_bytes()).unwrap()
    }

    fn signed() -> XMatrix {
        XMatrix::sign(&key(), server_name!("a.org"), server_name!("b.org:8448"), &Method::GET, TARGET)
    }

    #[test]
    fn the_signed_text_is_canonical_json_of_what_is_sent() {
        let text = signed_text(server_name!("a"), Some(server_name!("b")), &Method::GET, "/x?y=\"z");
        assert_eq!(text, r#"{"destination":"b","method":"GET","origin":"a","uri":"/x?y=\"z"}"#);
        let text = signed_text(server_name!("a"), None, &Method::PUT, "/");
        assert_eq!(text, r#"{"method":"PUT","origin":"a","uri":"/"}"#);
    }

    #[test]
    fn the_header_is_written_in_the_form_that_everybody_understands() {
        let header = XMatrix { signature: [0; 64], ..signed() }.to_header();
        let zeros = "A".repeat(86);
        let expected =
            format!(r#"X-Matrix origin="a.org",destination="b.org:8448",key="ed25519:1",sig="{zeros}""#);
        assert_eq!(header, expected);
    }

    #[test]
    fn a_signature_holds_for_what_was_signed_and_nothing_else() {
        let x = signed();
        assert!(x.is_signed(&public_key(), &Method::GET, TARGET));
        assert!(!x.is_signed(&public_key(), &Method::PUT, TARGET));
        for target in [
            &TARGET.replace("%2F", "/"),
            &TARGET.replace("%c3", "%C3"),
            &TARGET.replace("&&", "&"),
            &format!("{TARGET}?"),
        ] {
            assert!(!x.is_signed(&public_key(), &Method::GET, target), "{target}");
        }
        assert!(!x.is_signed(&[7; 32], &Method::GET, TARGET));
        for changed in [
            XMatrix { origin: server_name!("c.org").to_owned(), ..x.clone() },
            XMatrix { destination: Some(server_name!("c.org").to_owned()), ..x.clone() },
            XMatrix { destination: None, ..x.clone() },
            XMatrix { signature: [0; 64], ..x },
        ] {
            assert!(!changed.is_signed(&public_key(), &Method::GET, TARGET), "{changed:?}");
        }
    }

    #[test]
    fn a_request_without_a_destination_is_signed_without_one() {
        let text = signed_text(server_name!("a.org"), None, &Method::GET, TARGET);
        let x = XMatrix { destination: None, signature: key().sign(text.as_bytes()), ..signed() };
        assert!(x.is_signed(&public_key(), &Method::GET, TARGET));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            host in "[a-z0-9]{1,10}(\\.[a-z]{1,5})?(:[1-9][0-9]{0,3})?",
            destination in proptest::option::of("[a-z0-9.-]{1,20}"),
            version in "[A-Za-z0-9_]{1,20}",
            half in any::<[u8; 32]>(),
        ) {
            let name = |text: &str| OwnedServerName::try_from(text).unwrap();
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&half);
            let x = XMatrix {
                origin: name(&host),
                destination: destination.as_deref().map(name),
                key: format!("ed25519:{version}"),
                signature,
            };
            prop_assert_eq!(XMatrix::parse(x.to_header().as_bytes()), Ok(x));
        }
    }
}
