use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use ruma::{CanonicalJsonObject, server_name};
use serde_json::json;

use super::*;
use crate::{
    backend::net::{KeyFetcher, SigningKey, encoding},
    clock::Clock,
    testing::ManualClock,
};

const TARGET: &str = "/_matrix/federation/v1/media/download/abc?timeout_ms=1";

fn key() -> SigningKey {
    SigningKey::from_seed("1", [1; 32]).unwrap()
}

/// Every server but `away.org` publishes the same key.
#[derive(Debug, Default)]
struct SameKey {
    fetches: AtomicUsize,
}

#[async_trait]
impl KeyFetcher for SameKey {
    async fn fetch(&self, server: &ServerName) -> Result<Bytes, FederationError> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        if server == "away.org" {
            return Err(FederationError::Unreachable("no route".into()));
        }
        let mut response = json!({
            "server_name": server,
            "valid_until_ts": ManualClock::default().now().as_millis() + 100_000,
            "verify_keys": { key().id(): { "key": key().public_key() } },
        });
        let object: CanonicalJsonObject = serde_json::from_value(response.clone()).unwrap();
        let signature = key().sign(encoding::signed_text(&object).as_bytes());
        response["signatures"][server.as_str()][key().id()] = json!(encoding::encode(&signature));
        Ok(response.to_string().into())
    }
}

fn authenticator() -> (Authenticator, Arc<SameKey>) {
    let fetcher = Arc::new(SameKey::default());
    let keys = RemoteKeys::new(Arc::<SameKey>::clone(&fetcher), Arc::new(ManualClock::default()));
    let local = ["here.org", "there.org"].map(|name| name.try_into().unwrap());
    (Authenticator::new(keys, local.into()), fetcher)
}

fn signed(origin: &str, destination: &str) -> HeaderValue {
    let [origin, destination]: [OwnedServerName; 2] =
        [origin, destination].map(|name| name.try_into().unwrap());
    let signer = Signer::new(HashMap::from([(origin.clone(), SigningKeys::single(key()))]));
    signer.header(&origin, &destination, TARGET).unwrap()
}

fn request(target: &str, headers: &[HeaderValue]) -> Parts {
    let request =
        headers.iter().fold(Request::get(target), |request, value| request.header(AUTHORIZATION, value));
    request.body(()).unwrap().into_parts().0
}

async fn verdict(request: &Parts) -> Result<OwnedServerName, FederationError> {
    authenticator().0.authenticate(request).await
}

