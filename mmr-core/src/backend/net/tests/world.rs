//! A small Internet on this machine.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use ruma::ServerName;

use super::{
    super::{client::HttpClient, discovery::Destination, error::NetError, options::NetOptions},
    dns::NameServer,
    origin::{CertificateAuthority, Identity, Origin, Reply},
};
use crate::testing::ManualClock;

/// The server that is asked for, and whom it may delegate to.
pub(super) const SERVER: &str = "server.test";
pub(super) const DELEGATE: &str = "delegate.test";

/// Long enough for anything that does happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct World {
    pub(super) dns: NameServer,
    pub(super) ca: CertificateAuthority,
    pub(super) clock: ManualClock,
    /// Where all `.well-known` files are.
    pub(super) web: Origin,
    pages: Arc<Mutex<HashMap<String, Response<Full<Bytes>>>>>,
}

impl World {
    /// Both names lead to this machine, and there are no files.
    pub(super) async fn new() -> Self {
        let (dns, ca) = (NameServer::start().await, CertificateAuthority::new());
        let pages = Arc::<Mutex<HashMap<String, Response<Full<Bytes>>>>>::default();
        let served = Arc::clone(&pages);
        let web = Origin::start(ca.issue(&[SERVER, DELEGATE]), move |seen| {
            let host = seen.host.split(':').next().unwrap();
            let page = served.lock().unwrap().get(&format!("{host}{}", seen.target)).cloned();
            page.map_or_else(|| Reply::status(404), Reply::Answer)
        });
        let world = Self { dns, ca, clock: ManualClock::default(), web: web.await, pages };
        world.dns.address_of(SERVER, "127.0.0.1");
        world.dns.address_of(DELEGATE, "127.0.0.1");
        world
    }

    pub(super) fn options(&self) -> NetOptions {
        let mut options = NetOptions::loopback(self.dns.address(), self.ca.root());
        options.well_known_port = self.web.port();
        options.clock = Arc::new(self.clock.clone());
        options
    }

    pub(super) fn client(&self) -> HttpClient {
        HttpClient::new(self.options()).unwrap()
    }

    /// A client for which servers without a port are at that of `origin`.
    pub(super) fn client_with_default(&self, origin: &Origin) -> HttpClient {
        HttpClient::new(NetOptions { default_port: origin.port(), ..self.options() }).unwrap()
    }

    /// A server that can prove these names, and answers everything with `ok`.
    pub(super) async fn origin(&self, names: &[&str]) -> Origin {
        greeter(self.ca.issue(names)).await
    }

    pub(super) fn page(&self, host: &str, path: &str, response: Response<Full<Bytes>>) {
        self.pages.lock().unwrap().insert(format!("{host}{path}"), response);
    }

    pub(super) fn file(&self, host: &str, response: Response<Full<Bytes>>) {
        self.page(host, "/.well-known/matrix/server", response);
    }

    /// The server's file names `delegate`.
    pub(super) fn delegate_to(&self, delegate: &str) {
        self.file(SERVER, Response::new(format!(r#"{{"m.server": "{delegate}"}}"#).into()));
    }
}

pub(super) async fn greeter(identity: Identity) -> Origin {
    Origin::start(identity, |_| Reply::body("ok")).await
}

pub(super) fn name(name: &str) -> &ServerName {
    name.try_into().unwrap()
}

pub(super) async fn locate(client: &HttpClient, server: &str) -> Result<Destination, NetError> {
    client.locate(name(server)).await
}

pub(super) async fn ask(client: &HttpClient, server: &str) -> Result<Response<Incoming>, NetError> {
    client.get_from_server(name(server), "/_matrix/key/v2/server", HeaderMap::new(), PATIENCE).await
}

/// Asks and reads the answer to its end.
pub(super) async fn ask_for_text(client: &HttpClient, server: &str) -> Result<String, NetError> {
    let body = ask(client, server).await?.into_body().collect().await.unwrap().to_bytes();
    Ok(String::from_utf8(body.into()).unwrap())
}
