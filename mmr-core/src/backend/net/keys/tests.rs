use std::collections::VecDeque;

use futures_util::future::join_all;
use ruma::{CanonicalJsonObject, server_name};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::{
    backend::net::{SigningKey, encoding},
    testing::ManualClock,
};

const DAY: Duration = Duration::from_hours(24);
const MS: Duration = Duration::from_millis(1);

fn server() -> &'static ServerName {
    server_name!("a.org:8448")
}

fn key(version: &str) -> SigningKey {
    SigningKey::from_seed(version, [version.len().try_into().unwrap(); 32]).unwrap()
}

fn public(key: &SigningKey) -> [u8; 32] {
    encoding::decode(key.public_key().as_bytes()).unwrap()
}

/// What a server that has these keys publishes, valid for `validity`.
fn published(keys: &[&SigningKey], now: Timestamp, validity: Duration) -> Value {
    let verify_keys: serde_json::Map<_, _> =
        keys.iter().map(|key| (key.id().to_owned(), json!({ "key": key.public_key() }))).collect();
    json!({
        "server_name": server(),
        "valid_until_ts": now.plus(validity).as_millis(),
        "verify_keys": verify_keys,
        "old_verify_keys": {},
    })
}

fn signed(mut response: Value, keys: &[&SigningKey]) -> Bytes {
    let object: CanonicalJsonObject = serde_json::from_value(response.clone()).unwrap();
    let text = encoding::signed_text(&object);
    for key in keys {
        response["signatures"][server().as_str()][key.id()] =
            json!(encoding::encode(&key.sign(text.as_bytes())));
    }
    response.to_string().into()
}

/// A network whose answers are scripted; the last one is repeated.
#[derive(Debug)]
struct Script {
    answers: Mutex<VecDeque<Option<Bytes>>>,
    asked: Mutex<Vec<OwnedServerName>>,
    gate: Semaphore,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Option<Bytes>>) -> Arc<Self> {
        let answers = Mutex::new(answers.into_iter().collect());
        Arc::new(Self { answers, asked: Mutex::default(), gate: Semaphore::new(1000) })
    }

    fn fetches(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl KeyFetcher for Script {
    async fn fetch(&self, server: &ServerName) -> Result<Bytes, FederationError> {
        self.asked.lock().unwrap().push(server.to_owned());
        self.gate.acquire().await.unwrap().forget();
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
        answer.ok_or_else(|| FederationError::Unreachable("connection refused".into()))
    }
}

struct World {
    clock: ManualClock,
    script: Arc<Script>,
    keys: RemoteKeys,
}

impl World {
    fn new(answers: impl IntoIterator<Item = Option<Bytes>>) -> Self {
        let (clock, script) = (ManualClock::default(), Script::new(answers));
        let keys = RemoteKeys::new(Arc::<Script>::clone(&script), Arc::new(clock.clone()));
        Self { clock, script, keys }
    }

    async fn get(&self, key: &SigningKey) -> Result<[u8; 32], FederationError> {
        self.keys.get(server(), key.id()).await
    }
}

fn now() -> Timestamp {
    ManualClock::default().now()
}

fn good(validity: Duration) -> Bytes {
    signed(published(&[&key("a")], now(), validity), &[&key("a")])
}

#[tokio::test]
async fn keys_are_fetched_once_and_remembered() {
    let world = World::new([Some(good(DAY))]);
    for _ in 0..3 {
        assert_eq!(world.get(&key("a")).await.unwrap(), public(&key("a")));
    }
    assert_eq!(world.script.fetches(), 1);
}

#[tokio::test]
async fn keys_are_fetched_again_after_half_of_their_time() {
    let world = World::new([Some(good(DAY))]);
    world.get(&key("a")).await.unwrap();
    world.clock.set(now().plus(DAY / 2).minus(MS));
    world.get(&key("a")).await.unwrap();
    assert_eq!(world.script.fetches(), 1);
    world.clock.advance(MS);
    world.get(&key("a")).await.unwrap();
    assert_eq!(world.script.fetches(), 2);
}

#[tokio::test]
async fn keys_are_believed_for_a_week_at_most() {
    let world = World::new([Some(good(DAY * 1000)), None]);
    world.get(&key("a")).await.unwrap();
    world.clock.set(now().plus(DAY * 7).minus(MS));
    world.get(&key("a")).await.unwrap();
    world.clock.advance(MS);
    assert!(matches!(world.get(&key("a")).await, Err(FederationError::Unreachable(_))));
}

#[tokio::test]
async fn keys_serve_to_their_end_while_their_server_is_away() {
    let world = World::new([Some(good(DAY)), None]);
    world.get(&key("a")).await.unwrap();
    world.clock.advance(DAY / 4 * 3);
    assert_eq!(world.get(&key("a")).await.unwrap(), public(&key("a")));
    world.clock.advance(DAY / 4);
    assert!(matches!(world.get(&key("a")).await, Err(FederationError::Unreachable(_))));
}

#[tokio::test]
async fn a_flood_of_requests_in_vain_costs_one_fetch() {
    let world = World::new([None]);
    for _ in 0..50 {
        assert!(matches!(world.get(&key("a")).await, Err(FederationError::Unreachable(_))));
    }
    assert_eq!(world.script.fetches(), 1);
    world.clock.advance(REMEMBER_FAILURE);
    world.get(&key("a")).await.unwrap_err();
    assert_eq!(world.script.fetches(), 2);
}

#[tokio::test]
async fn a_failure_names_the_server_and_the_cause() {
    let error = World::new([None]).get(&key("a")).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("a.org:8448") && source.contains("connection refused"), "{source}");
}

