//! Media for other servers: signed requests, local media, one exact form of body.

use std::{sync::Arc, time::Duration};

use http::Method;
use mmr_core::{
    federation::{Federation, FederationError, FetchRequest, RemoteMedia},
    testing::{federation_suite::FakeFederation, images},
};
use mmr_test_support::{ALICE, BOB, Reply, TestServer, TestServerBuilder};
use ruma::{OwnedServerName, server_name};

const UNSTABLE: &str = "/_matrix/federation/unstable/org.matrix.msc3916.v2/media";
const STABLE: &str = "/_matrix/federation/v1/media";

async fn start() -> TestServer {
    let federation = Arc::new(FakeFederation::new());
    TestServerBuilder { federation, ..TestServerBuilder::default() }.start().await
}

/// `GET target`, signed by another server.
async fn get(server: &TestServer, target: &str) -> Reply {
    let signature = FakeFederation::signature(server_name!("other.example"), &Method::GET, target);
    let call = server.client.call(Method::GET, target);
    call.header("Authorization", signature.to_str().expect("visible ASCII")).send().await
}

/// Uploads and answers the media ID.
async fn upload(server: &TestServer, content_type: &str, body: impl Into<bytes::Bytes>) -> String {
    let uri = server.client.upload(ALICE, content_type, body).await;
    uri.rsplit('/').next().expect("server/id").to_owned()
}

/// The body that `headers` and `media` should arrive in.
fn body(reply: &Reply, headers: &str, media: &[u8]) -> Vec<u8> {
    let boundary = reply.header("Content-Type").strip_prefix("multipart/mixed; boundary=").expect("the form");
    let before = format!(
        "--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{boundary}\r\n{headers}\r\n\r\n"
    );
    [before.as_bytes(), media, format!("\r\n--{boundary}--\r\n").as_bytes()].concat()
}

#[tokio::test]
async fn another_server_gets_local_media_in_two_parts() {
    let server = start().await;
    for prefix in [STABLE, UNSTABLE] {
        let id = upload(&server, "image/png", "pixels").await;
        let reply = get(&server, &format!("{prefix}/download/{id}")).await;
        let headers = "Content-Type: image/png\r\nContent-Disposition: inline";
        assert_eq!(reply.status.as_u16(), 200);
        assert_eq!(reply.body, body(&reply, headers, b"pixels"), "{prefix}");
        assert_eq!(reply.header("Content-Length"), reply.body.len().to_string());
    }
}

#[tokio::test]
async fn the_name_of_a_file_travels_with_it() {
    let server = start().await;
    let call = server.client.call(Method::POST, "/_matrix/media/v3/upload?filename=my+notes.html");
    let uri = call.token(ALICE).header("Content-Type", "text/html").body("x").send().await.content_uri();
    let id = uri.rsplit('/').next().expect("server/id");
    let reply = get(&server, &format!("{STABLE}/download/{id}")).await;
    let headers = "Content-Type: text/html\r\nContent-Disposition: attachment; filename=\"my notes.html\"";
    assert_eq!(reply.body, body(&reply, headers, b"x"));
}

#[tokio::test]
async fn media_larger_than_any_buffer_arrives_whole() {
    let server = start().await;
    let media = mmr_core::testing::fixtures::bytes(1, 3 << 20);
    let id = upload(&server, "video/mp4", media.clone()).await;
    let reply = get(&server, &format!("{STABLE}/download/{id}")).await;
    let headers = "Content-Type: video/mp4\r\nContent-Disposition: inline";
    assert!(reply.body == body(&reply, headers, &media), "the body differs");
}

#[tokio::test]
async fn empty_media_is_media_too() {
    let server = start().await;
    let id = upload(&server, "text/plain", "").await;
    let reply = get(&server, &format!("{STABLE}/download/{id}")).await;
    let headers = "Content-Type: text/plain\r\nContent-Disposition: inline";
    assert_eq!(reply.body, body(&reply, headers, b""));
}

#[tokio::test]
async fn a_thumbnail_is_the_one_that_clients_get() {
    let server = start().await;
    let id = upload(&server, "image/png", images::png(800, 600)).await;
    let query = format!("{id}?width=96&height=96&method=crop");
    let reply = get(&server, &format!("{STABLE}/thumbnail/{query}")).await;
    let client =
        server.client.get(&format!("/_matrix/client/v1/media/thumbnail/example.org/{query}"), BOB).await;
    let headers = "Content-Type: image/png\r\nContent-Disposition: inline; filename=thumbnail.png";
    assert!(reply.body == body(&reply, headers, &client.body), "the body differs");
}

#[tokio::test]
async fn a_thumbnail_of_no_size_is_refused() {
    let server = start().await;
    let id = upload(&server, "image/png", images::png(80, 60)).await;
    let reply = get(&server, &format!("{STABLE}/thumbnail/{id}?width=0&height=1")).await;
    assert_eq!(reply.error(), (400, "M_INVALID_PARAM".to_owned()));
    let reply = get(&server, &format!("{STABLE}/thumbnail/{id}")).await;
    assert_eq!(reply.error(), (400, "M_MISSING_PARAM".to_owned()));
}

