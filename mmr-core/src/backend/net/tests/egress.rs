//! What the egress policy closes stays closed, whichever way leads there.

use hickory_resolver::proto::rr::RecordType;
use http::{HeaderMap, Response, header::LOCATION};

use super::{
    super::{EgressPolicy, NetError, NetOptions, client::HttpClient},
    origin::{Origin, Reply},
    world::{PATIENCE, SERVER, World, ask, ask_for_text},
};

fn is_refused<T>(result: &Result<T, NetError>) -> bool {
    matches!(result, Err(NetError::Refused { .. }))
}

/// A client that may connect to `127.0.0.1` and the public Internet.
fn client(world: &World) -> HttpClient {
    let egress = EgressPolicy::new(vec!["127.0.0.1/32".parse().unwrap()]);
    HttpClient::new(NetOptions { egress, ..world.options() }).unwrap()
}

#[tokio::test]
async fn a_name_with_a_private_address_is_refused() {
    let world = World::new().await;
    world.dns.address_of("private.test", "10.0.0.1");
    let error = ask(&client(&world), "private.test:8448").await.unwrap_err();
    let message = "private.test may not be connected to: \
                   10.0.0.1 is neither globally reachable nor in egress.allowedNetworks";
    assert_eq!(error.to_string(), message);
}

#[tokio::test]
async fn one_private_address_among_several_refuses_the_name() {
    let world = World::new().await;
    let origin = world.origin(&["last.test", "first.test", "v6.test"]).await;
    for (name, addresses) in [
        ("last.test", ["127.0.0.1", "10.0.0.1"]),
        ("first.test", ["10.0.0.1", "127.0.0.1"]),
        ("v6.test", ["127.0.0.1", "fd00::1"]),
    ] {
        for address in addresses {
            world.dns.address_of(name, address);
        }
        let server = format!("{name}:{}", origin.port());
        assert!(is_refused(&ask(&client(&world), &server).await), "{name}");
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_private_ip_literal_is_refused() {
    let world = World::new().await;
    for server in ["10.0.0.1", "127.0.0.2:1", "[::1]", "[::ffff:10.0.0.1]:443"] {
        assert!(is_refused(&ask(&client(&world), server).await), "{server}");
    }
}

#[tokio::test]
async fn a_service_at_a_private_address_is_refused() {
    let world = World::new().await;
    world.dns.service("_matrix-fed._tcp.server.test", 0, 443, "private.test.");
    world.dns.address_of("private.test", "169.254.169.254");
    assert!(is_refused(&ask(&client(&world), SERVER).await));
}

#[tokio::test]
async fn a_delegate_at_a_private_address_is_refused() {
    let world = World::new().await;
    world.delegate_to("192.168.0.1:443");
    assert!(is_refused(&ask(&client(&world), SERVER).await));
}

#[tokio::test]
async fn a_url_at_a_private_address_is_refused() {
    let world = World::new().await;
    for url in
        ["http://10.0.0.1/", "https://[::1]/", "http://2130706434/", "http://0x7f.2/", "http://localhost:1/"]
    {
        let client =
            HttpClient::new(NetOptions { egress: EgressPolicy::default(), ..world.options() }).unwrap();
        let answer = client.get_url(&url.parse().unwrap(), HeaderMap::new(), PATIENCE).await;
        // The hosts file may not know the last one.
        assert!(matches!(answer, Err(NetError::Refused { .. } | NetError::NoSuchName { .. })), "{url}");
    }
}

#[tokio::test]
async fn a_redirect_is_left_to_the_caller() {
    let world = World::new().await;
    let origin = Origin::start(world.ca.issue(&[SERVER]), |_| {
        Reply::Answer(Response::builder().status(307).header(LOCATION, "/b").body("".into()).unwrap())
    })
    .await;
    let url = format!("https://{SERVER}:{}/a?b", origin.port()).parse().unwrap();
    let response = world.client().get_url(&url, HeaderMap::new(), PATIENCE).await.unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(origin.seen_once().target, "/a?b");
}

/// So that there is no second answer for the connection to go to.
#[tokio::test]
async fn a_name_is_looked_up_once_per_connection() {
    let world = World::new().await;
    let origin = world.origin(&[SERVER]).await;
    ask_for_text(&world.client(), &format!("{SERVER}:{}", origin.port())).await.unwrap();
    assert_eq!(world.dns.times_asked(SERVER, RecordType::A), 1);
}

#[tokio::test]
async fn an_address_that_does_not_answer_gives_way_to_the_next() {
    let world = World::new().await;
    let origin = world.origin(&["several.test"]).await;
    for address in ["127.0.0.3", "127.0.0.2", "127.0.0.1"] {
        world.dns.address_of("several.test", address);
    }
    let server = format!("several.test:{}", origin.port());
    assert_eq!(ask_for_text(&world.client(), &server).await.unwrap(), "ok");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_told_as_such() {
    let world = World::new().await;
    let error = ask(&world.client(), &format!("{SERVER}:1")).await.unwrap_err();
    assert!(matches!(error, NetError::Connect { port: 1, .. }), "{error:?}");
}
