//! MXC URIs: the names under which media is known across Matrix.

use std::{fmt, str::FromStr};

use ruma::{OwnedServerName, ServerName};

/// Longest media ID accepted, in bytes (MSC2703 proposes this limit; the specification has none).
const MAX_MEDIA_ID: usize = 255;
/// Longest server name accepted, in bytes (recommended by the specification's grammar appendix).
const MAX_SERVER_NAME: usize = 230;
/// 40 characters of 6 bits: 240 random bits, never reused and never guessed.
const GENERATED_MEDIA_ID: usize = 40;

/// Why text is not an MXC URI, a media ID or a usable server name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMxc {
    /// The text does not have the form `mxc://<server-name>/<media-id>`.
    #[error("not of the form mxc://<server-name>/<media-id>")]
    Form,
    /// The server name is outside the specification's grammar, or has empty labels, or is too long.
    #[error("not a valid server name")]
    ServerName,
    /// The media ID is empty, longer than 255 bytes, or has characters other than `A-Z a-z 0-9 _ -`.
    #[error("not a valid media ID")]
    MediaId,
}

/// The part of an MXC URI that the origin chose: `A-Z a-z 0-9 _ -`, 1 to 255 bytes.
///
/// Opaque: it never becomes part of a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaId(Box<str>);

impl MediaId {
    /// Validates `text` as a media ID.
    pub fn parse(text: &str) -> Result<Self, InvalidMxc> {
        let ok = (1..=MAX_MEDIA_ID).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if ok { Ok(Self(text.into())) } else { Err(InvalidMxc::MediaId) }
    }

    /// A fresh random media ID of 240 bits.
    #[must_use]
    pub fn generate() -> Self {
        Self(random_text(GENERATED_MEDIA_ID).into())
    }

    /// The media ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An MXC URI, `mxc://<server-name>/<media-id>` ([spec]): who has the media, and what they call it.
///
/// Server names are compared case-sensitively, as the specification has it.
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#matrix-content-mxc-uris
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mxc {
    origin: OwnedServerName,
    media_id: MediaId,
}

impl Mxc {
    /// Joins a server name and a media ID. Use [`Mxc::from_parts`] for text from outside.
    #[must_use]
    pub fn new(origin: OwnedServerName, media_id: MediaId) -> Self {
        Self { origin, media_id }
    }

    /// Validates both halves, as they stand in a request path after percent-decoding.
    pub fn from_parts(server_name: &str, media_id: &str) -> Result<Self, InvalidMxc> {
        Ok(Self { origin: parse_server_name(server_name)?, media_id: MediaId::parse(media_id)? })
    }

    /// The server that has the media.
    #[must_use]
    pub fn origin(&self) -> &ServerName {
        &self.origin
    }

    /// The name of the media on its origin.
    #[must_use]
    pub fn media_id(&self) -> &MediaId {
        &self.media_id
    }
}

impl FromStr for Mxc {
    type Err = InvalidMxc;

    fn from_str(text: &str) -> Result<Self, InvalidMxc> {
        let rest = text.strip_prefix("mxc://").ok_or(InvalidMxc::Form)?;
        let (server_name, media_id) = rest.split_once('/').ok_or(InvalidMxc::Form)?;
        Self::from_parts(server_name, media_id)
    }
}

impl fmt::Display for Mxc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mxc://{}/{}", self.origin, self.media_id)
    }
}

impl fmt::Debug for Mxc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is inside the grammar can still be `..` or have empty labels; neither names a server.
fn parse_server_name(text: &str) -> Result<OwnedServerName, InvalidMxc> {
    if text.is_empty() || text.len() > MAX_SERVER_NAME {
        return Err(InvalidMxc::ServerName);
    }
    let bracketed = text.starts_with('[');
    let end = if bracketed { text.find(']').map(|i| i + 1) } else { text.find(':') };
    let (host, port) = text.split_at(end.unwrap_or(text.len()));
    let port_ok = port.is_empty()
        || port.strip_prefix(':').is_some_and(|p| (1..=5).contains(&p.len()) && p.parse::<u16>().is_ok());
    let labels_ok = bracketed || host.split('.').all(|label| !label.is_empty());
    if !port_ok || !labels_ok {
        return Err(InvalidMxc::ServerName);
    }
    ServerName::parse(text).map_err(|_| InvalidMxc::ServerName)
}

/// `len` characters of `A-Z a-z 0-9 _ -`, each worth 6 random bits.
pub(crate) fn random_text(len: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = vec![0; len];
    getrandom::fill(&mut bytes).expect("the operating system's random generator works");
    bytes.iter().map(|b| char::from(ALPHABET[usize::from(b & 63)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_the_specification_is_accepted() {
        for text in
            ["mxc://example.org/abc", "mxc://a.b:8448/A-_9", "mxc://[2001:db8::1]:80/x", "mxc://1.2.3.4/y"]
        {
            assert_eq!(text.parse::<Mxc>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn server_names_that_name_no_server_are_refused() {
        let long = "a".repeat(231);
        for name in
            ["", "..", ".", "a..b", "a.", "a:", "a:99999", "a:123456", "a/b", "a\0b", "ex_ample", &long]
        {
            assert_eq!(Mxc::from_parts(name, "x"), Err(InvalidMxc::ServerName), "{name:?}");
        }
    }

    #[test]
    fn media_ids_outside_the_grammar_are_refused() {
        let long = "a".repeat(256);
        for id in ["", "..", "a/b", "a\0b", "a%2F", "ä", "a b", &long] {
            assert_eq!(Mxc::from_parts("example.org", id), Err(InvalidMxc::MediaId), "{id:?}");
        }
    }

    #[test]
    fn server_names_keep_their_case() {
        assert_ne!(Mxc::from_parts("Example.org", "x"), Mxc::from_parts("example.org", "x"));
    }

    #[test]
    fn generated_media_ids_are_valid_and_differ() {
        let (a, b) = (MediaId::generate(), MediaId::generate());
        assert_ne!(a, b);
        assert_eq!(MediaId::parse(a.as_str()), Ok(a));
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics_and_what_parses_prints_the_same(text in "\\PC{0,300}", id in "[a-zA-Z0-9_./%-]{0,8}") {
            if let Ok(mxc) = Mxc::from_parts(&text, &id) {
                proptest::prop_assert_eq!(mxc.to_string(), format!("mxc://{}/{}", text, id));
            }
            let _ = text.parse::<Mxc>();
        }
    }
}
