//! Connections that serve more than once.

use std::time::Duration;

use http::{HeaderMap, Version};

use super::{
    super::{NetError, NetOptions, client::HttpClient},
    origin::{Origin, Reply, Seen},
    world::{SERVER, World, ask, ask_for_text, name},
};

/// Breaks the second request on every connection.
fn one_answer_per_connection() -> impl Fn(&Seen) -> Reply + Send + Sync {
    let last = std::sync::Mutex::new(None);
    move |seen| {
        let before = last.lock().unwrap().replace(seen.connection);
        if before == Some(seen.connection) { Reply::Break } else { Reply::body("ok") }
    }
}

fn server(origin: &Origin) -> String {
    format!("{SERVER}:{}", origin.port())
}

fn connections(origin: &Origin) -> Vec<usize> {
    origin.seen().iter().map(|seen| seen.connection).collect()
}

/// Asks, and waits until the connection can be used again.
async fn ask_and_rest(client: &HttpClient, origin: &Origin) {
    assert_eq!(ask_for_text(client, &server(origin)).await.unwrap(), "ok");
    while client.idle_connections() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn http_2_serves_everybody_over_one_connection() {
    let world = World::new().await;
    let origin = world.origin(&[SERVER]).await;
    let (client, server) = (world.client(), server(&origin));
    let all = (0..16).map(|_| ask_for_text(&client, &server));
    assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
    assert_eq!(connections(&origin), [0; 16]);
    assert_eq!(origin.seen()[0].version, Version::HTTP_2);
}

#[tokio::test]
async fn http_1_serves_one_after_the_other_over_one_connection() {
    let world = World::new().await;
    let origin = Origin::start_http1(world.ca.issue(&[SERVER]), |_| Reply::body("ok")).await;
    let client = world.client();
    for _ in 0..3 {
        ask_and_rest(&client, &origin).await;
    }
    assert_eq!(connections(&origin), [0; 3]);
    assert_eq!(origin.seen()[0].version, Version::HTTP_11);
}

#[tokio::test]
async fn http_1_opens_a_connection_for_each_of_those_who_ask_at_once() {
    let world = World::new().await;
    let origin = Origin::start_http1(world.ca.issue(&[SERVER]), |_| Reply::body("ok")).await;
    let (client, server) = (world.client(), server(&origin));
    let held = ask(&client, &server).await.unwrap();
    let other = ask(&client, &server).await.unwrap();
    assert!(held.status().is_success() && other.status().is_success());
    assert_eq!(connections(&origin), [0, 1]);
}

#[tokio::test]
async fn a_dead_http_1_connection_is_replaced() {
    let world = World::new().await;
    let origin = Origin::start_http1(world.ca.issue(&[SERVER]), one_answer_per_connection()).await;
    let client = world.client();
    ask_and_rest(&client, &origin).await;
    assert_eq!(ask_for_text(&client, &server(&origin)).await.unwrap(), "ok");
    assert_eq!(connections(&origin), [0, 0, 1]);
}

#[tokio::test]
async fn a_dead_http_2_connection_is_replaced() {
    let world = World::new().await;
    let origin = Origin::start(world.ca.issue(&[SERVER]), one_answer_per_connection()).await;
    let client = world.client();
    ask_and_rest(&client, &origin).await;
    assert_eq!(ask_for_text(&client, &server(&origin)).await.unwrap(), "ok");
    assert_eq!(connections(&origin), [0, 0, 1]);
}

#[tokio::test]
async fn a_new_connection_that_breaks_is_an_error() {
    let world = World::new().await;
    let origin = Origin::start_http1(world.ca.issue(&[SERVER]), |_| Reply::Break).await;
    let error = ask(&world.client(), &server(&origin)).await.unwrap_err();
    assert!(matches!(error, NetError::Http { ref host, .. } if host == SERVER), "{error:?}");
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn when_one_connection_fails_those_who_waited_for_it_hear_the_reason() {
    let world = World::new().await;
    let origin = world.origin(&["other.test"]).await;
    let (client, server) = (world.client(), server(&origin));
    let all = futures_util::future::join_all((0..4).map(|_| ask(&client, &server))).await;
    assert!(all.iter().all(|result| matches!(result, Err(NetError::Tls { .. }))), "{all:?}");
}

#[tokio::test]
async fn a_connection_is_not_used_beyond_its_time() {
    let world = World::new().await;
    let origin = world.origin(&[SERVER]).await;
    let client = HttpClient::new(NetOptions { idle_timeout: Duration::ZERO, ..world.options() }).unwrap();
    for _ in 0..2 {
        ask_for_text(&client, &server(&origin)).await.unwrap();
    }
    assert_eq!(connections(&origin), [0, 1]);
}

#[tokio::test]
async fn an_unused_connection_is_closed_in_time() {
    let world = World::new().await;
    let origin = world.origin(&[SERVER]).await;
    let idle_timeout = Duration::from_millis(20);
    let client = HttpClient::new(NetOptions { idle_timeout, ..world.options() }).unwrap();
    ask_for_text(&client, &server(&origin)).await.unwrap();
    while client.idle_connections() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn different_names_do_not_share_a_connection() {
    let world = World::new().await;
    let origin = world.origin(&[SERVER, "other.test"]).await;
    world.dns.address_of("other.test", "127.0.0.1");
    let client = world.client();
    ask_for_text(&client, &server(&origin)).await.unwrap();
    ask_for_text(&client, &format!("other.test:{}", origin.port())).await.unwrap();
    assert_eq!(connections(&origin), [0, 1]);
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for_longer_than_asked() {
    let world = World::new().await;
    let origin = Origin::start(world.ca.issue(&[SERVER]), |_| Reply::Silence).await;
    let (limit, server) = (Duration::from_millis(100), server(&origin));
    let error =
        world.client().get_from_server(name(&server), "/", HeaderMap::new(), limit).await.unwrap_err();
    assert!(matches!(error, NetError::Timeout { limit: told, .. } if told == limit), "{error:?}");
}
