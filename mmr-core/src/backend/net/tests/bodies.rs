//! Answers that are too long, too slow, or not what was asked for.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::header::CONTENT_ENCODING;

use super::{
    origin::{CertificateAuthority, Identity, Origin, Reply, stream_body},
    peer::{BOUNDARY, LIMIT, Peer, before, behind, kind, mixed, status, with_type},
    world::{SERVER, World},
};
use crate::{
    federation::{Federation as _, FetchRequest},
    stream::StreamError,
};

/// An answer that begins with `text`.
fn slow<S>(text: String, rest: S) -> Reply
where
    S: Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
{
    Reply::Stream(with_type(stream_body(stream::iter([Ok(text.into())]).chain(rest))))
}

fn endless(text: &'static str) -> impl Stream<Item = Result<Bytes, io::Error>> + Send {
    stream::repeat_with(move || Ok(Bytes::from_static(text.as_bytes())))
}

#[tokio::test]
async fn an_answer_that_declares_too_much_is_refused_at_once() {
    let peer = Peer::new(|_| mixed("", &"x".repeat(200_000))).await;
    assert_eq!(kind(&peer.fetch().await.unwrap_err()), "too large");
}

#[tokio::test]
async fn media_that_turns_out_too_long_ends_at_the_limit() {
    let peer = Peer::new(|_| slow(before(""), endless("media"))).await;
    assert!(matches!(peer.fetch_bytes().await, Err(StreamError::TooLarge { limit: LIMIT })));
}

#[tokio::test]
async fn an_answer_that_never_comes_to_its_media_is_refused() {
    let json = format!("--{BOUNDARY}\r\n\r\n{{\"a\":\"");
    for begin in [String::new(), "\r\n".to_owned(), format!("--{BOUNDARY}\r\n"), json] {
        let text = begin.clone();
        let peer = Peer::new(move |_| slow(text.clone(), endless("x: endless "))).await;
        assert_eq!(kind(&peer.fetch().await.unwrap_err()), "protocol", "{begin:?}");
    }
}

#[tokio::test]
async fn a_silent_head_is_given_up_when_the_time_is_over() {
    let peer = Peer::new(|_| Reply::Silence).await;
    let request = FetchRequest { timeout: Duration::from_millis(300), ..peer.request() };
    assert_eq!(kind(&peer.federation.fetch(request).await.unwrap_err()), "unreachable");
}

#[tokio::test]
async fn silence_before_the_media_is_given_up() {
    for text in ["", "--01", "--0123456789abcdef\r\n\r\n{"] {
        let peer = Peer::new(move |_| slow(text.to_owned(), stream::pending())).await;
        assert_eq!(kind(&peer.fetch().await.unwrap_err()), "unreachable", "{text:?}");
    }
}

#[tokio::test]
async fn silence_within_the_media_is_given_up() {
    let peer = Peer::new(|_| slow(before("") + "media", stream::pending())).await;
    assert!(matches!(peer.fetch_bytes().await, Err(StreamError::Stalled { .. })));
}

#[tokio::test]
async fn silence_within_an_error_is_given_up() {
    let peer = Peer::new(|_| {
        let Reply::Stream(mut response) = slow("{".to_owned(), stream::pending()) else { unreachable!() };
        *response.status_mut() = http::StatusCode::FORBIDDEN;
        Reply::Stream(response)
    })
    .await;
    assert_eq!(kind(&peer.fetch().await.unwrap_err()), "denied");
}

#[tokio::test]
async fn an_error_as_long_as_a_page_is_no_json() {
    let page = "<html>".repeat(50_000);
    let peer = Peer::new(move |seen| {
        let known = seen.target.starts_with("/_matrix/media/v3/");
        if known { Reply::body("old") } else { status(404, &page) }
    })
    .await;
    assert_eq!(peer.fetch_bytes().await.unwrap(), "old");
}

