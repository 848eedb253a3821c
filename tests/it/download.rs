//! Downloads: who may, what the headers say, what caches may keep.

use http::{Method, StatusCode};
use mmr_core::policy::{ServerPolicy, UploadPolicy};
use mmr_test_support::{ALICE, Client, GUEST, TestServer};

fn authenticated(uri: &str) -> String {
    format!("/_matrix/client/v1/media/download/{uri}")
}

fn legacy(uri: &str) -> String {
    format!("/_matrix/media/v3/download/{uri}")
}

fn public() -> ServerPolicy {
    ServerPolicy {
        uploads: UploadPolicy { freeze: false, ..UploadPolicy::default() },
        ..ServerPolicy::default()
    }
}

#[tokio::test]
async fn a_download_takes_a_token_before_anything_else_is_looked_at() {
    let server = TestServer::start().await;
    for path in ["example.org/unknown", "example.org/..", "%00/x", "example.org/x?timeout_ms=nonsense"] {
        let target = authenticated(path);
        assert_eq!(
            server.client.get(&target, "").await.error(),
            (401, "M_MISSING_TOKEN".to_owned()),
            "{path}"
        );
        assert_eq!(
            server.client.get(&target, "wrong").await.error(),
            (401, "M_UNKNOWN_TOKEN".to_owned()),
            "{path}"
        );
    }
    let thumbnail = "/_matrix/client/v1/media/thumbnail/example.org/x";
    assert_eq!(server.client.get(thumbnail, "").await.error(), (401, "M_MISSING_TOKEN".to_owned()));
}

#[tokio::test]
async fn guests_may_download() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", "x").await;
    assert_eq!(server.client.get(&authenticated(&uri), GUEST).await.body, "x");
}

#[tokio::test]
async fn a_token_in_the_query_works_too() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", "x").await;
    let target = format!("{}?access_token={ALICE}", authenticated(&uri));
    assert_eq!(server.client.get(&target, "").await.body, "x");
}

#[tokio::test]
async fn unknown_media_is_not_found_in_json() {
    let server = TestServer::start().await;
    for uri in ["example.org/unknown", "remote.example/unknown"] {
        let reply = server.client.get(&authenticated(uri), ALICE).await;
        assert_eq!(reply.error(), (404, "M_NOT_FOUND".to_owned()));
        assert_eq!(reply.header("Content-Type"), "application/json");
        assert_eq!(reply.header("Cache-Control"), "no-store");
    }
}

#[tokio::test]
async fn frozen_media_does_not_exist_for_those_without_a_token() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", "x").await;
    let anonymous = server.client.get(&legacy(&uri), "").await;
    assert_eq!(anonymous.error(), (404, "M_NOT_FOUND".to_owned()));
    assert_eq!(server.client.get(&legacy(&uri), "wrong").await.error(), (404, "M_NOT_FOUND".to_owned()));
    assert_eq!(server.client.get(&legacy(&uri), ALICE).await.body, "x");
}

#[tokio::test]
async fn a_known_etag_does_not_bypass_the_freeze() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", "x").await;
    let etag = server.client.get(&authenticated(&uri), ALICE).await.header("ETag").to_owned();
    let call = server.client.call(Method::GET, &legacy(&uri)).header("If-None-Match", &etag);
    assert_eq!(call.send().await.error(), (404, "M_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn media_from_before_the_freeze_stays_public() {
    let server = TestServer::with_policy(public()).await;
    let uri = server.client.upload(ALICE, "image/png", "x").await;
    server.repository.set_policies(mmr_core::policy::Policies::single(
        "example.org".try_into().unwrap(),
        ServerPolicy::default(),
    ));
    for version in ["v3", "r0", "v1"] {
        let target =
            format!("/_matrix/media/{version}/download/{uri}?allow_remote=false&allow_redirect=true");
        assert_eq!(server.client.get(&target, "").await.body, "x");
    }
    assert_eq!(server.client.get(&authenticated(&uri), ALICE).await.body, "x");
}

#[tokio::test]
async fn an_unchanged_file_is_not_sent_again() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", "x").await;
    let first = server.client.get(&authenticated(&uri), ALICE).await;
    let etag = first.header("ETag");
    assert!(etag.starts_with('"') && etag.len() > 60, "{etag} is no strong validator");
    assert_eq!(first.header("Cache-Control"), "private, max-age=31536000, immutable");
    let again =
        server.client.call(Method::GET, &authenticated(&uri)).token(ALICE).header("If-None-Match", etag);
    let again = again.send().await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(again.header("ETag"), etag);
}

