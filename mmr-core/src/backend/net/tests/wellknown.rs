//! `.well-known` files: what counts as one, and how long it does.

use std::time::Duration;

use http::{HeaderMap, Response, header::LOCATION};

use super::{
    super::{EgressPolicy, NetOptions, Step, client::HttpClient},
    origin::{CertificateAuthority, Origin, Reply},
    world::{DELEGATE, PATIENCE, SERVER, World, greeter, locate, name},
};

const MINUTE: Duration = Duration::from_mins(1);

fn redirect(to: &str) -> Response<http_body_util::Full<bytes::Bytes>> {
    Response::builder().status(302).header(LOCATION, to).body("".into()).unwrap()
}

/// Whom the server's file names, as far as the client sees.
async fn delegate(client: &HttpClient) -> Option<String> {
    locate(client, SERVER).await.unwrap().delegate.map(|delegate| delegate.to_string())
}

#[tokio::test]
async fn a_file_is_json_whatever_its_type() {
    let world = World::new().await;
    let body = r#"{"m.server": "delegate.test"}"#.into();
    world.file(SERVER, Response::builder().header("content-type", "image/png").body(body).unwrap());
    assert_eq!(delegate(&world.client()).await.as_deref(), Some(DELEGATE));
}

#[tokio::test]
async fn a_file_that_is_not_json_counts_as_none() {
    let world = World::new().await;
    world.file(SERVER, Response::new("<html>delegate.test</html>".into()));
    let found = locate(&world.client(), SERVER).await.unwrap();
    assert_eq!((found.delegate, found.step), (None, Step::DefaultPort));
}

#[tokio::test]
async fn a_file_with_another_status_counts_as_none() {
    let world = World::new().await;
    let body = r#"{"m.server": "delegate.test"}"#.into();
    world.file(SERVER, Response::builder().status(201).body(body).unwrap());
    assert_eq!(delegate(&world.client()).await, None);
}

