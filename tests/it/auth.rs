//! Authentication through a homeserver: its answers pass, its outages are not the user's fault.

use std::{sync::Arc, time::Duration};

use http::Method;
use mmr_core::lifecycle::Background;
use mmr_server::{
    auth::{Homeserver, TokenCache},
    service::Tenant,
};
use mmr_test_support::{FakeHomeserver, TestServer, TestServerBuilder};
use serde_json::json;

const HOUR: Duration = Duration::from_hours(1);
const DOWNLOAD: &str = "/_matrix/client/v1/media/download/example.org/unknown";

async fn start(homeserver: &FakeHomeserver, ttl: Duration) -> TestServer {
    at(&homeserver.base(), ttl).await
}

async fn at(base: &str, ttl: Duration) -> TestServer {
    let client = Arc::new(Homeserver::new(base, Duration::from_secs(5)).expect("a base URL"));
    let tokens = TokenCache::new(Arc::<Homeserver>::clone(&client), ttl, Background::new());
    let authenticator = Arc::new(tokens.clone());
    let builder = TestServerBuilder { authenticator: Some(authenticator), ..TestServerBuilder::default() };
    let adjust = |mut tenant: Tenant| {
        tenant.homeserver = Some(client);
        tenant.tokens = Some(tokens);
        tenant
    };
    builder.start_with(adjust).await
}

#[tokio::test]
async fn a_token_is_asked_about_once_while_it_is_remembered() {
    let homeserver = FakeHomeserver::start().await;
    homeserver.add_user("a", "@alice:example.org");
    let server = start(&homeserver, HOUR).await;
    for _ in 0..3 {
        assert_eq!(server.client.get(DOWNLOAD, "a").await.error().0, 404);
    }
    assert_eq!(homeserver.asked(), ["whoami a"]);
}

#[tokio::test]
async fn a_refusal_of_the_homeserver_is_relayed_word_for_word() {
    let homeserver = FakeHomeserver::start().await;
    let locked = json!({ "errcode": "M_USER_LOCKED", "error": "locked", "soft_logout": true });
    homeserver.on_token("locked", 401, &locked);
    homeserver.on_token("suspended", 403, &json!({ "errcode": "M_USER_SUSPENDED", "error": "suspended" }));
    homeserver.on_token("device", 400, &json!({ "errcode": "M_UNKNOWN_DEVICE", "error": "which?" }));
    let server = start(&homeserver, HOUR).await;
    let reply = server.client.get(DOWNLOAD, "locked").await;
    assert_eq!((reply.status.as_u16(), reply.json()), (401, locked));
    assert_eq!(server.client.get(DOWNLOAD, "suspended").await.error(), (403, "M_USER_SUSPENDED".to_owned()));
    assert_eq!(server.client.get(DOWNLOAD, "device").await.error(), (400, "M_UNKNOWN_DEVICE".to_owned()));
}

#[tokio::test]
async fn a_homeserver_that_fails_makes_a_503_and_is_asked_again() {
    let homeserver = FakeHomeserver::start().await;
    let server = start(&homeserver, HOUR).await;
    for (status, body) in
        [(500, "{}"), (502, "<html>"), (404, "<html>"), (200, "nonsense"), (401, "<html>"), (429, "")]
    {
        homeserver.on("whoami a", status, body);
        assert_eq!(
            server.client.get(DOWNLOAD, "a").await.error(),
            (503, "M_UNKNOWN".to_owned()),
            "{status} {body}"
        );
    }
    homeserver.add_user("a", "@alice:example.org");
    assert_eq!(server.client.get(DOWNLOAD, "a").await.error(), (404, "M_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn a_homeserver_that_is_not_there_makes_a_503() {
    let server = at("http://127.0.0.1:1", HOUR).await;
    let reply = server.client.get(DOWNLOAD, "a").await;
    assert_eq!(reply.error(), (503, "M_UNKNOWN".to_owned()));
    assert!(!reply.header("Retry-After").is_empty());
}

#[tokio::test]
async fn an_application_service_acts_as_its_users_each_on_their_own() {
    let homeserver = FakeHomeserver::start().await;
    homeserver.on("whoami as user_id=%40one%3Aexample.org", 200, r#"{"user_id":"@one:example.org"}"#);
    homeserver.on(
        "whoami as user_id=%40two%3Aexample.org",
        403,
        r#"{"errcode":"M_FORBIDDEN","error":"not yours"}"#,
    );
    let server = start(&homeserver, HOUR).await;
    let one = server.client.get(&format!("{DOWNLOAD}?user_id=@one:example.org"), "as").await;
    assert_eq!(one.error(), (404, "M_NOT_FOUND".to_owned()));
    let two = server.client.get(&format!("{DOWNLOAD}?user_id=@two:example.org"), "as").await;
    assert_eq!(two.error(), (403, "M_FORBIDDEN".to_owned()));
}

#[tokio::test]
async fn logout_passes_through_and_the_token_is_forgotten_at_once() {
    let homeserver = FakeHomeserver::start().await;
    for (path, what) in
        [("/_matrix/client/v3/logout", "logout"), ("/_matrix/client/r0/logout/all", "logout/all")]
    {
        homeserver.add_user("a", "@alice:example.org");
        homeserver.on(what, 200, r#"{"x":1}"#);
        let server = start(&homeserver, HOUR).await;
        assert_eq!(server.client.get(DOWNLOAD, "a").await.error().0, 404);
        let reply = server.client.call(Method::POST, path).token("a").send().await;
        assert_eq!((reply.status.as_u16(), reply.json()), (200, json!({ "x": 1 })));
        homeserver.on_token("a", 401, &json!({ "errcode": "M_UNKNOWN_TOKEN", "error": "gone" }));
        assert_eq!(server.client.get(DOWNLOAD, "a").await.error(), (401, "M_UNKNOWN_TOKEN".to_owned()));
    }
}

#[tokio::test]
async fn a_failed_logout_answers_as_the_homeserver_does() {
    let homeserver = FakeHomeserver::start().await;
    homeserver.on("logout", 401, r#"{"errcode":"M_UNKNOWN_TOKEN","error":"?"}"#);
    let server = start(&homeserver, HOUR).await;
    let reply = server.client.call(Method::POST, "/_matrix/client/v3/logout").token("a").send().await;
    assert_eq!(reply.error(), (401, "M_UNKNOWN_TOKEN".to_owned()));
}

#[tokio::test]
async fn versions_are_the_homeservers_with_authenticated_media() {
    let homeserver = FakeHomeserver::start().await;
    homeserver.on("versions", 200, r#"{"versions":["v1.1"],"unstable_features":{"x":true}}"#);
    let server = start(&homeserver, HOUR).await;
    let expected = json!({
        "versions": ["v1.1", "v1.11"],
        "unstable_features": { "x": true, "org.matrix.msc3916.stable": true },
    });
    assert_eq!(server.client.get("/_matrix/client/versions", "").await.json(), expected);
    homeserver.on("versions", 502, "<html>");
    assert_eq!(server.client.get("/_matrix/client/versions", "").await.status.as_u16(), 502);
}
