//! The `Content-Disposition` header ([RFC 6266](https://www.rfc-editor.org/rfc/rfc6266)).

use http::HeaderValue;
use mmr_core::types::{ContentType, FileName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What an extended parameter value may hold as it is (RFC 5987 `attr-char`).
const ATTR_CHAR: AsciiSet = NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// `inline` for types that are safe to show, else `attachment`; with the file name, if there is one, as a token where
/// it is one, as a quoted string where it is ASCII, and as an extended value otherwise.
pub(crate) fn disposition(content_type: &ContentType, file_name: Option<&FileName>) -> HeaderValue {
    let kind = kind(content_type);
    if file_name.is_none() {
        return HeaderValue::from_static(kind);
    }
    // A file name has no control characters, so this cannot fail.
    HeaderValue::try_from(disposition_text(content_type, file_name))
        .unwrap_or_else(|_| HeaderValue::from_static(kind))
}

fn kind(content_type: &ContentType) -> &'static str {
    if content_type.is_inline_safe() { "inline" } else { "attachment" }
}

/// The same as text, always ASCII.
pub(crate) fn disposition_text(content_type: &ContentType, file_name: Option<&FileName>) -> String {
    let kind = kind(content_type);
    let Some(name) = file_name.map(FileName::as_str) else { return kind.to_owned() };
    if !name.is_ascii() {
        format!("{kind}; filename*=utf-8''{}", utf8_percent_encode(name, &ATTR_CHAR))
    } else if name.bytes().all(is_token) {
        format!("{kind}; filename={name}")
    } else {
        format!("{kind}; filename=\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// RFC 9110 `tchar`.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(content_type: &str, name: &str) -> String {
        let value = disposition(&ContentType::new(content_type), FileName::new(name).as_ref());
        value.to_str().unwrap().to_owned()
    }

    #[test]
    fn safe_types_are_inline_and_others_attachments() {
        assert_eq!(header("image/png", ""), "inline");
        assert_eq!(header("IMAGE/PNG; x=y", ""), "inline");
        assert_eq!(header("image/svg+xml", ""), "attachment");
        assert_eq!(header("text/html", ""), "attachment");
    }

    #[test]
    fn names_are_written_in_the_simplest_form_that_keeps_them() {
        assert_eq!(header("image/png", "cat.png"), "inline; filename=cat.png");
        assert_eq!(header("image/png", "my cat.png"), "inline; filename=\"my cat.png\"");
        assert_eq!(header("image/png", r#"a"b\c"#), r#"inline; filename="a\"b\\c""#);
        assert_eq!(header("image/png", "ü €.png"), "inline; filename*=utf-8''%C3%BC%20%E2%82%AC.png");
    }

    #[test]
    fn a_name_cannot_add_a_header() {
        assert_eq!(header("image/png", "a\r\nSet-Cookie: x=y"), "inline; filename=\"aSet-Cookie: x=y\"");
    }

    proptest::proptest! {
        #[test]
        fn any_name_gives_a_valid_header(name in ".{0,100}") {
            let value = disposition(&ContentType::new("image/png"), FileName::new(&name).as_ref());
            proptest::prop_assert!(value.to_str().unwrap().starts_with("inline"));
        }
    }
}
