//! What a file is, over HTTP.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use mmr_core::{
    policy::{ServerPolicy, ThumbnailPolicy},
    store::MediaFilter,
    testing::{
        federation_suite::{FakeFederation, OriginMedia},
        images,
    },
    thumbnail::{
        RenderEngine, RenderLimits, Threads, formats,
        programs::{Programs, Tools},
        worker::WorkerCommand,
    },
    types::{Hasher, Mxc},
};
use mmr_test_support::{ALICE, BOB, GUEST, TestServer, TestServerBuilder};
use serde_json::json;

fn target(uri: &str) -> String {
    format!("/_matrix/media/unstable/info/{uri}")
}

#[tokio::test]
async fn a_picture_has_type_size_hash_and_dimensions() {
    let server = TestServer::start().await;
    let picture = images::png(200, 160);
    let uri = server.client.upload(ALICE, "image/x-mine", picture.clone()).await;
    for target in [target(&uri), format!("/_matrix/media/unstable/io.t2bot.media/info/{uri}")] {
        let reply = server.client.get(&target, BOB).await;
        let expected = json!({
            "content_uri": format!("mxc://{uri}"),
            "content_type": "image/x-mine",
            "size": picture.len(),
            "hashes": { "sha256": Hasher::digest(&picture).hash.to_string() },
            "width": 200,
            "height": 160,
        });
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, expected));
    }
}

#[tokio::test]
async fn a_photo_that_is_stored_turned_has_the_size_that_is_seen() {
    let server = TestServer::start().await;
    let photo = images::jpeg_with_orientation(120, 80, 6);
    let uri = server.client.upload(ALICE, "image/jpeg", photo).await;
    let info = server.client.get(&target(&uri), BOB).await.json();
    assert_eq!((&info["width"], &info["height"]), (&json!(120), &json!(80)));
}

#[tokio::test]
async fn thumbnails_are_listed_once_they_are_there() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", images::png(200, 160)).await;
    let thumbnail = format!("/_matrix/client/v1/media/thumbnail/{uri}?width=96&height=96&method=crop");
    let thumbnail = server.client.get(&thumbnail, BOB).await.body;
    let info = server.client.get(&target(&uri), BOB).await.json();
    let expected = json!([{
        "width": 96, "height": 96, "ready": true, "content_type": "image/png", "size": thumbnail.len(),
    }]);
    assert_eq!(info["thumbnails"], expected);
}

#[tokio::test]
async fn a_file_that_is_no_picture_has_no_dimensions() {
    let server = TestServer::start().await;
    for body in [Bytes::from_static(b"no picture"), Bytes::new()] {
        let uri = server.client.upload(ALICE, "image/png", body.clone()).await;
        let info = server.client.get(&target(&uri), BOB).await.json();
        assert_eq!((&info["size"], &info["width"]), (&json!(body.len()), &json!(null)));
    }
}

#[tokio::test]
async fn dimensions_are_told_where_no_thumbnail_is_made() {
    let thumbnails = ThumbnailPolicy { types: Vec::new(), max_pixels: 10, ..ThumbnailPolicy::default() };
    let policy = ServerPolicy { thumbnails: Arc::new(thumbnails), ..ServerPolicy::default() };
    let server = TestServer::with_policy(policy).await;
    for picture in [images::png(200, 160), images::png_bomb()] {
        let uri = server.client.upload(ALICE, "image/png", picture).await;
        let reply = server.client.get(&format!("{}?blurhash=true", target(&uri)), BOB).await;
        let info = reply.json();
        assert!(info["width"].is_u64() && info["xyz.amorgan.blurhash"].is_null(), "{info}");
    }
}

#[tokio::test]
async fn of_a_large_file_the_beginning_is_read() {
    let picture = images::photo_jpeg(1600, 1200);
    let thumbnails = ThumbnailPolicy { max_source_bytes: 16 * 1024, ..ThumbnailPolicy::default() };
    let policy = ServerPolicy { thumbnails: Arc::new(thumbnails), ..ServerPolicy::default() };
    let server = TestServer::with_policy(policy).await;
    let uri = server.client.upload(ALICE, "image/jpeg", picture).await;
    let info = server.client.get(&target(&uri), BOB).await.json();
    assert_eq!((&info["width"], &info["height"]), (&json!(1600), &json!(1200)));
}

#[tokio::test]
async fn what_plays_says_how_long() {
    let server = TestServer::start().await;
    for (source, seconds) in [
        (images::wav(12_000), 1.5),
        (images::flac(None), 0.5),
        (images::animated_gif(16, 16, 3), 0.3),
        (images::animated_png_of(16, 16, 4), 0.4),
        (images::animated_webp(16, 16, 5), 0.5),
    ] {
        let uri = server.client.upload(ALICE, "x/y", source).await;
        let info = server.client.get(&target(&uri), BOB).await.json();
        assert_eq!(info["duration"], json!(seconds), "{info}");
    }
    for still in [images::gif(16, 16), images::png(16, 16)] {
        let uri = server.client.upload(ALICE, "x/y", still).await;
        assert_eq!(server.client.get(&target(&uri), BOB).await.json()["duration"], json!(null));
    }
}

