//! Which endpoint is asked, how, and when the next one is.

use std::time::Duration;

use http::{Method, header::AUTHORIZATION};

use super::{
    super::{XMatrix, encoding},
    origin::Reply,
    peer::{HERE, PATH, Peer, federation, key, kind, mixed, status},
    world::{PATIENCE, name},
};
use crate::federation::{Federation as _, FetchRequest};

const UNRECOGNIZED: &str = r#"{"errcode":"M_UNRECOGNIZED","error":"what?"}"#;

/// An origin that answers like this wherever it is asked for media, but at endpoints that begin with `good`.
async fn peer(code: u16, body: &'static str, good: &'static str) -> Peer {
    Peer::new(move |seen| if seen.target.starts_with(good) { Reply::body("old") } else { status(code, body) })
        .await
}

fn deprecated(peer: &Peer, version: &str) -> String {
    let query = "allow_remote=false&allow_redirect=true&timeout_ms=15000";
    format!("/_matrix/media/{version}/download/{}/abc?{query}", peer.name())
}

#[tokio::test]
async fn the_federation_endpoint_is_asked_with_a_signature_over_what_is_sent() {
    let peer = Peer::new(|_| mixed("", "new")).await;
    assert_eq!(peer.fetch_bytes().await.unwrap(), "new");
    let seen = peer.origin.seen_once();
    assert_eq!(seen.target, format!("{PATH}?timeout_ms=15000"));
    let x = XMatrix::parse(seen.headers[AUTHORIZATION].as_bytes()).unwrap();
    assert_eq!((&*x.origin, x.destination.as_deref()), (name(HERE), Some(&*peer.name())));
    let public_key = encoding::decode(key().public_key().as_bytes()).unwrap();
    assert!(x.is_signed(&public_key, &Method::GET, &seen.target));
}

#[tokio::test]
async fn where_the_endpoint_is_unknown_the_deprecated_ones_are_asked_in_turn() {
    for (code, body) in [
        (404, ""),
        (404, "<html>{"),
        (404, UNRECOGNIZED),
        (405, ""),
        (405, "no"),
        (405, UNRECOGNIZED),
        (400, UNRECOGNIZED),
    ] {
        let peer = peer(code, body, "/_matrix/media/r0/").await;
        assert_eq!(peer.fetch_bytes().await.unwrap(), "old", "{code} {body}");
        let first = format!("{PATH}?timeout_ms=15000");
        assert_eq!(
            peer.targets(),
            [first, deprecated(&peer, "v3"), deprecated(&peer, "r0")],
            "{code} {body}"
        );
    }
}

#[tokio::test]
async fn any_other_refusal_is_final() {
    for (code, body, expected) in [
        (401, "", "denied"),
        (401, UNRECOGNIZED, "denied"),
        (403, r#"{"errcode":"M_FORBIDDEN"}"#, "denied"),
        (404, r#"{"errcode":"M_NOT_FOUND"}"#, "not found"),
        (404, "{}", "not found"),
        (404, r#"{"errcode":404}"#, "not found"),
        (405, r#"{"errcode":"M_UNKNOWN"}"#, "protocol"),
        (400, r#"{"errcode":"M_UNKNOWN"}"#, "protocol"),
        (400, "", "protocol"),
        (413, r#"{"errcode":"M_TOO_LARGE"}"#, "too large"),
        (429, r#"{"errcode":"M_LIMIT_EXCEEDED"}"#, "unreachable"),
        (500, UNRECOGNIZED, "unreachable"),
        (502, "<html>", "unreachable"),
        (504, r#"{"errcode":"M_NOT_YET_UPLOADED"}"#, "not yet uploaded"),
        (504, "", "unreachable"),
        (204, "", "protocol"),
        (206, "x", "protocol"),
        (307, "", "protocol"),
    ] {
        let peer = peer(code, body, "/_matrix/media/").await;
        let error = peer.fetch().await.unwrap_err();
        assert_eq!(kind(&error), expected, "{code} {body}: {error}");
        assert_eq!(peer.targets().len(), 1, "{code} {body}");
    }
}

#[tokio::test]
async fn a_refusal_of_a_deprecated_endpoint_is_final_too() {
    let peer = Peer::new(|seen| {
        let known = seen.target.starts_with("/_matrix/media/v3/");
        status(404, if known { r#"{"errcode":"M_NOT_FOUND"}"# } else { "" })
    })
    .await;
    assert_eq!(kind(&peer.fetch().await.unwrap_err()), "not found");
    assert_eq!(peer.targets().len(), 2);
}

#[tokio::test]
async fn an_origin_that_knows_no_endpoint_does_not_have_the_media() {
    let peer = peer(404, UNRECOGNIZED, "/nowhere").await;
    assert_eq!(kind(&peer.fetch().await.unwrap_err()), "not found");
    assert_eq!(peer.targets().len(), 3);
}

#[tokio::test]
async fn a_deprecated_endpoint_gets_no_credentials() {
    let peer = peer(404, "", "/_matrix/media/v3/").await;
    peer.fetch_bytes().await.unwrap();
    assert!(!peer.origin.seen()[1].headers.contains_key(AUTHORIZATION));
}

#[tokio::test]
async fn without_a_signing_key_only_deprecated_endpoints_are_asked() {
    let mut peer = peer(404, "", "/_matrix/media/v3/").await;
    peer.federation = federation(peer.world.options(), None);
    assert_eq!(peer.fetch_bytes().await.unwrap(), "old");
    assert_eq!(peer.targets(), [deprecated(&peer, "v3")]);
}

#[tokio::test]
async fn the_origin_waits_for_pending_media_no_longer_than_we_wait_for_it() {
    let peer = Peer::new(|_| mixed("", "")).await;
    for (timeout, asked) in [(Duration::from_secs(10), 5000), (4 * PATIENCE, 20_000)] {
        peer.federation.fetch(FetchRequest { timeout, ..peer.request() }).await.unwrap();
        assert_eq!(peer.targets().last().unwrap(), &format!("{PATH}?timeout_ms={asked}"));
    }
}

#[tokio::test]
async fn what_an_origin_calls_its_error_begins_no_line() {
    let peer = peer(403, r#"{"errcode":"M_A\nfake line"}"#, "/nowhere").await;
    assert!(!peer.fetch().await.unwrap_err().to_string().contains('\n'));
}
