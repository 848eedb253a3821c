//! The table of the specification, row by row: where we connect, what the Host header says, whom we want proof of.

use hickory_resolver::proto::rr::RecordType;

use super::{
    super::{Destination, NetError, NetOptions, Step, Target, client::HttpClient},
    origin::Origin,
    world::{DELEGATE, SERVER, World, ask, ask_for_text, locate, name},
};

const FED: &str = "_matrix-fed._tcp.server.test";
const DEPRECATED: &str = "_matrix._tcp.server.test";
const DELEGATE_FED: &str = "_matrix-fed._tcp.delegate.test";
const DELEGATE_DEPRECATED: &str = "_matrix._tcp.delegate.test";

/// Asks `server` and tells the Host header and SNI that arrive at `origin`.
async fn arrives(client: &HttpClient, server: &str, origin: &Origin) -> (String, Option<String>) {
    assert_eq!(ask_for_text(client, server).await.unwrap(), "ok");
    let seen = origin.seen_once();
    assert_eq!(seen.target, "/_matrix/key/v2/server");
    (seen.host, seen.sni)
}

fn named(host: impl Into<String>, sni: &str) -> (String, Option<String>) {
    (host.into(), Some(sni.to_owned()))
}

#[tokio::test]
async fn step_1_an_ip_literal_with_a_port() {
    let world = World::new().await;
    let origin = world.origin(&["127.0.0.1"]).await;
    let server = format!("127.0.0.1:{}", origin.port());
    assert_eq!(arrives(&world.client(), &server, &origin).await, (server, None));
}

#[tokio::test]
async fn step_1_an_ip_literal_without_a_port() {
    let world = World::new().await;
    let origin = world.origin(&["127.0.0.1"]).await;
    let client = world.client_with_default(&origin);
    assert_eq!(arrives(&client, "127.0.0.1", &origin).await, ("127.0.0.1".to_owned(), None));
}

#[tokio::test]
async fn step_1_an_ipv6_literal() {
    let world = World::new().await;
    let found = locate(&world.client(), "[2001:db8::1]").await.unwrap();
    assert_eq!(found.targets, [Target { host: "[2001:db8::1]".to_owned(), port: 8448 }]);
    assert_eq!((&*found.host, &*found.tls_name), ("[2001:db8::1]", "[2001:db8::1]"));
    assert_eq!(found.step, Step::IpLiteral);
}

#[tokio::test]
async fn step_2_a_name_with_a_port() {
    let world = World::new().await;
    world.delegate_to(DELEGATE);
    let origin = world.origin(&[SERVER]).await;
    let server = format!("{SERVER}:{}", origin.port());
    assert_eq!(arrives(&world.client(), &server, &origin).await, named(server, SERVER));
    assert_eq!(world.web.connections(), 0, "no file is asked for");
}

#[tokio::test]
async fn step_3_1_a_delegate_that_is_an_ip_literal() {
    let world = World::new().await;
    let origin = world.origin(&["127.0.0.1"]).await;
    world.delegate_to("127.0.0.1");
    let client = world.client_with_default(&origin);
    assert_eq!(arrives(&client, SERVER, &origin).await, ("127.0.0.1".to_owned(), None));
}

#[tokio::test]
async fn step_3_2_a_delegate_with_a_port() {
    let world = World::new().await;
    let origin = world.origin(&[DELEGATE]).await;
    let delegate = format!("{DELEGATE}:{}", origin.port());
    world.delegate_to(&delegate);
    assert_eq!(arrives(&world.client(), SERVER, &origin).await, named(delegate, DELEGATE));
}

#[tokio::test]
async fn step_3_3_a_delegate_with_a_service_record() {
    let world = World::new().await;
    let origin = world.origin(&[DELEGATE]).await;
    world.delegate_to(DELEGATE);
    world.dns.service(DELEGATE_FED, 0, origin.port(), "target.test.");
    world.dns.address_of("target.test", "127.0.0.1");
    assert_eq!(arrives(&world.client(), SERVER, &origin).await, named(DELEGATE, DELEGATE));
}

#[tokio::test]
async fn step_3_4_a_delegate_with_a_deprecated_service_record() {
    let world = World::new().await;
    let origin = world.origin(&[DELEGATE]).await;
    world.delegate_to(DELEGATE);
    world.dns.service(DELEGATE_DEPRECATED, 0, origin.port(), "target.test.");
    world.dns.address_of("target.test", "127.0.0.1");
    assert_eq!(arrives(&world.client(), SERVER, &origin).await, named(DELEGATE, DELEGATE));
}

#[tokio::test]
async fn step_3_5_a_delegate_and_nothing_else() {
    let world = World::new().await;
    let origin = world.origin(&[DELEGATE]).await;
    world.delegate_to(DELEGATE);
    let client = world.client_with_default(&origin);
    assert_eq!(arrives(&client, SERVER, &origin).await, named(DELEGATE, DELEGATE));
}

#[tokio::test]
async fn step_4_a_service_record() {
    let world = World::new().await;
    let origin = world.origin(&[SERVER]).await;
    world.dns.service(FED, 0, origin.port(), "target.test.");
    world.dns.address_of("target.test", "127.0.0.1");
    assert_eq!(arrives(&world.client(), SERVER, &origin).await, named(SERVER, SERVER));
}

