//! Ranges (RFC 9110 section 14): what players need to seek.

use http::{Method, StatusCode};
use mmr_test_support::{ALICE, Reply, TestServer};

const BODY: &str = "0123456789";

async fn served() -> (TestServer, String) {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "video/webm", BODY).await;
    (server, format!("/_matrix/client/v1/media/download/{uri}"))
}

async fn get(server: &TestServer, target: &str, headers: &[(&str, &str)]) -> Reply {
    let call = server.client.call(Method::GET, target).token(ALICE);
    headers.iter().fold(call, |call, (name, value)| call.header(name, value)).send().await
}

#[tokio::test]
async fn a_single_range_is_served_as_asked() {
    let (server, target) = served().await;
    for (range, body, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-5", "2345", "bytes 2-5/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=0-", BODY, "bytes 0-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-99", BODY, "bytes 0-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
        ("BYTES=8-99", "89", "bytes 8-9/10"),
    ] {
        let reply = get(&server, &target, &[("Range", range)]).await;
        assert_eq!((reply.status, &*reply.body), (StatusCode::PARTIAL_CONTENT, body.as_bytes()), "{range}");
        assert_eq!(reply.header("Content-Range"), content_range, "{range}");
        assert_eq!(reply.header("Content-Length"), body.len().to_string(), "{range}");
        assert_eq!(reply.header("Accept-Ranges"), "bytes");
    }
}

#[tokio::test]
async fn a_range_behind_the_end_is_416_with_the_length() {
    let (server, target) = served().await;
    for range in ["bytes=10-", "bytes=99-100", "bytes=-0"] {
        let reply = get(&server, &target, &[("Range", range)]).await;
        assert_eq!(reply.error(), (416, "M_UNKNOWN".to_owned()), "{range}");
        assert_eq!(reply.header("Content-Range"), "bytes */10", "{range}");
    }
}

#[tokio::test]
async fn several_ranges_and_nonsense_get_the_whole_body() {
    let (server, target) = served().await;
    for range in ["bytes=0-1,3-4", "bytes=5-2", "bytes=x-", "lines=1-2", "0-5"] {
        let reply = get(&server, &target, &[("Range", range)]).await;
        assert_eq!((reply.status, &*reply.body), (StatusCode::OK, BODY.as_bytes()), "{range}");
    }
}

#[tokio::test]
async fn a_range_is_ignored_when_the_file_is_another_one() {
    let (server, target) = served().await;
    let etag = get(&server, &target, &[]).await.header("ETag").to_owned();
    let same = get(&server, &target, &[("Range", "bytes=0-0"), ("If-Range", &etag)]).await;
    assert_eq!(same.status, StatusCode::PARTIAL_CONTENT);
    for other in ["\"other\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
        let reply = get(&server, &target, &[("Range", "bytes=0-0"), ("If-Range", other)]).await;
        assert_eq!(reply.status, StatusCode::OK, "{other}");
    }
}

#[tokio::test]
async fn an_unchanged_file_is_304_whatever_the_range() {
    let (server, target) = served().await;
    let etag = get(&server, &target, &[]).await.header("ETag").to_owned();
    let reply = get(&server, &target, &[("Range", "bytes=99-"), ("If-None-Match", &etag)]).await;
    assert_eq!(reply.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn head_ignores_ranges() {
    let (server, target) = served().await;
    let reply =
        server.client.call(Method::HEAD, &target).token(ALICE).header("Range", "bytes=0-0").send().await;
    assert_eq!((reply.status, reply.header("Content-Length")), (StatusCode::OK, "10"));
}

#[tokio::test]
async fn a_large_file_is_served_from_any_offset() {
    let server = TestServer::start().await;
    let body: bytes::Bytes =
        (0..3_000_000u32).map(|i| u8::try_from(i % 251).unwrap()).collect::<Vec<_>>().into();
    let uri = server.client.upload(ALICE, "video/webm", body.clone()).await;
    let target = format!("/_matrix/client/v1/media/download/{uri}");
    for (start, end) in [(0, 2_999_999), (1_234_567, 2_345_678), (2_999_999, 2_999_999)] {
        let reply = get(&server, &target, &[("Range", &format!("bytes={start}-{end}"))]).await;
        assert_eq!(reply.body, body.slice(start..=end));
    }
}
