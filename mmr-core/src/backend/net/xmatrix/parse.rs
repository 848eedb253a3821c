//! Reading what other servers write.
//!
//! The grammar is that of RFC 9110 section 11.4, and what is more liberal than it: values without quotes may hold colons,
//! slashes and whatever else cannot be taken for something different, since servers send `key=ed25519:1`.

use std::str;

use ruma::OwnedServerName;

use super::{InvalidXMatrix, XMatrix};
use crate::backend::net::encoding;

const SCHEME: &[u8] = b"X-Matrix";
/// Longest key id accepted. Nobody's is longer than twenty bytes.
const MAX_KEY_ID: usize = 255;

const ORIGIN: usize = 0;
const DESTINATION: usize = 1;
const KEY: usize = 2;
const SIG: usize = 3;
/// The parameters that mean something.
const NAMES: [&str; 4] = ["origin", "destination", "key", "sig"];

pub(super) fn parse(value: &[u8]) -> Result<XMatrix, InvalidXMatrix> {
    let parameters = Reader::new(value)?.parameters()?;
    let server = |which: usize| match &parameters[which] {
        None => Ok(None),
        Some(value) => {
            let name = str::from_utf8(value).ok().and_then(|text| OwnedServerName::try_from(text).ok());
            name.map(Some)
                .ok_or(InvalidXMatrix::Value { name: NAMES[which], accepted: "the name of a server" })
        }
    };
    let required = |which: usize| parameters[which].as_deref().ok_or(InvalidXMatrix::Missing(NAMES[which]));
    let origin = server(ORIGIN)?.ok_or(InvalidXMatrix::Missing(NAMES[ORIGIN]))?;
    let destination = server(DESTINATION)?;
    let key = key_id(required(KEY)?).ok_or(InvalidXMatrix::Value {
        name: NAMES[KEY],
        accepted: "the id of a key, such as ed25519:abc",
    })?;
    let signature = encoding::decode(required(SIG)?)
        .ok_or(InvalidXMatrix::Value { name: NAMES[SIG], accepted: "64 bytes in base64" })?;
    Ok(XMatrix { origin, destination, key, signature })
}

/// More than the specification allows: there are servers whose versions have dots and dashes.
fn key_id(value: &[u8]) -> Option<String> {
    let allowed = |&b: &u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b',');
    let text = str::from_utf8(value).ok()?;
    let (algorithm, version) = text.split_once(':')?;
    let valid = !algorithm.is_empty()
        && !version.is_empty()
        && text.len() <= MAX_KEY_ID
        && text.as_bytes().iter().all(allowed);
    valid.then(|| text.to_owned())
}

/// A header and how far it has been read.
struct Reader<'v> {
    value: &'v [u8],
    at: usize,
}