#[tokio::test]
async fn compressed_answers_are_refused() {
    for encodings in [&["gzip"][..], &["identity", "br"]] {
        let peer = Peer::new(move |_| {
            let Reply::Answer(mut response) = mixed("", "media") else { unreachable!() };
            for encoding in encodings {
                response.headers_mut().append(CONTENT_ENCODING, encoding.parse().unwrap());
            }
            Reply::Answer(response)
        })
        .await;
        assert_eq!(kind(&peer.fetch().await.unwrap_err()), "protocol", "{encodings:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_multipart_is_refused() {
    for content_type in ["", "image/png", "multipart/form-data; boundary=x", "multipart/mixed"] {
        let peer = Peer::new(move |_| {
            let Reply::Answer(mut response) = mixed("", "media") else { unreachable!() };
            response.headers_mut().insert("content-type", content_type.parse().unwrap());
            Reply::Answer(response)
        })
        .await;
        assert_eq!(kind(&peer.fetch().await.unwrap_err()), "protocol", "{content_type:?}");
    }
}

/// An answer over HTTP/1, after which the connection is closed. `head` are header lines.
async fn raw(version: &str, head: &str, body: &str) -> Peer {
    let content_type = format!("Content-Type: multipart/mixed; boundary={BOUNDARY}");
    Peer::raw(format!("{version} 200 OK\r\n{content_type}\r\n{head}\r\n{body}")).await
}

#[tokio::test]
async fn media_that_breaks_off_behind_its_last_boundary_is_whole() {
    let text = before("") + "media" + &behind();
    let peer = raw("HTTP/1.1", &format!("Content-Length: {}\r\n", text.len() + 20), &text).await;
    assert_eq!(peer.fetch_bytes().await.unwrap(), "media");
}

#[tokio::test]
async fn media_that_breaks_off_before_its_last_boundary_is_not() {
    let text = before("") + "media";
    for head in ["", "Content-Length: 1000\r\n", "Transfer-Encoding: gzip\r\n"] {
        let peer = raw("HTTP/1.1", head, &text).await;
        let error = peer.fetch_bytes().await.unwrap_err();
        assert!(matches!(error, StreamError::Sender(_)), "{head}: {error:?}");
    }
}

#[tokio::test]
async fn media_with_a_last_boundary_needs_no_length() {
    let peer = raw("HTTP/1.0", "", &(before("") + "media" + &behind())).await;
    assert_eq!(peer.fetch_bytes().await.unwrap(), "media");
}

#[tokio::test]
async fn a_plain_answer_that_ends_with_its_connection_is_refused() {
    for head in ["HTTP/1.0 200 OK", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip"] {
        let world = World::new().await;
        let answer = format!("{head}\r\n\r\nmedia");
        let file = Origin::start_raw(world.ca.issue(&["file.test"]), answer).await;
        world.dns.address_of("file.test", "127.0.0.1");
        let location = format!("Location: https://file.test:{}/\r\n", file.port());
        let origin = Origin::start(world.ca.issue(&[SERVER]), move |_| mixed(&location, "")).await;
        let error = Peer::of(world, origin).fetch().await.unwrap_err().to_string();
        assert!(error.ends_with("the answer does not say where it ends"), "{head}: {error}");
    }
}

/// Whether an origin with this certificate gets no request.
async fn is_refused(world: World, identity: Identity) -> bool {
    let peer = Peer::of(world, Origin::start(identity, |_| mixed("", "media")).await);
    let error = peer.fetch().await.unwrap_err();
    kind(&error) == "unreachable" && peer.targets().is_empty()
}

#[tokio::test]
async fn an_origin_with_an_expired_certificate_is_unreachable() {
    let world = World::new().await;
    let identity = world.ca.issue_until(&[SERVER], 2020);
    assert!(is_refused(world, identity).await);
}

#[tokio::test]
async fn an_origin_with_the_certificate_of_another_is_unreachable() {
    let world = World::new().await;
    let identity = world.ca.issue(&["other.test"]);
    assert!(is_refused(world, identity).await);
}

#[tokio::test]
async fn an_origin_with_a_certificate_by_an_unknown_authority_is_unreachable() {
    assert!(is_refused(World::new().await, CertificateAuthority::new().issue(&[SERVER])).await);
}
