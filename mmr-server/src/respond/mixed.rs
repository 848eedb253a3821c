//! Media as other servers get it: metadata and bytes in one `multipart/mixed` body
//! ([spec](https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1mediadownloadmediaid)).
//!
//! Written to the byte as Synapse writes it, since others take it apart with less than a parser: the boundary is the last
//! parameter and has no quotes, the first part has one header and a body, the headers of the second have this order.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, Response, StatusCode, header};
use mmr_core::{
    stream::ByteStream,
    types::{ContentType, MediaId},
};

use super::{MediaBody, response};

/// A body of `len` bytes with its type and disposition, behind metadata that nobody has defined any of yet.
pub(crate) fn mixed(
    content_type: &ContentType,
    disposition: &HeaderValue,
    body: ByteStream,
    len: u64,
) -> Response<MediaBody> {
    let boundary = boundary();
    let (before, after) = framing(&boundary, content_type, disposition);
    let len = len.saturating_add((before.len() + after.len()) as u64);
    let whole = stream::iter([Ok(before)]).chain(body).chain(stream::iter([Ok(after)]));
    answer(&boundary, ByteStream::new(whole), len)
}

/// The same with an address in place of the media.
pub(crate) fn elsewhere(location: &HeaderValue) -> Response<MediaBody> {
    let boundary = boundary();
    let mut body = metadata(&boundary);
    body.extend_from_slice(format!("--{boundary}\r\nLocation: ").as_bytes());
    body.extend_from_slice(location.as_bytes());
    body.extend_from_slice(format!("\r\n\r\n\r\n--{boundary}--\r\n").as_bytes());
    let len = body.len() as u64;
    answer(&boundary, Bytes::from(body).into(), len)
}

/// Random, so that no media can contain it. `=`, `_` and the like would be allowed, but letters are safest.
fn boundary() -> String {
    MediaId::generate().as_str().chars().filter(char::is_ascii_alphanumeric).take(24).collect()
}

fn answer(boundary: &str, body: ByteStream, len: u64) -> Response<MediaBody> {
    let mut response = response(StatusCode::OK, MediaBody::of_length(body, len));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    // The next answer has another boundary, and no cache between servers asks for a signature.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::try_from(format!("multipart/mixed; boundary={boundary}")) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    response
}

fn metadata(boundary: &str) -> Vec<u8> {
    format!("--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n").into_bytes()
}

/// What comes before the media and after it.
fn framing(boundary: &str, content_type: &ContentType, disposition: &HeaderValue) -> (Bytes, Bytes) {
    let mut before = metadata(boundary);
    let content_type = content_type.as_str();
    before.extend_from_slice(
        format!("--{boundary}\r\nContent-Type: {content_type}\r\nContent-Disposition: ").as_bytes(),
    );
    before.extend_from_slice(disposition.as_bytes());
    before.extend_from_slice(b"\r\n\r\n");
    (before.into(), format!("\r\n--{boundary}--\r\n").into())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use mmr_core::stream::StreamError;

    use super::*;

    const PNG: HeaderValue = HeaderValue::from_static("inline; filename=cat.png");

    fn media(body: ByteStream, len: u64) -> Response<MediaBody> {
        mixed(&ContentType::new("image/png"), &PNG, body, len)
    }

    fn boundary_of(response: &Response<MediaBody>) -> String {
        let content_type = response.headers()[header::CONTENT_TYPE].to_str().unwrap();
        content_type.strip_prefix("multipart/mixed; boundary=").unwrap().to_owned()
    }

    fn expected(boundary: &str, media: &str) -> String {
        format!(
            "--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{boundary}\r\nContent-Type: \
             image/png\r\nContent-Disposition: inline; filename=cat.png\r\n\r\n{media}\r\n--{boundary}--\r\n"
        )
    }

    #[tokio::test]
    async fn the_body_is_framed_to_the_byte() {
        for text in ["", "x", "\r\n--", "two\nlines"] {
            let response = media(Bytes::from_static(text.as_bytes()).into(), text.len() as u64);
            let expected = expected(&boundary_of(&response), text);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), expected);
        }
    }

    #[tokio::test]
    async fn the_length_is_that_of_the_whole_body() {
        let response = media(Bytes::from_static(b"abc").into(), 3);
        let declared = response.headers()[header::CONTENT_LENGTH].to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(declared, body.len().to_string());
    }

    #[test]
    fn every_answer_has_a_boundary_of_its_own_of_letters_and_digits() {
        let boundaries = [(); 2].map(|()| boundary_of(&media(ByteStream::empty(), 0)));
        assert_ne!(boundaries[0], boundaries[1]);
        for boundary in boundaries {
            assert!(
                boundary.len() >= 16 && boundary.bytes().all(|b| b.is_ascii_alphanumeric()),
                "{boundary}"
            );
        }
    }

    #[tokio::test]
    async fn media_is_passed_on_as_it_comes() {
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"x")));
        let mut body = media(ByteStream::new(endless), 1 << 40).into_body();
        assert!(body.frame().await.unwrap().unwrap().into_data().unwrap().starts_with(b"--"));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "x");
    }

    #[tokio::test]
    async fn media_that_breaks_off_is_never_closed_with_a_boundary() {
        let broken = stream::iter([Err(StreamError::TooLarge { limit: 1 })]);
        let body = media(ByteStream::new(broken), 5).into_body();
        assert!(body.collect().await.is_err());
    }

    #[tokio::test]
    async fn an_address_stands_in_the_headers_of_an_empty_part() {
        let response = elsewhere(&HeaderValue::from_static("https://cdn.example/x?sig=1"));
        let boundary = boundary_of(&response);
        let expected = format!(
            "--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{boundary}\r\nLocation: \
             https://cdn.example/x?sig=1\r\n\r\n\r\n--{boundary}--\r\n"
        );
        assert_eq!(response.headers()[header::CONTENT_LENGTH], expected.len().to_string());
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), expected);
    }
}