#[tokio::test]
async fn a_sound_has_no_dimensions_and_no_placeholder() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "audio/wav", images::wav(8000)).await;
    let info = server.client.get(&format!("{}?blurhash=true", target(&uri)), BOB).await.json();
    assert_eq!((&info["width"], &info["xyz.amorgan.blurhash"]), (&json!(null), &json!(null)));
}

#[tokio::test]
async fn of_a_large_file_only_what_its_beginning_says_for_all_of_it_is_told() {
    let thumbnails = ThumbnailPolicy { max_source_bytes: 400, ..ThumbnailPolicy::default() };
    let policy = ServerPolicy { thumbnails: Arc::new(thumbnails), ..ServerPolicy::default() };
    let server = TestServer::with_policy(policy).await;
    for (source, seconds) in [
        (images::wav(12_000), json!(1.5)),
        (images::animated_gif(60, 60, 30), json!(null)),
        (images::opus(), json!(null)),
    ] {
        let uri = server.client.upload(ALICE, "x/y", source).await;
        assert_eq!(server.client.get(&target(&uri), BOB).await.json()["duration"], seconds);
    }
}

#[tokio::test]
async fn a_video_says_how_long_it_plays_where_no_program_shows_it() {
    let limits = RenderLimits::default();
    let command = WorkerCommand::program("/nowhere/to/be/found", ["x"]);
    let threads = Arc::new(Threads::new(formats::renderers()));
    let programs = Programs::new(threads, Tools { ffmpeg: None, heif: None }, command, limits);
    let engine: Option<Arc<dyn RenderEngine>> = Some(Arc::new(programs));
    let server = TestServerBuilder { engine, ..TestServerBuilder::default() }.start().await;
    let video =
        b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x24moov\0\0\0\x1cmvhd\0\0\0\0creamodi\0\0\x02\x58\0\0\x03\x84";
    let uri = server.client.upload(ALICE, "video/mp4", Bytes::from_static(video)).await;
    let info = server.client.get(&target(&uri), BOB).await.json();
    assert_eq!((&info["duration"], &info["width"]), (&json!(1.5), &json!(null)), "{info}");
}

#[tokio::test]
async fn a_placeholder_is_made_for_those_who_ask() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", images::png(200, 160)).await;
    let info = server.client.get(&format!("{}?blurhash=true", target(&uri)), BOB).await.json();
    let hash = info["xyz.amorgan.blurhash"].as_str().unwrap();
    assert_eq!(hash.len(), 28, "{hash}");
    assert!(server.client.get(&target(&uri), BOB).await.json()["xyz.amorgan.blurhash"].is_null());
}

#[tokio::test]
async fn users_who_are_no_guests_are_told() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", images::png(20, 16)).await;
    for (token, error) in [("", (401, "M_MISSING_TOKEN")), (GUEST, (403, "M_GUEST_ACCESS_FORBIDDEN"))] {
        let reply = server.client.get(&target(&uri), token).await;
        assert_eq!(reply.error(), (error.0, error.1.to_owned()));
    }
    let unknown = server.client.get(&target("example.org/nothing"), BOB).await;
    assert_eq!(unknown.error(), (404, "M_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn nothing_is_told_of_what_is_quarantined() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", images::png(20, 16)).await;
    let (origin, id) = uri.split_once('/').unwrap();
    let mxc = Mxc::from_parts(origin, id).unwrap();
    let filter = MediaFilter { mxcs: Some(vec![mxc]), ..MediaFilter::default() };
    let by = "@admin:example.org".try_into().unwrap();
    server.repository.moderation().quarantine(&filter, by, None).await.unwrap();
    let reply = server.client.get(&target(&uri), BOB).await;
    assert_eq!(reply.error(), (404, "M_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn media_of_another_server_is_fetched_unless_that_is_refused() {
    let network = Arc::new(FakeFederation::new());
    let mxc = Mxc::from_parts("away.org", "picture").unwrap();
    network.answer(mxc, OriginMedia::new(images::png(30, 20)));
    let federation = Arc::<FakeFederation>::clone(&network);
    let server = TestServerBuilder { federation, ..TestServerBuilder::default() }.start().await;
    let target = target("away.org/picture");
    let refused = server.client.get(&format!("{target}?allow_remote=false"), BOB).await;
    assert_eq!(refused.error(), (404, "M_NOT_FOUND".to_owned()));
    let info = server.client.get(&target, BOB).await.json();
    assert_eq!((&info["width"], &info["height"]), (&json!(30), &json!(20)));
}