#[tokio::test]
async fn a_flood_of_unknown_keys_costs_one_fetch_a_minute() {
    let world = World::new([Some(good(DAY))]);
    for n in 0..50 {
        let error = world.keys.get(server(), &format!("ed25519:x{n}")).await.unwrap_err();
        assert!(matches!(error, FederationError::BadSignature(_)));
    }
    assert_eq!(world.script.fetches(), 1);
    world.clock.advance(LOOK_AGAIN);
    for n in 0..50 {
        world.keys.get(server(), &format!("ed25519:y{n}")).await.unwrap_err();
    }
    assert_eq!(world.script.fetches(), 2);
}

#[tokio::test]
async fn a_key_that_was_changed_is_found_and_the_old_one_is_gone() {
    let (old, new) = (key("a"), key("bb"));
    let mut rotated = published(&[&new], now(), DAY);
    rotated["old_verify_keys"][old.id()] =
        json!({ "key": old.public_key(), "expired_ts": now().as_millis() });
    let world = World::new([Some(good(DAY)), Some(signed(rotated, &[&new, &old]))]);
    world.get(&old).await.unwrap();
    world.clock.advance(LOOK_AGAIN);
    assert_eq!(world.get(&new).await.unwrap(), public(&new));
    let error = world.get(&old).await.unwrap_err();
    assert!(matches!(error, FederationError::BadSignature(_)), "{error}");
}

#[tokio::test]
async fn known_keys_survive_a_search_in_vain() {
    let world = World::new([Some(good(DAY)), None]);
    world.get(&key("a")).await.unwrap();
    world.clock.advance(LOOK_AGAIN);
    world.get(&key("bb")).await.unwrap_err();
    assert_eq!(world.get(&key("a")).await.unwrap(), public(&key("a")));
}