#[tokio::test]
async fn an_alias_as_the_target_of_a_service_record_is_followed() {
    let world = World::new().await;
    let origin = world.origin(&[SERVER]).await;
    world.dns.service(FED, 0, origin.port(), "alias.test.");
    world.dns.alias("alias.test", "target.test.");
    world.dns.address_of("target.test", "127.0.0.1");
    assert_eq!(arrives(&world.client(), SERVER, &origin).await, named(SERVER, SERVER));
}

#[tokio::test]
async fn step_5_a_deprecated_service_record() {
    let world = World::new().await;
    let origin = world.origin(&[SERVER]).await;
    world.dns.service(DEPRECATED, 0, origin.port(), "target.test.");
    world.dns.address_of("target.test", "127.0.0.1");
    assert_eq!(arrives(&world.client(), SERVER, &origin).await, named(SERVER, SERVER));
}

#[tokio::test]
async fn step_6_a_name_and_nothing_else() {
    let world = World::new().await;
    let origin = world.origin(&[SERVER]).await;
    let client = world.client_with_default(&origin);
    assert_eq!(arrives(&client, SERVER, &origin).await, named(SERVER, SERVER));
}

#[tokio::test]
async fn a_destination_tells_how_it_was_found() {
    let world = World::new().await;
    world.delegate_to(DELEGATE);
    world.dns.service(DELEGATE_FED, 0, 4711, "target.test.");
    let found = locate(&world.client(), SERVER).await.unwrap();
    let expected = Destination {
        targets: vec![Target { host: "target.test".to_owned(), port: 4711 }],
        host: DELEGATE.to_owned(),
        tls_name: DELEGATE.to_owned(),
        delegate: Some(name(DELEGATE).to_owned()),
        step: Step::Service,
    };
    assert_eq!(found, expected);
}

#[tokio::test]
async fn delegation_ends_after_one_hop() {
    let world = World::new().await;
    world.delegate_to(DELEGATE);
    world.file(DELEGATE, http::Response::new(r#"{"m.server": "third.test"}"#.into()));
    assert_eq!(locate(&world.client(), SERVER).await.unwrap().host, DELEGATE);
}

#[tokio::test]
async fn configuration_beats_everything() {
    let world = World::new().await;
    let origin = world.origin(&[SERVER]).await;
    world.delegate_to(DELEGATE);
    let mut options = world.options();
    options.domains.insert(name(SERVER).to_owned(), format!("127.0.0.1:{}", origin.port()));
    let client = HttpClient::new(options).unwrap();
    assert_eq!(arrives(&client, SERVER, &origin).await, named(SERVER, SERVER));
    assert_eq!(world.web.connections(), 0, "no file is asked for");
}

#[tokio::test]
async fn a_configured_place_that_is_none_is_told_at_once() {
    let domains = [(name(SERVER).to_owned(), "https://a.example".to_owned())].into();
    let error = HttpClient::new(NetOptions { domains, ..NetOptions::default() }).unwrap_err();
    assert!(error.to_string().starts_with("federation.domains"), "{error}");
}

#[tokio::test]
async fn a_deprecated_record_is_not_looked_at_beside_a_current_one() {
    let world = World::new().await;
    let origin = world.origin(&[SERVER]).await;
    world.dns.service(FED, 0, 1, "gone.test.");
    world.dns.service(DEPRECATED, 0, origin.port(), SERVER);
    let error = ask(&world.client(), SERVER).await.unwrap_err();
    assert!(matches!(error, NetError::NoSuchName { ref name } if name == "gone.test"), "{error:?}");
    assert_eq!(world.dns.times_asked(DEPRECATED, RecordType::SRV), 0);
}

#[tokio::test]
async fn targets_are_tried_in_the_order_of_their_priorities() {
    let world = World::new().await;
    let origin = world.origin(&[SERVER]).await;
    let second = world.origin(&[SERVER]).await;
    world.dns.service(FED, 30, second.port(), SERVER);
    world.dns.service(FED, 20, origin.port(), SERVER);
    world.dns.service(FED, 10, 1, "gone.test.");
    assert_eq!(arrives(&world.client(), SERVER, &origin).await, named(SERVER, SERVER));
    assert_eq!(second.connections(), 0);
}

#[tokio::test]
async fn a_server_can_say_that_it_does_not_federate() {
    let world = World::new().await;
    world.dns.service(FED, 0, 0, ".");
    let error = ask(&world.client(), SERVER).await.unwrap_err();
    assert!(matches!(error, NetError::Disabled { ref name } if name == SERVER), "{error:?}");
}

#[tokio::test]
async fn a_name_server_that_fails_is_no_missing_record() {
    let world = World::new().await;
    world.dns.break_name(FED, RecordType::SRV);
    let error = locate(&world.client(), SERVER).await.unwrap_err();
    assert!(matches!(error, NetError::Dns { ref name, .. } if name == FED), "{error:?}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told_from_dns_that_fails() {
    let world = World::new().await;
    let missing = ask(&world.client(), "missing.test:1").await.unwrap_err();
    assert!(matches!(missing, NetError::NoSuchName { .. }), "{missing:?}");
    world.dns.break_name("broken.test", RecordType::A);
    let broken = ask(&world.client(), "broken.test:1").await.unwrap_err();
    assert!(matches!(broken, NetError::Dns { .. }), "{broken:?}");
}
