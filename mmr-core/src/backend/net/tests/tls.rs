//! Who can prove to be whom.

use super::{
    super::{NetError, client::HttpClient},
    origin::{CertificateAuthority, Identity},
    world::{SERVER, World, ask, greeter},
};

async fn is_refused(world: &World, identity: Identity) -> bool {
    let origin = greeter(identity).await;
    let server = format!("{SERVER}:{}", origin.port());
    let result = ask(&world.client(), &server).await;
    assert_eq!(origin.connections(), 1);
    assert!(origin.seen().is_empty());
    matches!(result, Err(NetError::Tls { ref name, .. }) if name == SERVER)
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let world = World::new().await;
    assert!(is_refused(&world, world.ca.issue_until(&[SERVER], 2020)).await);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let world = World::new().await;
    assert!(is_refused(&world, world.ca.issue(&["other.test", "127.0.0.1"])).await);
}

#[tokio::test]
async fn a_certificate_by_an_unknown_authority_is_refused() {
    let world = World::new().await;
    assert!(is_refused(&world, CertificateAuthority::new().issue(&[SERVER])).await);
}

#[tokio::test]
async fn a_certificate_for_the_target_of_a_service_record_is_refused() {
    let world = World::new().await;
    let origin = world.origin(&["target.test"]).await;
    world.dns.service("_matrix-fed._tcp.server.test", 0, origin.port(), "target.test.");
    world.dns.address_of("target.test", "127.0.0.1");
    let error = ask(&world.client(), SERVER).await.unwrap_err();
    assert!(matches!(error, NetError::Tls { ref name, .. } if name == SERVER), "{error:?}");
}

#[tokio::test]
async fn a_certificate_for_a_name_does_not_prove_an_address() {
    let world = World::new().await;
    let origin = world.origin(&[SERVER]).await;
    let error = ask(&world.client(), &format!("127.0.0.1:{}", origin.port())).await.unwrap_err();
    assert!(matches!(error, NetError::Tls { ref name, .. } if name == "127.0.0.1"), "{error:?}");
}

#[tokio::test]
async fn a_root_that_is_none_is_told_at_once() {
    let world = World::new().await;
    let mut options = world.options();
    options.extra_roots.push(b"no certificate".to_vec().into());
    assert!(matches!(HttpClient::new(options), Err(NetError::Setup { .. })));
}
