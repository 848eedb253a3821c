//! What administrators of the repository can do, and nobody else.

use http::{Method, StatusCode};
use mmr_test_support::{ADMIN, ALICE, BOB, GUEST, TestServer};
use serde_json::json;

const BASE: &str = "/_matrix/media/unstable/admin";

async fn get(server: &TestServer, path: &str) -> (StatusCode, serde_json::Value) {
    let reply = server.client.get(&format!("{BASE}/{path}"), ADMIN).await;
    (reply.status, reply.json())
}

#[tokio::test]
async fn nobody_else_may_do_any_of_it() {
    let server = TestServer::start().await;
    for (method, path) in [
        (Method::GET, "datastores"),
        (Method::GET, "datastores/test/size_estimate"),
        (Method::POST, "datastores/test/transfer_to/test"),
        (Method::GET, "tasks/all"),
        (Method::GET, "tasks/unfinished"),
        (Method::GET, "tasks/1"),
        (Method::POST, "quarantine/example.org/x"),
        (Method::POST, "purge/example.org/x"),
        (Method::POST, "purge/remote?before_ts=1"),
    ] {
        let target = format!("{BASE}/{path}");
        for token in [ALICE, GUEST] {
            let reply = server.client.call(method.clone(), &target).token(token).send().await;
            assert_eq!(
                (reply.status, &reply.json()["errcode"]),
                (StatusCode::FORBIDDEN, &json!("M_FORBIDDEN")),
                "{path}"
            );
        }
        let reply = server.client.call(method, &target).send().await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn an_estimate_counts_each_bytes_once() {
    let server = TestServer::start().await;
    for body in ["one", "one", "three"] {
        let call = server.client.call(Method::POST, "/_matrix/media/v3/upload").token(ALICE);
        assert_eq!(call.body(body).send().await.status, StatusCode::OK);
    }
    let other = server.client.call(Method::POST, "/_matrix/media/v3/upload?filename=copy").token(ALICE);
    assert_eq!(other.body("one").send().await.status, StatusCode::OK);
    let (status, estimate) = get(&server, "datastores/test/size_estimate").await;
    let expected = json!({
        "media_affected": 3, "media_hashes_affected": 2, "media_bytes": 8,
        "thumbnails_affected": 0, "thumbnail_hashes_affected": 0, "thumbnail_bytes": 0,
        "total_hashes_affected": 2, "total_bytes": 8,
    });
    assert_eq!((status, estimate), (StatusCode::OK, expected));
    let (_, old) = get(&server, "datastores/test/size_estimate?before_ts=1000").await;
    assert_eq!(old["total_bytes"], 0);
}

#[tokio::test]
async fn a_transfer_needs_two_datastores_that_exist() {
    let server = TestServer::start().await;
    for path in ["test/transfer_to/test", "test/transfer_to/other", "other/transfer_to/test"] {
        let target = format!("{BASE}/datastores/{path}");
        let reply = server.client.call(Method::POST, &target).token(ADMIN).send().await;
        assert_eq!(
            (reply.status, &reply.json()["errcode"]),
            (StatusCode::BAD_REQUEST, &json!("M_INVALID_PARAM"))
        );
    }
    assert_eq!(get(&server, "tasks/all").await, (StatusCode::OK, json!([])));
    let (status, _) = get(&server, "datastores/test/size_estimate?before_ts=soon").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_unknown_task_is_not_found() {
    let server = TestServer::start().await;
    for id in ["1", "x", "-1", "99999999999999999999"] {
        assert_eq!(get(&server, &format!("tasks/{id}")).await.0, StatusCode::NOT_FOUND, "{id}");
    }
}

#[tokio::test]
async fn quarantine_takes_every_copy_and_its_bytes_stay_out() {
    let server = TestServer::start().await;
    let (first, copy) = (upload(&server, ALICE, "bad").await, upload(&server, BOB, "bad").await);
    let other = upload(&server, BOB, "good").await;
    assert_eq!(download(&server, &copy).await, StatusCode::OK);
    assert_eq!(post(&server, &format!("quarantine/{first}")).await.1, json!({ "num_quarantined": 2 }));
    for name in [&first, &copy] {
        assert_eq!(download(&server, name).await, StatusCode::NOT_FOUND);
    }
    assert_eq!(download(&server, &other).await, StatusCode::OK);
    let call = server.client.call(Method::POST, "/_matrix/media/v3/upload").token(ALICE);
    assert_eq!(call.body("bad").send().await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_purge_removes_what_was_selected_and_spares_the_quarantined() {
    let server = TestServer::start().await;
    let (mine, bad) = (upload(&server, ALICE, "mine").await, upload(&server, ALICE, "bad").await);
    let theirs = upload(&server, BOB, "theirs").await;
    post(&server, &format!("quarantine/{bad}")).await;
    let (status, body) = post(&server, "purge/user/@alice:example.org").await;
    let expected = json!({ "purged": true, "affected": [format!("mxc://{mine}")] });
    assert_eq!((status, body), (StatusCode::OK, expected));
    assert_eq!(download(&server, &mine).await, StatusCode::NOT_FOUND);
    assert_eq!(download(&server, &theirs).await, StatusCode::OK);
    assert_eq!(post(&server, "purge/remote?before_ts=99999999999999").await.1, json!({ "total_removed": 0 }));
    assert_eq!(post(&server, "purge/remote").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(post(&server, "purge/user/alice").await.0, StatusCode::BAD_REQUEST);
}

/// Server name and media ID, joined by a slash.
async fn upload(server: &TestServer, token: &str, body: &'static str) -> String {
    let call = server.client.call(Method::POST, "/_matrix/media/v3/upload").token(token);
    let json = call.body(body).send().await.json();
    json["content_uri"].as_str().and_then(|uri| uri.strip_prefix("mxc://")).expect("a name").to_owned()
}

async fn download(server: &TestServer, name: &str) -> StatusCode {
    server.client.get(&format!("/_matrix/client/v1/media/download/{name}"), ALICE).await.status
}

async fn post(server: &TestServer, path: &str) -> (StatusCode, serde_json::Value) {
    let reply = server.client.call(Method::POST, &format!("{BASE}/{path}")).token(ADMIN).send().await;
    (reply.status, reply.json())
}
