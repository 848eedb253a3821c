//! Uploads, at once and to reserved names.

use http::{Method, StatusCode};
use mmr_core::policy::{QuotaRule, ServerPolicy, UploadPolicy};
use mmr_test_support::{ALICE, BOB, GUEST, Reply, SERVER_NAME, TestServer};

const UPLOAD: &str = "/_matrix/media/v3/upload";
const CREATE: &str = "/_matrix/media/v1/create";

fn policy(uploads: UploadPolicy) -> ServerPolicy {
    ServerPolicy { uploads, ..ServerPolicy::default() }
}

fn download(uri: &str) -> String {
    format!("/_matrix/client/v1/media/download/{uri}")
}

fn fill(uri: &str) -> String {
    format!("{UPLOAD}/{uri}")
}

async fn create(server: &TestServer, token: &str) -> Reply {
    server.client.call(Method::POST, CREATE).token(token).send().await
}

async fn put(server: &TestServer, token: &str, uri: &str, body: &'static str) -> Reply {
    server.client.call(Method::PUT, &fill(uri)).token(token).body(body).send().await
}

#[tokio::test]
async fn what_is_uploaded_comes_back_as_it_was() {
    let server = TestServer::start().await;
    for prefix in ["/_matrix/media/v3", "/_matrix/media/r0", "/_matrix/media/v1"] {
        let call =
            server.client.call(Method::POST, &format!("{prefix}/upload?filename=my+cat.png")).token(ALICE);
        let reply = call.header("Content-Type", "image/png").body(prefix).send().await;
        assert_eq!(reply.status, StatusCode::OK);
        let got = server.client.get(&download(&reply.content_uri()), BOB).await;
        assert_eq!((got.status, &*got.body), (StatusCode::OK, prefix.as_bytes()));
        assert_eq!(got.header("Content-Type"), "image/png");
        assert_eq!(got.header("Content-Disposition"), "inline; filename=\"my cat.png\"");
    }
}

#[tokio::test]
async fn an_upload_of_undeclared_length_is_accepted() {
    let server = TestServer::start().await;
    let chunks = futures_util::stream::iter(["ab", "", "cd"].map(bytes::Bytes::from));
    let reply = server.client.call(Method::POST, UPLOAD).token(ALICE).chunks(chunks).send().await;
    assert_eq!(server.client.get(&download(&reply.content_uri()), ALICE).await.body, "abcd");
}

#[tokio::test]
async fn a_missing_type_is_octet_stream_and_a_missing_name_is_none() {
    let server = TestServer::start().await;
    let reply = server.client.call(Method::POST, UPLOAD).token(ALICE).body("x").send().await;
    let got = server.client.get(&download(&reply.content_uri()), ALICE).await;
    assert_eq!(got.header("Content-Type"), "application/octet-stream");
    assert_eq!(got.header("Content-Disposition"), "attachment");
}

#[tokio::test]
async fn a_form_is_opaque_bytes() {
    let server = TestServer::start().await;
    for content_type in ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded"] {
        let uri = server.client.upload(ALICE, content_type, "a=b&c=d").await;
        assert_eq!(server.client.get(&download(&uri), ALICE).await.body, "a=b&c=d");
    }
}

#[tokio::test]
async fn the_same_upload_by_the_same_user_has_the_same_name() {
    let server = TestServer::start().await;
    let first = server.client.upload(ALICE, "image/png", "x").await;
    assert_eq!(server.client.upload(ALICE, "image/png", "x").await, first);
    assert_ne!(server.client.upload(ALICE, "image/gif", "x").await, first);
    assert_ne!(server.client.upload(BOB, "image/png", "x").await, first);
}

#[tokio::test]
async fn the_same_bytes_of_different_users_are_stored_once() {
    use futures_util::StreamExt as _;

    let server = TestServer::start().await;
    for token in [ALICE, BOB] {
        server.client.upload(token, "image/png", "x").await;
    }
    assert_eq!(server.datastore.list(None).count().await, 1);
}