/// Why a request is refused.
async fn refusal(request: &Parts) -> String {
    match verdict(request).await {
        Err(FederationError::BadSignature(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_signed_request_names_its_server() {
    for destination in ["here.org", "there.org"] {
        let request = request(TARGET, &[signed("origin.org", destination)]);
        assert_eq!(verdict(&request).await.unwrap(), "origin.org");
    }
}

#[tokio::test]
async fn over_http2_the_authority_is_not_part_of_what_was_signed() {
    let request = request(&format!("https://here.org{TARGET}"), &[signed("origin.org", "here.org")]);
    assert_eq!(verdict(&request).await.unwrap(), "origin.org");
}

#[tokio::test]
async fn a_request_without_a_signature_is_refused() {
    assert_eq!(refusal(&request(TARGET, &[])).await, MISSING);
    let bearer = HeaderValue::from_static("Bearer abc");
    assert_eq!(refusal(&request(TARGET, &[bearer])).await, MISSING);
}

#[tokio::test]
async fn another_scheme_beside_a_signature_does_not_matter() {
    let headers = [HeaderValue::from_static("Basic YTpi"), signed("origin.org", "here.org")];
    assert_eq!(verdict(&request(TARGET, &headers)).await.unwrap(), "origin.org");
}

#[tokio::test]
async fn a_signature_over_another_target_is_refused() {
    for target in [
        "/_matrix/federation/v1/media/download/abc",
        "/_matrix/federation/v1/media/download/abc?timeout_ms=1&",
        "/_matrix/federation/v1/media/download/%61bc?timeout_ms=1",
    ] {
        let why = refusal(&request(target, &[signed("origin.org", "here.org")])).await;
        assert_eq!(why, "origin.org did not sign this request with ed25519:1", "{target}");
    }
}

#[tokio::test]
async fn a_request_for_somebody_else_is_refused_without_asking_for_keys() {
    let (authenticator, fetcher) = authenticator();
    let request = request(TARGET, &[signed("origin.org", "other.org")]);
    let error = authenticator.authenticate(&request).await.unwrap_err().to_string();
    assert!(error.contains("other.org, which is not served here"), "{error}");
    assert_eq!(fetcher.fetches.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_request_that_does_not_tell_whom_it_is_for_is_accepted() {
    let text = json!({ "method": "GET", "origin": "origin.org", "uri": TARGET }).to_string();
    let x = XMatrix {
        origin: server_name!("origin.org").to_owned(),
        destination: None,
        key: key().id().to_owned(),
        signature: key().sign(text.as_bytes()),
    };
    assert_eq!(verdict(&request(TARGET, &[x.to_header()])).await.unwrap(), "origin.org");
}

#[tokio::test]
async fn signatures_by_several_servers_are_refused() {
    for (origin, destination) in [("another.org", "here.org"), ("origin.org", "there.org")] {
        let headers = [signed("origin.org", "here.org"), signed(origin, destination)];
        assert_eq!(
            refusal(&request(TARGET, &headers)).await,
            "the Authorization headers name different servers"
        );
    }
}

#[tokio::test]
async fn one_good_signature_among_several_of_a_server_suffices() {
    let with_key = |id: &str| {
        let header = signed("origin.org", "here.org").to_str().unwrap().replace("ed25519:1", id);
        HeaderValue::try_from(header).unwrap()
    };
    let headers = [with_key("ed25519:new"), with_key("quantum:1"), signed("origin.org", "here.org")];
    assert_eq!(verdict(&request(TARGET, &headers)).await.unwrap(), "origin.org");
    assert!(refusal(&request(TARGET, &headers[..2])).await.contains("no key quantum:1"));
    let many = vec![with_key("ed25519:new"); MAX_SIGNATURES + 1];
    assert!(refusal(&request(TARGET, &many)).await.contains("more than 4"));
}

#[tokio::test]
async fn a_malformed_header_is_refused_even_beside_a_good_one() {
    let headers = [signed("origin.org", "here.org"), HeaderValue::from_static("X-Matrix origin=")];
    assert!(refusal(&request(TARGET, &headers)).await.contains("malformed: at byte 16"));
}

#[tokio::test]
async fn a_server_whose_keys_cannot_be_fetched_is_told_apart() {
    let request = request(TARGET, &[signed("away.org", "here.org")]);
    assert!(matches!(verdict(&request).await, Err(FederationError::Unreachable(_))));
}

#[test]
fn a_homeserver_without_a_key_signs_nothing() {
    let header = Signer::default().header(server_name!("a.org"), server_name!("b.org"), TARGET);
    assert_eq!(header, None);
}

#[tokio::test]
async fn a_signature_that_was_good_is_good_for_nothing_else() {
    let (authenticator, _) = authenticator();
    let good = [signed("remote.org", "here.org")];
    for _ in 0..2 {
        authenticator.authenticate(&request(TARGET, &good)).await.unwrap();
    }
    let other = authenticator.authenticate(&request("/other", &good)).await;
    assert!(matches!(other, Err(FederationError::BadSignature(_))), "{other:?}");
    let mut head = request(TARGET, &good);
    head.method = Method::HEAD;
    let other = authenticator.authenticate(&head).await;
    assert!(matches!(other, Err(FederationError::BadSignature(_))), "{other:?}");
}

#[tokio::test]
async fn a_signature_that_was_good_is_no_longer_when_its_key_has_expired() {
    let clock = ManualClock::default();
    let keys = RemoteKeys::new(Arc::<SameKey>::default(), Arc::new(clock.clone()));
    let local = HashSet::from(["here.org".try_into().unwrap()]);
    let authenticator = Authenticator::new(keys, local);
    let request = request(TARGET, &[signed("remote.org", "here.org")]);
    authenticator.authenticate(&request).await.unwrap();
    clock.advance(std::time::Duration::from_secs(101));
    assert!(authenticator.authenticate(&request).await.is_err());
}