#[tokio::test]
async fn those_who_ask_at_once_share_one_fetch() {
    let world = World::new([Some(good(DAY))]);
    let (id, all) = (key("a"), 20);
    let answers = join_all((0..all).map(|_| world.get(&id))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(world.script.fetches(), 1);
}

#[tokio::test]
async fn a_slow_server_holds_up_nobody_elses_requests() {
    let world = World::new([None]);
    world.script.gate.forget_permits(1000);
    let names = [server_name!("slow.org"), server_name!("other.org")];
    let mut requests = names.map(|name| Box::pin(world.keys.get(name, "ed25519:a")));
    for request in &mut requests {
        assert!(futures_util::poll!(request).is_pending());
    }
    tokio::task::yield_now().await;
    assert_eq!(*world.script.asked.lock().unwrap(), names);
}

#[tokio::test]
async fn nobody_waits_for_a_refresh_who_has_a_valid_key() {
    let world = World::new([Some(good(DAY))]);
    world.get(&key("a")).await.unwrap();
    world.script.gate.forget_permits(1000);
    world.clock.advance(DAY / 2);
    let id = key("a");
    let mut refresh = Box::pin(world.get(&id));
    assert!(futures_util::poll!(&mut refresh).is_pending());
    assert!(world.get(&id).await.is_ok());
}

#[tokio::test]
async fn a_fetch_outlives_the_requests_that_wait_for_it() {
    let world = World::new([Some(good(DAY))]);
    world.script.gate.forget_permits(1000);
    let id = key("a");
    for _ in 0..50 {
        assert!(futures_util::poll!(Box::pin(world.get(&id))).is_pending());
        tokio::task::yield_now().await;
    }
    world.script.gate.add_permits(1);
    assert!(world.get(&id).await.is_ok());
    assert_eq!(world.script.fetches(), 1);
}

#[tokio::test]
async fn a_server_whose_keys_hardly_last_is_asked_a_few_times_a_minute() {
    let world = World::new([Some(good(Duration::from_millis(1)))]);
    for _ in 0..50 {
        let _ = world.get(&key("a")).await;
    }
    assert_eq!(world.script.fetches(), FETCHES);
    world.clock.advance(PER);
    world.get(&key("a")).await.unwrap_err();
    assert_eq!(world.script.fetches(), FETCHES + 1);
}

#[tokio::test]
async fn keys_that_are_not_to_be_trusted_are_refused() {
    let (a, b) = (key("a"), key("bb"));
    let both = || published(&[&a, &b], now(), DAY);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut response = both();
        change(&mut response);
        response
    };
    let of_other = SigningKey::from_seed("a", [9; 32]).unwrap();
    let mut cut = signed(both(), &[&a, &b]).to_vec();
    cut.pop();
    for (expected, response) in [
        ("no signed JSON", cut.into()),
        ("no signed JSON", Bytes::from_static(b"[]")),
        ("no signed JSON", Bytes::new()),
        ("those of b.org", signed(with(&|r| r["server_name"] = json!("b.org")), &[&a, &b])),
        ("those of nobody", signed(with(&|r| r["server_name"] = json!(1)), &[&a, &b])),
        ("expired 0 s ago", signed(published(&[&a], now(), Duration::ZERO), &[&a])),
        ("no valid_until_ts", signed(with(&|r| r["valid_until_ts"] = json!(-1)), &[&a, &b])),
        ("no valid_until_ts", signed(with(&|r| r["valid_until_ts"] = json!("soon")), &[&a, &b])),
        ("no verify_keys", signed(with(&|r| r["verify_keys"] = json!([])), &[&a, &b])),
        ("no ed25519 key", signed(with(&|r| r["verify_keys"] = json!({})), &[&a, &b])),
        ("\"ed25519:bb\" has not signed", signed(both(), &[&a])),
        ("\"ed25519:a\" has not signed", both().to_string().into()),
        ("signature of \"ed25519:a\" does not fit", signed(both(), &[&of_other, &b])),
        (
            "no key of 32 bytes",
            signed(with(&|r| r["verify_keys"]["ed25519:a"]["key"] = json!("YWJj")), &[&a, &b]),
        ),
        ("no key of 32 bytes", signed(with(&|r| r["verify_keys"]["ed25519:a"] = json!(null)), &[&a, &b])),
    ] {
        let error = World::new([Some(response)]).get(&a).await.unwrap_err();
        assert!(
            matches!(&error, FederationError::BadSignature(why) if why.contains(expected)),
            "{error} instead of {expected}"
        );
    }
}

#[tokio::test]
async fn keys_of_other_algorithms_are_ignored() {
    let a = key("a");
    let mut response = published(&[&a], now(), DAY);
    response["verify_keys"]["dilithium:a"] = json!({ "key": "YWJj" });
    let world = World::new([Some(signed(response, &[&a]))]);
    assert!(world.get(&a).await.is_ok());
    assert!(world.keys.get(server(), "dilithium:a").await.is_err());
}

proptest::proptest! {
    #[test]
    fn any_answer_is_a_verdict(body in "\\PC{0,200}", key in ".{0,50}", signature in ".{0,50}") {
        let _ = PublishedKeys::parse(body.as_bytes(), server(), now());
        let mut response = published(&[], now(), DAY);
        response["verify_keys"]["ed25519:a"]["key"] = json!(key);
        response["signatures"][server().as_str()]["ed25519:a"] = json!(signature);
        let verdict = PublishedKeys::parse(response.to_string().as_bytes(), server(), now());
        proptest::prop_assert!(verdict.is_err());
    }
}
