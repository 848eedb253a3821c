//! Thumbnails over HTTP.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use mmr_core::{
    gc::CollectorSchedule,
    policy::{ServerPolicy, ThumbnailPolicy},
    testing::{ManualClock, images},
    types::{ContentHash, Hasher, Size},
};
use mmr_test_support::{ALICE, BOB, TestServer, TestServerBuilder};

fn target(uri: &str, query: &str) -> String {
    format!("/_matrix/client/v1/media/thumbnail/{uri}?{query}")
}

/// A server with these rules for thumbnails.
async fn allowing(thumbnails: ThumbnailPolicy) -> TestServer {
    let policy = ServerPolicy { thumbnails: Arc::new(thumbnails), ..ServerPolicy::default() };
    TestServer::with_policy(policy).await
}

/// Width and height according to the header of a PNG.
fn png_size(png: &[u8]) -> (u32, u32) {
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
    assert_eq!(&png[1..4], b"PNG");
    (side(16), side(20))
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
    let uri = server.client.upload(ALICE, "image/png", images::png(400, 300)).await;
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
    let server = allowing(ThumbnailPolicy { max_source_bytes: 1000, ..ThumbnailPolicy::default() }).await;
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

#[tokio::test]
async fn thumbnails_come_in_the_configured_sizes() {
    let server =
        allowing(ThumbnailPolicy { sizes: vec![Size::new(50, 40)], ..ThumbnailPolicy::default() }).await;
    let uri = server.client.upload(ALICE, "image/png", images::png(200, 160)).await;
    for (query, size) in [
        ("width=10&height=10", (50, 40)),
        ("width=9&height=8&method=crop", (45, 40)),
        ("width=900&height=900", (50, 40)),
    ] {
        let reply = server.client.get(&target(&uri, query), BOB).await;
        assert_eq!(png_size(&reply.body), size, "{query}");
    }
}

#[tokio::test]
async fn dynamic_sizing_renders_what_is_asked_up_to_the_largest_size() {
    let thumbnails = ThumbnailPolicy {
        sizes: vec![Size::new(100, 80)],
        dynamic_sizing: true,
        ..ThumbnailPolicy::default()
    };
    let server = allowing(thumbnails).await;
    let uri = server.client.upload(ALICE, "image/png", images::png(200, 160)).await;
    for (query, size) in [("width=33&height=22&method=crop", (33, 22)), ("width=900&height=900", (100, 80))] {
        let reply = server.client.get(&target(&uri, query), BOB).await;
        assert_eq!(png_size(&reply.body), size, "{query}");
    }
}

#[tokio::test]
async fn a_picture_of_too_many_pixels_is_refused() {
    let server = allowing(ThumbnailPolicy { max_pixels: 200 * 160, ..ThumbnailPolicy::default() }).await;
    for (picture, status) in
        [(images::png(200, 160), StatusCode::OK), (images::png(201, 160), StatusCode::PAYLOAD_TOO_LARGE)]
    {
        let uri = server.client.upload(ALICE, "image/png", picture).await;
        let reply = server.client.get(&target(&uri, "width=96&height=96"), BOB).await;
        assert_eq!(reply.status, status);
    }
}

#[tokio::test]
async fn only_configured_types_get_thumbnails_under_any_of_their_names() {
    let types = vec!["image/jpg".to_owned()];
    let server = allowing(ThumbnailPolicy { types, ..ThumbnailPolicy::default() }).await;
    for (picture, status) in
        [(images::jpeg(200, 160), StatusCode::OK), (images::png(200, 160), StatusCode::BAD_REQUEST)]
    {
        // What the uploader says does not matter.
        let uri = server.client.upload(ALICE, "image/jpeg", picture).await;
        let reply = server.client.get(&target(&uri, "width=96&height=96"), BOB).await;
        assert_eq!(reply.status, status);
    }
}

/// Whether an animated picture comes out moving: still pictures made of a GIF are PNG.
async fn moves(server: &TestServer, picture: &Bytes, query: &str) -> bool {
    let uri = server.client.upload(ALICE, "image/gif", picture.clone()).await;
    let reply = server.client.get(&target(&uri, &format!("width=96&height=96{query}")), BOB).await;
    assert_eq!(reply.status, StatusCode::OK);
    reply.header("Content-Type") != "image/png"
}

#[tokio::test]
async fn thumbnails_move_for_those_who_ask_where_that_is_allowed() {
    let picture = images::animated_gif(60, 50, 4);
    let default = allowing(ThumbnailPolicy::default()).await;
    assert!(moves(&default, &picture, "&animated=true").await);
    assert!(!moves(&default, &picture, "").await);
    let still =
        ThumbnailPolicy { allow_animated: false, default_animated: true, ..ThumbnailPolicy::default() };
    let still = allowing(still).await;
    assert!(!moves(&still, &picture, "&animated=true").await);
    assert!(!moves(&still, &picture, "").await);
}

#[tokio::test]
async fn thumbnails_move_by_default_where_that_is_configured() {
    let picture = images::animated_gif(60, 50, 4);
    let server = allowing(ThumbnailPolicy { default_animated: true, ..ThumbnailPolicy::default() }).await;
    assert!(moves(&server, &picture, "").await);
    assert!(!moves(&server, &picture, "&animated=false").await);
}

#[tokio::test]
async fn an_animation_of_too_many_bytes_stands_still() {
    let picture = images::animated_gif(60, 50, 4);
    for (spare, expected) in [(0, true), (1, false)] {
        let max_animate_bytes = picture.len() as u64 - spare;
        let server = allowing(ThumbnailPolicy { max_animate_bytes, ..ThumbnailPolicy::default() }).await;
        assert_eq!(moves(&server, &picture, "&animated=true").await, expected);
    }
}

#[tokio::test]
async fn the_still_picture_of_an_animation_is_taken_where_that_is_configured() {
    let mut bodies = Vec::new();
    for still_frame in [0.0, 0.5, 1.0] {
        let server = allowing(ThumbnailPolicy { still_frame, ..ThumbnailPolicy::default() }).await;
        let uri = server.client.upload(ALICE, "image/gif", images::animated_gif(200, 160, 3)).await;
        bodies.push(server.client.get(&target(&uri, "width=96&height=96"), BOB).await.body);
    }
    let [first, middle, last] = &bodies[..] else { panic!("three bodies") };
    assert!(first != middle && middle != last && first != last);
}

#[tokio::test]
async fn a_thumbnail_expires_and_is_made_again_for_whoever_asks() {
    use futures_util::StreamExt as _;

    const DAY: Duration = Duration::from_hours(24);
    let clock = ManualClock::default();
    let schedule = CollectorSchedule { thumbnail_lifetime: Some(2 * DAY), ..CollectorSchedule::default() };
    let server =
        TestServerBuilder { clock: Arc::new(clock.clone()), schedule, ..TestServerBuilder::default() };
    let server = server.start().await;
    let collector = server.repository.collector();
    let picture = images::png(400, 300);
    let hash = Hasher::digest(&picture).hash;
    let uri = server.client.upload(ALICE, "image/png", picture).await;
    let target = target(&uri, "width=96&height=96");
    let first = server.client.get(&target, BOB).await;

    clock.advance(2 * DAY);
    collector.collect().await.unwrap();
    assert_eq!(thumbnails(&server, hash).await, 1, "not older than it may be");
    clock.advance(Duration::from_millis(1));
    collector.collect().await.unwrap();
    assert_eq!(thumbnails(&server, hash).await, 0);
    // The object goes after readers had time to finish; the picture stays.
    clock.advance(CollectorSchedule::default().garbage_grace + Duration::from_millis(1));
    collector.collect().await.unwrap();
    assert_eq!(server.datastore.list(None).count().await, 1);

    assert_eq!(server.client.get(&target, BOB).await.body, first.body);
    assert_eq!((thumbnails(&server, hash).await, server.datastore.list(None).count().await), (1, 2));
}

async fn thumbnails(server: &TestServer, source: ContentHash) -> usize {
    server.store.thumbnails_of(&source, 10).await.expect("the store answers").len()
}