#[tokio::test]
async fn a_request_takes_a_signature_before_anything_else_is_looked_at() {
    let server = start().await;
    for path in ["download/unknown", "download/%00", "download/x?timeout_ms=nonsense", "thumbnail/x"] {
        let target = format!("{STABLE}/{path}");
        for token in ["", ALICE] {
            let reply = server.client.get(&target, token).await;
            assert_eq!(reply.error(), (401, "M_UNAUTHORIZED".to_owned()), "{path}");
        }
    }
}

#[tokio::test]
async fn a_signature_over_another_target_is_refused() {
    let server = start().await;
    let id = upload(&server, "image/png", "x").await;
    let target = format!("{STABLE}/download/{id}");
    let signature = FakeFederation::signature(server_name!("other.example"), &Method::GET, &target);
    let call = server.client.call(Method::GET, &format!("{target}?timeout_ms=1"));
    let reply = call.header("Authorization", signature.to_str().expect("visible ASCII")).send().await;
    assert_eq!(reply.error(), (401, "M_UNAUTHORIZED".to_owned()));
}

#[tokio::test]
async fn without_federation_every_signature_is_refused() {
    let server = TestServer::start().await;
    let reply = get(&server, &format!("{STABLE}/download/x")).await;
    assert_eq!(reply.error(), (401, "M_UNAUTHORIZED".to_owned()));
}

/// A network in which nobody can be asked for keys.
#[derive(Debug)]
struct Away;

#[async_trait::async_trait]
impl Federation for Away {
    async fn fetch(&self, _: FetchRequest) -> Result<RemoteMedia, FederationError> {
        Err(FederationError::NotFound)
    }

    async fn authenticate(&self, _: &http::request::Parts) -> Result<OwnedServerName, FederationError> {
        Err(FederationError::Unreachable("10.0.0.7: connection refused".into()))
    }
}

#[tokio::test]
async fn a_server_whose_keys_cannot_be_fetched_is_refused_and_not_told_why() {
    let server =
        TestServerBuilder { federation: Arc::new(Away), ..TestServerBuilder::default() }.start().await;
    let reply = get(&server, &format!("{STABLE}/download/x")).await;
    assert_eq!(reply.error(), (401, "M_UNAUTHORIZED".to_owned()));
    assert!(!reply.json().to_string().contains("10.0.0.7"));
}

#[tokio::test]
async fn media_that_is_not_there_is_not_found_in_json() {
    let server = start().await;
    for path in ["download/unknown", "thumbnail/unknown?width=1&height=1", "download/..", "download/a%2Fb"] {
        let reply = get(&server, &format!("{STABLE}/{path}")).await;
        assert_eq!(reply.error(), (404, "M_NOT_FOUND".to_owned()), "{path}");
        assert_eq!(reply.header("Content-Type"), "application/json");
    }
}

#[tokio::test]
async fn frozen_media_is_there_for_whoever_signs() {
    let server = start().await;
    let id = upload(&server, "image/png", "x").await;
    let anonymous = server.client.get(&format!("/_matrix/media/v3/download/example.org/{id}"), "").await;
    assert_eq!(anonymous.error().0, 404);
    assert_eq!(get(&server, &format!("{STABLE}/download/{id}")).await.status.as_u16(), 200);
}

#[tokio::test]
async fn ranges_and_conditions_mean_nothing_here() {
    let server = start().await;
    let id = upload(&server, "image/png", "pixels").await;
    let target = format!("{STABLE}/download/{id}");
    let signature = FakeFederation::signature(server_name!("other.example"), &Method::GET, &target);
    let call = server.client.call(Method::GET, &target).header("Range", "bytes=0-1");
    let call = call.header("If-None-Match", "*");
    let reply = call.header("Authorization", signature.to_str().expect("visible ASCII")).send().await;
    assert_eq!(reply.status.as_u16(), 200);
    assert_eq!(reply.body, body(&reply, "Content-Type: image/png\r\nContent-Disposition: inline", b"pixels"));
}

#[tokio::test]
async fn pending_media_is_waited_for() {
    let server = start().await;
    let created = server.client.call(Method::POST, "/_matrix/media/v1/create").token(ALICE).send().await;
    let uri = created.content_uri();
    let id = uri.rsplit('/').next().expect("server/id");
    let target = format!("{STABLE}/download/{id}");
    let late = get(&server, &format!("{target}?timeout_ms=0")).await;
    assert_eq!(late.error(), (504, "M_NOT_YET_UPLOADED".to_owned()));
    let upload = async {
        let call = server.client.call(Method::PUT, &format!("/_matrix/media/v3/upload/{uri}"));
        call.token(ALICE).header("Content-Type", "image/png").body("x").send().await
    };
    let both = async { tokio::join!(get(&server, &target), upload) };
    let (reply, _) = tokio::time::timeout(Duration::from_secs(10), both).await.expect("an answer");
    assert_eq!(reply.body, body(&reply, "Content-Type: image/png\r\nContent-Disposition: inline", b"x"));
}

#[tokio::test]
async fn other_methods_are_refused() {
    let server = start().await;
    for method in [Method::HEAD, Method::POST, Method::PUT] {
        let reply = server.client.call(method, &format!("{STABLE}/download/x")).send().await;
        assert_eq!((reply.status.as_u16(), reply.header("Allow")), (405, "GET, OPTIONS"));
    }
}
