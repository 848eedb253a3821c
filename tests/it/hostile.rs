//! What no decent client sends.

use http::Method;
use mmr_test_support::{ALICE, TestServer};

#[tokio::test]
async fn ids_that_are_no_ids_name_nothing_and_touch_nothing() {
    let server = TestServer::start().await;
    let long = "a".repeat(300);
    for path in [
        "example.org/a%2Fb",
        "example.org/..",
        "example.org/%2e%2e",
        "example.org/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "example.org/a%00b",
        "example.org/%00",
        "example.org/%FF%FE",
        "example.org/%C0%AE%C0%AE",
        "example.org/a%20b",
        &format!("example.org/{long}"),
        &format!("{long}.org/a"),
        "../a",
        "%2e%2e/a",
        "..%2F..%2Fetc/passwd",
        "%00/a",
        "example.org%00/a",
        "exa%0D%0Ample.org/a",
        "[::1/a",
        "example.org:99999/a",
        "example.org:/a",
    ] {
        for endpoint in [
            "/_matrix/client/v1/media/download",
            "/_matrix/media/v3/download",
            "/_matrix/client/v1/media/thumbnail",
        ] {
            let reply = server.client.get(&format!("{endpoint}/{path}?width=1&height=1"), ALICE).await;
            assert_eq!(reply.error(), (404, "M_NOT_FOUND".to_owned()), "{endpoint}/{path}");
        }
        let put = server
            .client
            .call(Method::PUT, &format!("/_matrix/media/v3/upload/{path}"))
            .token(ALICE)
            .body("x");
        assert_eq!(put.send().await.error(), (404, "M_NOT_FOUND".to_owned()), "PUT {path}");
    }
}

#[tokio::test]
async fn a_file_name_cannot_add_a_header() {
    let server = TestServer::start().await;
    let injected = "a%0D%0ASet-Cookie%3A%20x%3Dy%00.png";
    let call = server
        .client
        .call(Method::POST, &format!("/_matrix/media/v3/upload?filename={injected}"))
        .token(ALICE);
    let uri = call.header("Content-Type", "image/png").body("x").send().await.content_uri();
    for target in [uri.clone(), format!("{uri}/{injected}")] {
        let reply = server.client.get(&format!("/_matrix/client/v1/media/download/{target}"), ALICE).await;
        assert!(reply.headers.get("Set-Cookie").is_none());
        assert_eq!(reply.header("Content-Disposition"), "inline; filename=\"aSet-Cookie: x=y.png\"");
    }
}

#[tokio::test]
async fn a_type_that_is_no_type_is_octet_stream() {
    let server = TestServer::start().await;
    for content_type in ["nonsense", "text/html\u{e9}", "/"] {
        let call = server.client.call(Method::POST, "/_matrix/media/v3/upload").token(ALICE);
        let uri = call.header("Content-Type", content_type).body("x").send().await.content_uri();
        let reply = server.client.get(&format!("/_matrix/client/v1/media/download/{uri}"), ALICE).await;
        assert_eq!(reply.header("Content-Type"), "application/octet-stream", "{content_type}");
    }
}

#[tokio::test]
async fn a_long_file_name_is_cut_and_not_refused() {
    let server = TestServer::start().await;
    let name = "x".repeat(5000);
    let call =
        server.client.call(Method::POST, &format!("/_matrix/media/v3/upload?filename={name}")).token(ALICE);
    let uri = call.body("x").send().await.content_uri();
    let reply = server.client.get(&format!("/_matrix/client/v1/media/download/{uri}"), ALICE).await;
    assert_eq!(reply.header("Content-Disposition").len(), "attachment; filename=".len() + 1024);
}

#[tokio::test]
async fn nonsense_in_the_query_is_a_bad_request() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/png", "x").await;
    for (query, errcode) in [
        ("", "M_MISSING_PARAM"),
        ("width=1", "M_MISSING_PARAM"),
        ("width=x&height=1", "M_INVALID_PARAM"),
        ("width=-1&height=1", "M_INVALID_PARAM"),
        ("width=0&height=1", "M_INVALID_PARAM"),
        ("width=99999999999999&height=1", "M_INVALID_PARAM"),
        ("width=1&height=1&method=stretch", "M_INVALID_PARAM"),
        ("width=1&height=1&animated=maybe", "M_INVALID_PARAM"),
        ("width=1&height=1&timeout_ms=soon", "M_INVALID_PARAM"),
    ] {
        let reply =
            server.client.get(&format!("/_matrix/client/v1/media/thumbnail/{uri}?{query}"), ALICE).await;
        assert_eq!(reply.error(), (400, errcode.to_owned()), "{query}");
    }
}

#[tokio::test]
async fn requests_that_are_no_http_are_refused_and_the_server_goes_on() {
    let server = TestServer::start().await;
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(600_000));
    for (request, status) in [
        ("nonsense\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "400"),
        ("POST /_matrix/media/v3/upload HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400"),
        ("POST /_matrix/media/v3/upload HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", "400"),
        (&*long, "431"),
    ] {
        let answer = server.client.raw(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:.60}: {answer}");
    }
    assert_eq!(server.client.get("/healthz", "").await.status.as_u16(), 200);
}