#[tokio::test]
async fn head_tells_what_get_would_send() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", "12345").await;
    let head = server.client.call(Method::HEAD, &authenticated(&uri)).token(ALICE).send().await;
    let get = server.client.get(&authenticated(&uri), ALICE).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    for name in
        ["Content-Length", "Content-Type", "Content-Disposition", "ETag", "Accept-Ranges", "Cache-Control"]
    {
        assert_eq!(head.header(name), get.header(name), "{name}");
        assert!(!head.header(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_that_browsers_need() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "text/html", "<script>").await;
    for target in [&*authenticated(&uri), &*authenticated("example.org/unknown"), "/_matrix/unknown"] {
        let reply = server.client.get(target, ALICE).await;
        assert_eq!(reply.header("Access-Control-Allow-Origin"), "*", "{target}");
        assert_eq!(reply.header("Cross-Origin-Resource-Policy"), "cross-origin", "{target}");
        assert_eq!(reply.header("X-Content-Type-Options"), "nosniff", "{target}");
        assert!(
            reply.header("Content-Security-Policy").starts_with("sandbox; default-src 'none';"),
            "{target}"
        );
    }
    assert_eq!(
        server.client.get(&authenticated(&uri), ALICE).await.header("Content-Disposition"),
        "attachment"
    );
}

#[tokio::test]
async fn a_name_in_the_path_wins_over_the_uploaded_one() {
    let server = TestServer::start().await;
    let call = server.client.call(Method::POST, "/_matrix/media/v3/upload?filename=a.png").token(ALICE);
    let uri = call.header("Content-Type", "image/png").body("x").send().await.content_uri();
    let named = server.client.get(&format!("{}/%C3%BC%20b.png", authenticated(&uri)), ALICE).await;
    assert_eq!(named.header("Content-Disposition"), "inline; filename*=utf-8''%C3%BC%20b.png");
}

#[tokio::test]
async fn options_succeed_everywhere_without_running_anything() {
    let server = TestServer::start().await;
    for path in [
        "/_matrix/media/v3/upload",
        "/_matrix/client/v1/media/download/a/b",
        "/_matrix/client/versions",
        "/x",
    ] {
        let reply = server.client.call(Method::OPTIONS, path).send().await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT, "{path}");
        assert!(reply.header("Access-Control-Allow-Headers").contains("Authorization"));
        assert!(reply.header("Access-Control-Allow-Methods").contains("PUT"));
    }
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_unrecognized() {
    let server = TestServer::start().await;
    let unknown = server.client.get("/_matrix/client/v1/media/nonsense", ALICE).await;
    assert_eq!(unknown.error(), (404, "M_UNRECOGNIZED".to_owned()));
    for (method, path) in [
        (Method::GET, "/_matrix/media/v3/upload"),
        (Method::PATCH, "/_matrix/media/v3/upload/a/b"),
        (Method::POST, "/_matrix/client/v1/media/download/a/b"),
    ] {
        let reply = server.client.call(method, path).token(ALICE).send().await;
        assert_eq!(reply.error(), (405, "M_UNRECOGNIZED".to_owned()), "{path}");
        assert!(reply.header("Allow").ends_with("OPTIONS"));
    }
}

#[tokio::test]
async fn http2_without_tls_is_spoken_on_the_same_port() {
    let server = TestServer::start().await;
    let client = Client::http2(server.address);
    let body = bytes::Bytes::from(vec![7; 3_000_000]);
    let uri = client.upload(ALICE, "image/png", body.clone()).await;
    assert_eq!(client.get(&authenticated(&uri), ALICE).await.body, body);
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "text/plain", "").await;
    let reply = server.client.get(&authenticated(&uri), ALICE).await;
    assert_eq!((reply.status, reply.header("Content-Length")), (StatusCode::OK, "0"));
}