#[tokio::test]
async fn a_file_that_is_too_long_counts_as_none() {
    let world = World::new().await;
    let padding = " ".repeat(50 * 1024);
    world.file(SERVER, Response::new(format!(r#"{{"m.server": "delegate.test"{padding}}}"#).into()));
    assert_eq!(delegate(&world.client()).await, None);
}

#[tokio::test]
async fn a_file_behind_an_untrusted_certificate_counts_as_none() {
    let world = World::new().await;
    let web = Origin::start(CertificateAuthority::new().issue(&[SERVER]), |_| {
        Reply::body(r#"{"m.server": "delegate.test"}"#)
    })
    .await;
    let client = HttpClient::new(NetOptions { well_known_port: web.port(), ..world.options() }).unwrap();
    assert_eq!(delegate(&client).await, None);
    assert_eq!(web.connections(), 1);
}

#[tokio::test]
async fn redirects_are_followed() {
    let world = World::new().await;
    world.file(SERVER, redirect(&format!("https://{DELEGATE}:{}/one", world.web.port())));
    for (from, to) in [("/one", "/two"), ("/two", "/three"), ("/three", "/four"), ("/four", "/five")] {
        world.page(DELEGATE, from, redirect(to));
    }
    world.page(DELEGATE, "/five", Response::new(r#"{"m.server": "delegate.test"}"#.into()));
    assert_eq!(delegate(&world.client()).await.as_deref(), Some(DELEGATE));
}

#[tokio::test]
async fn too_many_redirects_count_as_none() {
    let world = World::new().await;
    world.file(SERVER, redirect("/0"));
    for index in 0..20 {
        world.page(SERVER, &format!("/{index}"), redirect(&format!("/{}", index + 1)));
    }
    assert_eq!(delegate(&world.client()).await, None);
    assert_eq!(world.web.seen().len(), 6);
}

#[tokio::test]
async fn a_redirect_in_circles_ends() {
    let world = World::new().await;
    world.file(SERVER, redirect("/a"));
    world.page(SERVER, "/a", redirect("/.well-known/matrix/server"));
    assert_eq!(delegate(&world.client()).await, None);
    assert_eq!(world.web.seen().len(), 2);
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_not_followed() {
    let world = World::new().await;
    let private = Origin::start_at("127.0.0.2:0", world.ca.issue(&["127.0.0.2"]), &["h2"], |_| {
        Reply::body(r#"{"m.server": "delegate.test"}"#)
    })
    .await;
    world.file(SERVER, redirect(&format!("https://127.0.0.2:{}/", private.port())));
    let egress = EgressPolicy::new(vec!["127.0.0.1/32".parse().unwrap()]);
    let client = HttpClient::new(NetOptions { egress, ..world.options() }).unwrap();
    assert_eq!(delegate(&client).await, None);
    assert_eq!(private.connections(), 0);
}

#[tokio::test]
async fn a_file_is_asked_for_once_however_many_need_it() {
    let world = World::new().await;
    world.delegate_to(DELEGATE);
    let client = world.client();
    let found = futures_util::future::join_all((0..16).map(|_| delegate(&client))).await;
    assert!(found.iter().all(|found| found.as_deref() == Some(DELEGATE)), "{found:?}");
    assert_eq!(world.web.seen().len(), 1);
}

#[tokio::test]
async fn a_file_is_asked_for_again_when_it_has_expired() {
    let world = World::new().await;
    let body = r#"{"m.server": "delegate.test"}"#.into();
    world.file(SERVER, Response::builder().header("cache-control", "max-age=600").body(body).unwrap());
    let client = world.client();
    assert_eq!(delegate(&client).await.as_deref(), Some(DELEGATE));
    world.delegate_to("other.test");
    world.clock.advance(9 * MINUTE);
    assert_eq!(delegate(&client).await.as_deref(), Some(DELEGATE));
    world.clock.advance(MINUTE);
    assert_eq!(delegate(&client).await.as_deref(), Some("other.test"));
}

#[tokio::test]
async fn a_missing_file_is_not_asked_for_all_the_time() {
    let world = World::new().await;
    let client = world.client();
    assert_eq!(delegate(&client).await, None);
    world.delegate_to(DELEGATE);
    assert_eq!(delegate(&client).await, None);
    world.clock.advance(MINUTE);
    assert_eq!(delegate(&client).await.as_deref(), Some(DELEGATE));
}

#[tokio::test]
async fn an_outage_of_a_server_that_was_fine_is_forgotten_soon() {
    let world = World::new().await;
    world.delegate_to(DELEGATE);
    let client = world.client();
    assert_eq!(delegate(&client).await.as_deref(), Some(DELEGATE));
    world.clock.advance(24 * 60 * MINUTE);
    world.file(SERVER, Response::builder().status(502).body("".into()).unwrap());
    for _ in 0..8 {
        assert_eq!(delegate(&client).await, None);
        world.clock.advance(2 * MINUTE);
    }
    world.delegate_to(DELEGATE);
    assert_eq!(delegate(&client).await.as_deref(), Some(DELEGATE));
}

/// Otherwise a host that swallows packets would be waited for again and again, and step 4 never reached.
#[tokio::test]
async fn the_impatient_do_not_stop_a_lookup() {
    let world = World::new().await;
    let web = Origin::start(world.ca.issue(&[SERVER]), |_| Reply::Silence).await;
    let origin = greeter(world.ca.issue(&[SERVER])).await;
    let client = HttpClient::new(NetOptions {
        well_known_port: web.port(),
        default_port: origin.port(),
        well_known_timeout: Duration::from_millis(300),
        ..world.options()
    })
    .unwrap();
    let ask = |timeout| client.get_from_server(name(SERVER), "/", HeaderMap::new(), timeout);
    ask(Duration::from_millis(1)).await.unwrap_err();
    assert!(ask(PATIENCE).await.unwrap().status().is_success());
    assert!(web.seen().len() <= 1);
}
