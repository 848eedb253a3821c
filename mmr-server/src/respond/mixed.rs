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
    // Random, so that no media can contain it. `=`, `_` and the like would be allowed, but letters are safest.
    let boundary: String =
        MediaId::generate().as_str().chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    let (before, after) = framing(&boundary, content_type, disposition);
    let len = len.saturating_add((before.len() + after.len()) as u64);
    let whole = stream::iter([Ok(before)]).chain(body).chain(stream::iter([Ok(after)]));
    let mut response = response(StatusCode::OK, MediaBody::of_length(ByteStream::new(whole), len));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    // The next answer has another boundary, and no cache between servers asks for a signature.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::try_from(format!("multipart/mixed; boundary={boundary}")) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    response
}

/// What comes before the media and after it.
fn framing(boundary: &str, content_type: &ContentType, disposition: &HeaderValue) -> (Bytes, Bytes) {
    let mut before = format!(
        "--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n\
         --{boundary}\r\nContent-Type: {}\r\nContent-Disposition: ",
        content_type.as_str()
    )
    .into_bytes();
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

    fn answer(body: ByteStream, len: u64) -> Response<MediaBody> {
        mixed(&ContentType::new("image/png"), &PNG, body, len)
    }

    fn boundary(response: &Response<MediaBody>) -> String {
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
        for media in ["", "x", "\r\n--", "two\nlines"] {
            let response = answer(Bytes::from_static(media.as_bytes()).into(), media.len() as u64);
            let expected = expected(&boundary(&response), media);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), expected);
        }
    }

    #[tokio::test]
    async fn the_length_is_that_of_the_whole_body() {
        let response = answer(Bytes::from_static(b"abc").into(), 3);
        let declared = response.headers()[header::CONTENT_LENGTH].to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(declared, body.len().to_string());
    }

    #[test]
    fn every_answer_has_a_boundary_of_its_own_of_letters_and_digits() {
        let boundaries = [(); 2].map(|()| boundary(&answer(ByteStream::empty(), 0)));
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
        let mut body = answer(ByteStream::new(endless), 1 << 40).into_body();
        assert!(body.frame().await.unwrap().unwrap().into_data().unwrap().starts_with(b"--"));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "x");
    }

    #[tokio::test]
    async fn media_that_breaks_off_is_never_closed_with_a_boundary() {
        let broken = stream::iter([Err(StreamError::TooLarge { limit: 1 })]);
        let body = answer(ByteStream::new(broken), 5).into_body();
        assert!(body.collect().await.is_err());
    }
}
