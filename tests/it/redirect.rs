//! Clients and servers that are sent to the object storage.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use mmr_core::{
    backend::{object_store::ObjectStoreDatastore, s3::Presign},
    policy::ServerPolicy,
    store::MediaFilter,
    testing::{federation_suite::FakeFederation, fixtures::bytes},
    types::Mxc,
};
use mmr_test_support::{ALICE, BOB, Reply, TestServer, TestServerBuilder, s3::S3Server};
use ruma::{owned_user_id, server_name};

const SIZE: usize = 100_000;

async fn start(bucket: &S3Server) -> TestServer {
    let mut options = bucket.options(&bucket.bucket());
    options.links.presign =
        Some(Presign { min_bytes: SIZE as u64, max_ttl: Duration::from_mins(1), endpoint: None });
    let datastore = ObjectStoreDatastore::s3(options).expect("the options make sense");
    let mut policy = ServerPolicy::default();
    policy.downloads.redirect = true;
    TestServerBuilder {
        policy,
        datastore: Some(Arc::new(datastore)),
        federation: Arc::new(FakeFederation::new()),
        ..TestServerBuilder::default()
    }
    .start()
    .await
}

fn address(bucket: &S3Server) -> String {
    format!("http://localhost:{}/", bucket.address().port())
}

/// Server name and media ID, joined by a slash.
async fn upload(server: &TestServer, body: Bytes) -> String {
    server.client.upload(ALICE, "image/png", body).await
}

async fn download(server: &TestServer, name: &str) -> Reply {
    server.client.get(&format!("/_matrix/client/v1/media/download/{name}"), BOB).await
}

#[tokio::test]
async fn large_media_is_fetched_from_the_bucket_and_small_media_from_here() {
    let bucket = S3Server::start().await;
    let server = start(&bucket).await;
    let (large, small) = (upload(&server, bytes(1, SIZE)).await, upload(&server, bytes(2, SIZE - 1)).await);
    let sent_away = download(&server, &large).await;
    assert_eq!(sent_away.status, StatusCode::TEMPORARY_REDIRECT);
    assert!(sent_away.header("Location").starts_with(&address(&bucket)));
    assert_eq!((sent_away.header("Cache-Control"), sent_away.body.len()), ("no-store", 0));
    assert_eq!(download(&server, &small).await.status, StatusCode::OK);
}

#[tokio::test]
async fn nobody_is_sent_away_who_has_the_bytes_or_did_not_ask_for_them() {
    let bucket = S3Server::start().await;
    let server = start(&bucket).await;
    let name = upload(&server, bytes(1, SIZE)).await;
    let target = format!("/_matrix/client/v1/media/download/{name}");
    let head = server.client.call(Method::HEAD, &target).token(BOB).send().await;
    assert_eq!(head.status, StatusCode::OK);
    let etag = head.header("ETag").to_owned();
    let known =
        server.client.call(Method::GET, &target).token(BOB).header("If-None-Match", &etag).send().await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    let legacy = server.client.get(&format!("/_matrix/media/v3/download/{name}"), BOB).await;
    assert_eq!(legacy.status, StatusCode::OK);
}

#[tokio::test]
async fn who_may_not_have_it_is_not_sent_anywhere() {
    let bucket = S3Server::start().await;
    let server = start(&bucket).await;
    let name = upload(&server, bytes(1, SIZE)).await;
    let mxc: Mxc = format!("mxc://{name}").parse().expect("a name");
    let filter = MediaFilter { mxcs: Some(vec![mxc]), ..MediaFilter::default() };
    let by = owned_user_id!("@admin:example.org");
    server.repository.moderation().quarantine(&filter, by, None).await.expect("the store answers");
    let refused = download(&server, &name).await;
    assert_eq!((refused.status, refused.headers.contains_key("Location")), (StatusCode::NOT_FOUND, false));
}

#[tokio::test]
async fn another_server_gets_the_address_in_place_of_the_media() {
    let bucket = S3Server::start().await;
    let server = start(&bucket).await;
    let name = upload(&server, bytes(1, SIZE)).await;
    let media_id = name.rsplit('/').next().expect("a media ID");
    let target = format!("/_matrix/federation/v1/media/download/{media_id}");
    let signature = FakeFederation::signature(server_name!("other.example"), &Method::GET, &target);
    let call = server.client.call(Method::GET, &target);
    let reply = call.header("Authorization", signature.to_str().expect("visible ASCII")).send().await;
    assert_eq!(reply.status, StatusCode::OK);
    let text = String::from_utf8(reply.body.to_vec()).expect("headers only");
    let part = text.split("\r\nLocation: ").nth(1).expect("an address");
    assert!(part.starts_with(&address(&bucket)), "{part}");
}
