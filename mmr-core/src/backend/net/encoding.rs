//! How Matrix writes bytes and signs JSON ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/appendices/#signing-json

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ruma::{CanonicalJsonObject, CanonicalJsonValue};

/// Written without padding. Padding is accepted, and so are stray bits at the end: the specification's own example of a
/// seed has some.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

pub(super) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Exactly `N` bytes of base64, or nothing.
pub(super) fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

/// The text that a signature of `object` is over.
pub(super) fn signed_text(object: &CanonicalJsonObject) -> String {
    let mut object = object.clone();
    object.remove("signatures");
    object.remove("unsigned");
    CanonicalJsonValue::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn padding_and_stray_bits_are_accepted_and_not_written() {
        for text in ["YQ", "YQ==", "YR"] {
            assert_eq!(decode(text.as_bytes()), Some(*b"a"), "{text}");
        }
        assert_eq!(encode(b"a"), "YQ");
    }

    #[test]
    fn other_lengths_and_alphabets_are_refused() {
        for text in ["", "YWE", "Y", "Y-", "Y Q"] {
            assert_eq!(decode::<1>(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn signed_is_the_shortest_text_with_sorted_keys_and_without_signatures() {
        let object = json!({ "b": "\u{1}é\n/", "a": [1, true, null], "signatures": {}, "unsigned": {} });
        let expected = r#"{"a":[1,true,null],"b":"\u0001é\n/"}"#;
        assert_eq!(signed_text(&from_value(object).unwrap()), expected);
    }

    #[test]
    fn numbers_that_signed_json_cannot_have_are_refused() {
        for number in ["1.5", "1e3", "-0", "9007199254740992", "-9007199254740992"] {
            let object = serde_json::from_str::<CanonicalJsonObject>(&format!("{{\"a\":{number}}}"));
            assert!(object.is_err(), "{number}");
        }
        assert!(serde_json::from_str::<CanonicalJsonObject>("{\"a\":9007199254740991}").is_ok());
    }
}
