//! Thumbnails over HTTP.

use http::{Method, StatusCode};
use mmr_core::{
    policy::{ServerPolicy, ThumbnailPolicy},
    testing::images,
};
use mmr_test_support::{ALICE, BOB, TestServer};

fn target(uri: &str, query: &str) -> String {
    format!("/_matrix/client/v1/media/thumbnail/{uri}?{query}")
}

#[tokio::test]
async fn a_picture_gets_a_thumbnail_of_its_own_format() {
    let server = TestServer::start().await;
    for (picture, content_type) in [
        (images::png(1200, 900), "image/png"),
        (images::jpeg(1200, 900), "image/jpeg"),
        (images::gif(1200, 900), "image/png"),
        (images::lossless_webp(1200, 900), "image/jpeg"),
    ] {
        let uri = server.client.upload(ALICE, "application/octet-stream", picture).await;
        let reply = server.client.get(&target(&uri, "width=320&height=240&method=scale"), BOB).await;
        assert_eq!((reply.status, reply.header("Content-Type")), (StatusCode::OK, content_type));
        assert!(reply.header("Content-Disposition").starts_with("inline; filename=thumbnail."));
        assert!(reply.body.len() > 100);
        let again = server.client.get(&target(&uri, "width=320&height=240"), BOB).await;
        assert_eq!(again.body, reply.body);
    }
}

#[tokio::test]
async fn a_small_picture_is_its_own_thumbnail() {
    let server = TestServer::start().await;
    let picture = images::png(20, 20);
    let uri = server.client.upload(ALICE, "image/png", picture.clone()).await;
    for _ in 0..2 {
        let reply = server.client.get(&target(&uri, "width=320&height=240"), BOB).await;
        assert_eq!((reply.header("Content-Type"), &reply.body), ("image/png", &picture));
    }
}

#[tokio::test]
async fn many_who_ask_at_once_get_the_same_thumbnail_and_it_is_stored_once() {
    use futures_util::StreamExt as _;

    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", images::png(800, 600)).await;
    let target = target(&uri, "width=96&height=96&method=crop");
    let replies = futures_util::future::join_all((0..8).map(|_| server.client.get(&target, BOB))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK && reply.body == replies[0].body));
    assert_eq!(server.datastore.list(None).count().await, 2);
}

#[tokio::test]
async fn a_thumbnail_is_frozen_like_its_picture() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", images::png(800, 600)).await;
    server.client.get(&target(&uri, "width=96&height=96"), BOB).await;
    let legacy =
        server.client.get(&format!("/_matrix/media/v3/thumbnail/{uri}?width=96&height=96"), "").await;
    assert_eq!(legacy.error(), (404, "M_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn what_is_no_picture_has_no_thumbnail() {
    let server = TestServer::start().await;
    for body in [bytes::Bytes::from_static(b"no picture"), images::truncated_jpeg(800, 600).slice(..100)] {
        let uri = server.client.upload(ALICE, "image/png", body).await;
        let reply = server.client.get(&target(&uri, "width=96&height=96"), BOB).await;
        assert_eq!(reply.error(), (400, "M_UNKNOWN".to_owned()));
    }
}

#[tokio::test]
async fn a_decompression_bomb_is_refused() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", images::png_bomb()).await;
    let reply = server.client.get(&target(&uri, "width=96&height=96"), BOB).await;
    assert_eq!(reply.error(), (413, "M_TOO_LARGE".to_owned()));
}

#[tokio::test]
async fn a_source_of_too_many_bytes_is_refused() {
    let thumbnails = ThumbnailPolicy { max_source_bytes: 1000, ..ThumbnailPolicy::default() };
    let policy = ServerPolicy { thumbnails: std::sync::Arc::new(thumbnails), ..ServerPolicy::default() };
    let server = TestServer::with_policy(policy).await;
    let uri = server.client.upload(ALICE, "image/png", images::png(800, 600)).await;
    let reply = server.client.get(&target(&uri, "width=96&height=96"), BOB).await;
    assert_eq!(reply.error(), (413, "M_TOO_LARGE".to_owned()));
}

#[tokio::test]
async fn a_thumbnail_can_be_validated_and_asked_for_by_head() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", images::png(800, 600)).await;
    let target = target(&uri, "width=96&height=96");
    let get = server.client.get(&target, BOB).await;
    let head = server.client.call(Method::HEAD, &target).token(BOB).send().await;
    assert_eq!((head.status, head.header("Content-Length")), (StatusCode::OK, get.header("Content-Length")));
    let call =
        server.client.call(Method::GET, &target).token(BOB).header("If-None-Match", get.header("ETag"));
    assert_eq!(call.send().await.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_deleted_thumbnail_object_is_rendered_again() {
    use futures_util::StreamExt as _;

    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", images::png(800, 600)).await;
    let original = server.datastore.list(None).next().await.unwrap().unwrap().key;
    let target = target(&uri, "width=96&height=96");
    let first = server.client.get(&target, BOB).await;
    let objects: Vec<_> = server.datastore.list(None).map(Result::unwrap).collect().await;
    let thumbnail = objects.into_iter().find(|object| object.key != original).unwrap();
    server.datastore.delete(&thumbnail.key).await.unwrap();
    assert_eq!(server.client.get(&target, BOB).await.body, first.body);
}
