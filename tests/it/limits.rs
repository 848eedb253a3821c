//! Bounds that bite: on time, size and connections.

use std::time::Duration;

use http::Method;
use mmr_core::policy::{ServerPolicy, UploadPolicy};
use mmr_server::server::HttpLimits;
use mmr_test_support::{ALICE, TestServer, TestServerBuilder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const SHORT: Duration = Duration::from_millis(50);

async fn with_limits(limits: HttpLimits) -> TestServer {
    TestServerBuilder { limits, ..TestServerBuilder::default() }.start().await
}

fn upload_head(length: &str) -> String {
    format!(
        "POST /_matrix/media/v3/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALICE}\r\n{length}\r\n\r\n"
    )
}

async fn stored_objects(server: &TestServer) -> usize {
    futures_util::StreamExt::count(server.datastore.list(None)).await
}

#[tokio::test]
async fn a_body_shorter_than_declared_stores_nothing() {
    let server = TestServer::start().await;
    let request = format!("{}12345", upload_head("Content-Length: 10"));
    // The connection is gone with the body, so there may be no answer; a success would be wrong.
    assert!(!server.client.raw(request.as_bytes()).await.contains(" 200 "));
    let chunked = format!("{}5\r\n12345\r\n", upload_head("Transfer-Encoding: chunked"));
    assert!(!server.client.raw(chunked.as_bytes()).await.contains(" 200 "));
    assert_eq!(stored_objects(&server).await, 0);
}

#[tokio::test]
async fn what_follows_a_body_of_the_declared_length_is_no_part_of_it() {
    let server = TestServer::start().await;
    let request = format!("{}12345nonsense", upload_head("Content-Length: 5"));
    let answer = server.client.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let uri = answer.split("mxc://").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    let got = server.client.get(&format!("/_matrix/client/v1/media/download/{uri}"), ALICE).await;
    assert_eq!(got.body, "12345");
}

#[tokio::test]
async fn an_uploader_who_falls_silent_is_told_and_stores_nothing() {
    let server = with_limits(HttpLimits { stall_timeout: SHORT, ..HttpLimits::default() }).await;
    let mut stream = server.client.connect().await;
    stream.write_all(upload_head("Content-Length: 10").as_bytes()).await.unwrap();
    stream.write_all(b"123").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(stored_objects(&server).await, 0);
}

#[tokio::test]
async fn a_slow_uploader_who_keeps_sending_succeeds() {
    let server =
        with_limits(HttpLimits { stall_timeout: Duration::from_secs(5), ..HttpLimits::default() }).await;
    let chunks = futures_util::stream::unfold(0u8, |sent| async move {
        tokio::task::yield_now().await;
        (sent < 100).then(|| (bytes::Bytes::from(vec![sent; 10]), sent + 1))
    });
    let reply =
        server.client.call(Method::POST, "/_matrix/media/v3/upload").token(ALICE).chunks(chunks).send().await;
    assert_eq!(reply.status.as_u16(), 200);
}

#[tokio::test]
async fn a_refused_upload_gets_its_answer_although_the_client_still_sends() {
    let uploads = UploadPolicy { max_bytes: Some(10), ..UploadPolicy::default() };
    let server = TestServer::with_policy(ServerPolicy { uploads, ..ServerPolicy::default() }).await;
    let body = "x".repeat(4 << 20);
    let request = format!("{}{body}", upload_head(&format!("Content-Length: {}", body.len())));
    let answer = server.client.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer:.100}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let server = with_limits(HttpLimits { header_timeout: SHORT, ..HttpLimits::default() }).await;
    let mut stream = server.client.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nX-Slow: ").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let server = with_limits(HttpLimits { idle_timeout: SHORT, ..HttpLimits::default() }).await;
    let mut stream = server.client.connect().await;
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_last_answer() {
    let server = with_limits(HttpLimits { idle_timeout: SHORT, ..HttpLimits::default() }).await;
    let mut stream = server.client.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_reader_who_takes_nothing_is_cut_off() {
    let server = with_limits(HttpLimits { stall_timeout: SHORT, ..HttpLimits::default() }).await;
    let size = 32 << 20;
    let uri = server.client.upload(ALICE, "video/webm", vec![7; size]).await;
    let mut stream = server.client.connect().await;
    let target = format!("/_matrix/client/v1/media/download/{uri}");
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALICE}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.ready(tokio::io::Interest::READABLE).await.unwrap();
    // The uploader's own connection stays.
    server.wait_until_connections(1).await;
    let mut received = Vec::new();
    let _ = stream.read_to_end(&mut received).await;
    assert!(received.len() < size, "the whole body came");
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_a_free_place() {
    let server = with_limits(HttpLimits { max_connections: 1, ..HttpLimits::default() }).await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut first = server.client.connect().await;
    first.write_all(request).await.unwrap();
    assert!(first.read(&mut [0; 64]).await.unwrap() > 0);
    let mut second = server.client.connect().await;
    second.write_all(request).await.unwrap();
    let waits = tokio::time::timeout(SHORT, second.read(&mut [0; 64])).await;
    assert!(waits.is_err(), "the second connection was served beside the first");
    drop(first);
    assert!(second.read(&mut [0; 64]).await.unwrap() > 0);
}

#[tokio::test]
async fn shutdown_lets_an_upload_under_way_finish_and_accepts_no_more() {
    let server = TestServer::start().await;
    let mut stream = server.client.connect().await;
    stream.write_all(upload_head("Content-Length: 10").as_bytes()).await.unwrap();
    stream.write_all(b"12345").await.unwrap();
    server.wait_until_connections(1).await;
    server.begin_stop();
    while tokio::net::TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(b"67890").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(server.stop().await);
}

#[tokio::test]
async fn whoever_connected_before_the_shutdown_is_answered() {
    let server = TestServer::start().await;
    let mut stream = server.client.connect().await;
    server.begin_stop();
    while tokio::net::TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(server.stop().await);
}