#[tokio::test]
async fn uploading_takes_a_token_of_a_member() {
    let server = TestServer::start().await;
    for (method, path) in
        [(Method::POST, UPLOAD), (Method::POST, CREATE), (Method::PUT, "/_matrix/media/v3/upload/a.b/c")]
    {
        let error = |token| {
            let call = server.client.call(method.clone(), path).token(token);
            async { call.send().await.error() }
        };
        assert_eq!(error("").await, (401, "M_MISSING_TOKEN".to_owned()), "{path}");
        assert_eq!(error("wrong").await, (401, "M_UNKNOWN_TOKEN".to_owned()), "{path}");
        assert_eq!(error(GUEST).await, (403, "M_GUEST_ACCESS_FORBIDDEN".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn an_upload_over_the_limit_is_refused_with_and_without_a_declared_length() {
    let server =
        TestServer::with_policy(policy(UploadPolicy { max_bytes: Some(4), ..UploadPolicy::default() })).await;
    assert_eq!(
        server.client.call(Method::POST, UPLOAD).token(ALICE).body("1234").send().await.status,
        StatusCode::OK
    );
    let declared = server.client.call(Method::POST, UPLOAD).token(ALICE).body("12345").send().await;
    assert_eq!(declared.error(), (413, "M_TOO_LARGE".to_owned()));
    let chunks = futures_util::stream::iter(["123", "45"].map(bytes::Bytes::from));
    let undeclared = server.client.call(Method::POST, UPLOAD).token(ALICE).chunks(chunks).send().await;
    assert_eq!(undeclared.error(), (413, "M_TOO_LARGE".to_owned()));
}

#[tokio::test]
async fn an_upload_under_the_minimum_is_refused() {
    let server =
        TestServer::with_policy(policy(UploadPolicy { min_bytes: 3, ..UploadPolicy::default() })).await;
    let reply = server.client.call(Method::POST, UPLOAD).token(ALICE).body("12").send().await;
    assert_eq!(reply.error(), (400, "M_UNKNOWN".to_owned()));
}

#[tokio::test]
async fn an_upload_over_the_quota_is_refused() {
    let cap = mmr_core::store::QuotaCap { max_bytes: Some(5), max_files: None };
    let quotas = vec![QuotaRule { users: "@alice:*".to_owned(), cap, max_pending: None }];
    let server = TestServer::with_policy(policy(UploadPolicy { quotas, ..UploadPolicy::default() })).await;
    server.client.upload(ALICE, "text/plain", "123").await;
    let reply = server.client.call(Method::POST, UPLOAD).token(ALICE).body("456").send().await;
    assert_eq!(reply.error(), (403, "M_FORBIDDEN".to_owned()));
    server.client.upload(BOB, "text/plain", "456789").await;
}

#[tokio::test]
async fn a_reserved_name_is_filled_once_by_its_owner() {
    let server = TestServer::start().await;
    let created = create(&server, ALICE).await;
    assert!(created.json()["unused_expires_at"].as_u64().unwrap() > 0);
    let uri = created.content_uri();
    assert_eq!(put(&server, BOB, &uri, "x").await.error(), (403, "M_FORBIDDEN".to_owned()));
    let filled = put(&server, ALICE, &uri, "x").await;
    assert_eq!((filled.status, &*filled.body), (StatusCode::OK, b"{}".as_slice()));
    assert_eq!(put(&server, ALICE, &uri, "y").await.error(), (409, "M_CANNOT_OVERWRITE_MEDIA".to_owned()));
    assert_eq!(server.client.get(&download(&uri), BOB).await.body, "x");
}

#[tokio::test]
async fn a_name_that_was_never_reserved_cannot_be_filled() {
    let server = TestServer::start().await;
    for uri in ["example.org/unknown", "other.org/unknown", "example.org/..", "..%2F/x"] {
        assert_eq!(put(&server, ALICE, uri, "x").await.error(), (404, "M_NOT_FOUND".to_owned()), "{uri}");
    }
}

#[tokio::test]
async fn there_are_only_so_many_reserved_names_per_user() {
    let server =
        TestServer::with_policy(policy(UploadPolicy { max_pending: Some(1), ..UploadPolicy::default() }))
            .await;
    let uri = create(&server, ALICE).await.content_uri();
    assert_eq!(create(&server, ALICE).await.error(), (429, "M_LIMIT_EXCEEDED".to_owned()));
    assert_eq!(create(&server, BOB).await.status, StatusCode::OK);
    put(&server, ALICE, &uri, "x").await;
    assert_eq!(create(&server, ALICE).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_download_of_pending_media_is_answered_by_its_upload() {
    let server = TestServer::start().await;
    let uri = create(&server, ALICE).await.content_uri();
    let target = format!("{}?timeout_ms=60000", download(&uri));
    let (got, _) = tokio::join!(server.client.get(&target, BOB), put(&server, ALICE, &uri, "late"));
    assert_eq!(got.body, "late");
}

#[tokio::test]
async fn a_download_of_pending_media_gives_up_in_time() {
    let server = TestServer::start().await;
    let uri = create(&server, ALICE).await.content_uri();
    let authenticated = server.client.get(&format!("{}?timeout_ms=1", download(&uri)), BOB).await;
    assert_eq!(authenticated.error(), (504, "M_NOT_YET_UPLOADED".to_owned()));
    let legacy = server.client.get(&format!("/_matrix/media/v3/download/{uri}?timeout_ms=1"), "").await;
    assert_eq!(legacy.error(), (504, "M_NOT_YET_UPLOADED".to_owned()));
    let target = format!("/_matrix/client/v1/media/thumbnail/{uri}?width=1&height=1&timeout_ms=1");
    assert_eq!(server.client.get(&target, BOB).await.error(), (504, "M_NOT_YET_UPLOADED".to_owned()));
}

#[tokio::test]
async fn an_expired_name_can_neither_be_filled_nor_waited_for() {
    let ttl = std::time::Duration::ZERO;
    let clock = std::sync::Arc::new(mmr_core::testing::ManualClock::default());
    let server = mmr_test_support::TestServerBuilder {
        policy: policy(UploadPolicy { reservation_ttl: ttl, ..UploadPolicy::default() }),
        clock: std::sync::Arc::<mmr_core::testing::ManualClock>::clone(&clock),
        ..Default::default()
    };
    let server = server.start().await;
    let uri = create(&server, ALICE).await.content_uri();
    clock.advance(std::time::Duration::from_millis(1));
    assert_eq!(put(&server, ALICE, &uri, "x").await.error(), (404, "M_NOT_FOUND".to_owned()));
    assert_eq!(server.client.get(&download(&uri), BOB).await.error(), (404, "M_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn config_tells_the_upload_limit_to_members() {
    let server = mmr_test_support::TestServerBuilder::default();
    let server = server
        .start_with(|mut tenant| {
            tenant.reported_max_bytes = Some(1234);
            tenant
        })
        .await;
    for path in ["/_matrix/client/v1/media/config", "/_matrix/media/v3/config", "/_matrix/media/r0/config"] {
        assert_eq!(server.client.get(path, ALICE).await.json(), serde_json::json!({ "m.upload.size": 1234 }));
        assert_eq!(server.client.get(path, "").await.error(), (401, "M_MISSING_TOKEN".to_owned()));
        assert_eq!(
            server.client.get(path, GUEST).await.error(),
            (403, "M_GUEST_ACCESS_FORBIDDEN".to_owned())
        );
    }
    assert_eq!(SERVER_NAME, "example.org");
}