impl<'v> Reader<'v> {
    /// Begins behind the scheme.
    fn new(value: &'v [u8]) -> Result<Self, InvalidXMatrix> {
        let value = value.trim_ascii();
        let (scheme, rest) = value.split_at_checked(SCHEME.len()).ok_or(InvalidXMatrix::Scheme)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) || rest.first().is_some_and(|&b| !is_space(b)) {
            return Err(InvalidXMatrix::Scheme);
        }
        Ok(Self { value, at: SCHEME.len() })
    }

    fn parameters(mut self) -> Result<[Option<Vec<u8>>; NAMES.len()], InvalidXMatrix> {
        let mut found = [const { None }; NAMES.len()];
        loop {
            self.skip(|b| is_space(b) || b == b',');
            if self.peek().is_none() {
                return Ok(found);
            }
            let name = self.take(is_token)?;
            self.skip(is_space);
            self.expect(b'=')?;
            self.skip(is_space);
            let value = match self.peek() {
                Some(b'"') => self.quoted()?,
                _ => self.take(is_unquoted)?.to_vec(),
            };
            self.skip(is_space);
            if self.peek().is_some_and(|b| b != b',') {
                return Err(self.syntax());
            }
            let Some(which) = NAMES.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(name))
            else {
                continue;
            };
            if found[which].replace(value).is_some() {
                return Err(InvalidXMatrix::Duplicate(NAMES[which]));
            }
        }
    }

    fn quoted(&mut self) -> Result<Vec<u8>, InvalidXMatrix> {
        self.expect(b'"')?;
        let mut value = Vec::new();
        loop {
            let mut byte = self.next()?;
            match byte {
                b'"' => return Ok(value),
                b'\\' => byte = self.next()?,
                _ => {}
            }
            value.push(byte);
        }
    }

    /// One byte or more that are `allowed`.
    fn take(&mut self, allowed: impl Fn(u8) -> bool) -> Result<&'v [u8], InvalidXMatrix> {
        let start = self.at;
        self.skip(allowed);
        if start == self.at { Err(self.syntax()) } else { Ok(&self.value[start..self.at]) }
    }

    fn skip(&mut self, skipped: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&skipped) {
            self.at += 1;
        }
    }

    fn expect(&mut self, wanted: u8) -> Result<(), InvalidXMatrix> {
        if self.peek() == Some(wanted) {
            self.at += 1;
            return Ok(());
        }
        Err(self.syntax())
    }

    fn next(&mut self) -> Result<u8, InvalidXMatrix> {
        let byte = self.peek().ok_or_else(|| self.syntax())?;
        self.at += 1;
        Ok(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.value.get(self.at).copied()
    }

    const fn syntax(&self) -> InvalidXMatrix {
        InvalidXMatrix::Syntax { at: self.at }
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

const fn is_unquoted(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b',')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::server_name;

    use super::*;

    fn zeros() -> String {
        "A".repeat(86)
    }

    fn expected() -> XMatrix {
        XMatrix {
            origin: server_name!("a.org:8448").to_owned(),
            destination: Some(server_name!("b.org").to_owned()),
            key: "ed25519:a_1".to_owned(),
            signature: [0; 64],
        }
    }

    fn parsed(text: &str) -> Result<XMatrix, InvalidXMatrix> {
        parse(text.replace("SIG", &zeros()).as_bytes())
    }

    #[test]
    fn the_forms_that_servers_send_are_understood() {
        for text in [
            // Synapse, Dendrite and matrix-media-repo.
            r#"X-Matrix origin="a.org:8448",key="ed25519:a_1",sig="SIG",destination="b.org""#,
            r#"X-Matrix origin="a.org:8448",destination="b.org",key="ed25519:a_1",sig="SIG""#,
            // Older servers and the letter of RFC 9110.
            "X-Matrix origin=a.org:8448,destination=b.org,key=ed25519:a_1,sig=SIG",
            "X-Matrix origin=a.org:8448, destination=\"b.org\" ,\tkey=\"ed25519:a_1\" , sig=SIG==",
            r#"x-matrix Sig="SIG",KEY="ed25519:a_1",Origin="a.org:8448",DESTINATION="b.org""#,
            r#"X-MATRIX   origin = "a.org:8448", destination="b.org", key="ed25519:a_1", sig="SIG", "#,
            r#"X-Matrix origin="a.org\:8448",destination="b\.o\rg",key="ed25519:a_1",sig="SIG""#,
            r#"X-Matrix ,,origin="a.org:8448",,destination="b.org",key="ed25519:a_1",sig="SIG","#,
            r#"X-Matrix origin="a.org:8448",destination="b.org",key="ed25519:a_1",sig="SIG",new="x,\"=",y=z"#,
        ] {
            assert_eq!(parsed(text), Ok(expected()), "{text}");
        }
    }

    #[test]
    fn a_destination_need_not_be_there() {
        let x = parsed("X-Matrix origin=a.org:8448,key=ed25519:a_1,sig=SIG");
        assert_eq!(x, Ok(XMatrix { destination: None, ..expected() }));
    }

    #[test]
    fn versions_outside_of_the_grammar_are_somebodys_too() {
        let x = parsed("X-Matrix origin=a.org:8448,destination=b.org,key=ed25519:v1.2-x,sig=SIG");
        assert_eq!(x, Ok(XMatrix { key: "ed25519:v1.2-x".to_owned(), ..expected() }));
    }

    #[test]
    fn other_schemes_are_told_apart() {
        for text in ["", "Bearer abc", "X-Matrixx origin=a", "X-Matri", "Basic origin=a,key=a:b,sig=SIG"] {
            assert_eq!(parsed(text), Err(InvalidXMatrix::Scheme), "{text}");
        }
    }

    #[test]
    fn a_parameter_that_is_there_twice_is_refused() {
        for (name, more) in
            [("origin", "origin=a.org:8448"), ("origin", "ORIGIN=\"c.org\""), ("sig", "sig=SIG")]
        {
            let text = format!("X-Matrix origin=a.org:8448,key=ed25519:a_1,sig=SIG,{more}");
            assert_eq!(parsed(&text), Err(InvalidXMatrix::Duplicate(name)), "{text}");
        }
    }

    #[test]
    fn a_parameter_that_is_not_there_is_named() {
        for (name, text) in [
            ("origin", "X-Matrix"),
            ("origin", "X-Matrix key=ed25519:a,sig=SIG"),
            ("key", "X-Matrix origin=a.org,sig=SIG"),
            ("sig", "X-Matrix origin=a.org,key=ed25519:a"),
        ] {
            assert_eq!(parsed(text), Err(InvalidXMatrix::Missing(name)), "{text}");
        }
    }

    #[test]
    fn a_parameter_that_says_nothing_is_named() {
        for (name, text) in [
            ("origin", "X-Matrix origin=\"\",key=ed25519:a,sig=SIG"),
            ("origin", "X-Matrix origin=a_b,key=ed25519:a,sig=SIG"),
            ("origin", "X-Matrix origin=\"é\",key=ed25519:a,sig=SIG"),
            ("destination", "X-Matrix origin=a,destination=\"/\",key=ed25519:a,sig=SIG"),
            ("key", "X-Matrix origin=a,key=ed25519,sig=SIG"),
            ("key", "X-Matrix origin=a,key=\"ed25519:\",sig=SIG"),
            ("key", "X-Matrix origin=a,key=\"ed25519:a b\",sig=SIG"),
            ("sig", "X-Matrix origin=a,key=ed25519:a,sig=SIGA"),
            ("sig", "X-Matrix origin=a,key=ed25519:a,sig=AAAA"),
            ("sig", "X-Matrix origin=a,key=ed25519:a,sig=\"\""),
        ] {
            assert!(
                matches!(parsed(text), Err(InvalidXMatrix::Value { name: named, .. }) if named == name),
                "{text} is {:?}",
                parsed(text)
            );
        }
    }

    #[test]
    fn broken_syntax_is_named_with_its_place() {
        for (at, text) in [
            (15, "X-Matrix origin"),
            (16, "X-Matrix origin="),
            (19, "X-Matrix origin=\"a."),
            (18, "X-Matrix origin=\"\\"),
            (18, "X-Matrix origin=a b"),
            (19, "X-Matrix origin=\"a\"b"),
            (9, "X-Matrix =a"),
            (9, "X-Matrix \"a\"=b"),
        ] {
            assert_eq!(parsed(text), Err(InvalidXMatrix::Syntax { at }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"X-Matrix ".as_slice(), &bytes].concat());
        }

        #[test]
        fn anything_made_of_the_grammar_is_an_answer(
            text in "X-Matrix( ?,? ?(origin|key|sig|destination|x) ?= ?(\"[a\\\\\":, =]{0,6}\"?|a:b|[A]{86})){0,6}",
        ) {
            if let Ok(x) = parse(text.as_bytes()) {
                prop_assert_eq!(parse(x.to_header().as_bytes()), Ok(x));
            }
        }
    }
}
