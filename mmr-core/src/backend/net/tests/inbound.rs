//! Requests of others, whose keys are fetched to know them.

use http::{Method, header::AUTHORIZATION, request::Parts};
use ruma::{OwnedServerName, ServerName};

use super::{
    super::{SigningKey, XMatrix},
    origin::{Origin, Reply, Seen},
    peer::{HERE, Peer, key, kind, published, status},
    world::{SERVER, World, name},
};
use crate::{
    clock::Clock as _,
    federation::{Federation as _, FederationError},
    testing::ManualClock,
};

const TARGET: &str = "/_matrix/federation/v1/media/download/abc?timeout_ms=1";

/// Another server, which answers like this when it is asked for its keys.
async fn peer(answer: impl Fn(&Seen, &ManualClock) -> Reply + Send + Sync + 'static) -> Peer {
    let world = World::new().await;
    let clock = world.clock.clone();
    let origin = Origin::start(world.ca.issue(&[SERVER]), move |seen| answer(seen, &clock)).await;
    Peer::of(world, origin)
}

/// One that publishes this key.
async fn peer_with(key: SigningKey) -> Peer {
    peer(move |seen, clock| Reply::body(published(&seen.host, &key, clock.now()))).await
}

fn signed_by(server: &ServerName) -> Parts {
    let header = XMatrix::sign(&key(), server, name(HERE), &Method::GET, TARGET).to_header();
    http::Request::get(TARGET).header(AUTHORIZATION, header).body(()).unwrap().into_parts().0
}

async fn authenticate(peer: &Peer) -> Result<OwnedServerName, FederationError> {
    peer.federation.authenticate(&signed_by(&peer.name())).await
}

#[tokio::test]
async fn a_request_signed_with_a_published_key_is_accepted() {
    let peer = peer_with(key()).await;
    assert_eq!(authenticate(&peer).await.unwrap(), peer.name());
    assert_eq!(peer.targets(), ["/_matrix/key/v2/server"]);
}

#[tokio::test]
async fn keys_are_fetched_once_for_many_requests() {
    let peer = peer_with(key()).await;
    for _ in 0..3 {
        authenticate(&peer).await.unwrap();
    }
    assert_eq!(peer.targets().len(), 1);
}

#[tokio::test]
async fn a_request_signed_with_another_key_is_refused() {
    let peer = peer_with(SigningKey::from_seed("1", [8; 32]).unwrap()).await;
    assert_eq!(kind(&authenticate(&peer).await.unwrap_err()), "bad signature");
}

#[tokio::test]
async fn keys_of_somebody_else_are_refused() {
    let peer = peer(|_, clock| Reply::body(published("other.test", &key(), clock.now()))).await;
    assert_eq!(kind(&authenticate(&peer).await.unwrap_err()), "bad signature");
}

#[tokio::test]
async fn a_request_whose_keys_cannot_be_fetched_is_refused() {
    let answers: [fn() -> Reply; 4] =
        [|| Reply::Break, || status(404, ""), || status(500, ""), || Reply::body("x".repeat(100_000))];
    for answer in answers {
        let peer = peer(move |_, _| answer()).await;
        assert_eq!(kind(&authenticate(&peer).await.unwrap_err()), "unreachable");
    }
}

#[tokio::test]
async fn a_request_of_a_server_that_cannot_prove_its_name_is_refused() {
    let world = World::new().await;
    let clock = world.clock.clone();
    let answer = move |seen: &Seen| Reply::body(published(&seen.host, &key(), clock.now()));
    let origin = Origin::start(world.ca.issue(&["other.test"]), answer).await;
    assert_eq!(kind(&authenticate(&Peer::of(world, origin)).await.unwrap_err()), "unreachable");
}

#[tokio::test]
async fn keys_longer_than_64_kib_are_not_collected() {
    let peer = peer(|_, _| Reply::body("x".repeat((64 << 10) + 1))).await;
    let error = peer.federation.published_keys(&peer.name()).await.unwrap_err();
    assert_eq!(kind(&error), "too large");
}

#[tokio::test]
async fn a_server_says_what_it_is() {
    let peer = peer(|_, _| Reply::body(r#"{"server":{}}"#)).await;
    assert_eq!(peer.federation.version(&peer.name()).await.unwrap(), r#"{"server":{}}"#);
    assert_eq!(peer.targets(), ["/_matrix/federation/v1/version"]);
}
