//! The promises of [`Federation`], kept over TLS.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{
    Method,
    header::{AUTHORIZATION, CONTENT_LENGTH},
    request::Parts,
};
use ruma::OwnedServerName;
use tokio::net::TcpListener;

use super::{
    super::XMatrix,
    origin::{Origin, Reply, Seen, stream_body},
    peer::{HERE, Peer, before, behind, key, published, status, with_type},
    world::{SERVER, World, name},
};
use crate::{
    clock::Clock as _,
    federation::{Federation, FetchRequest},
    testing::federation_suite::{Answer, FederationUnderTest, OriginMedia},
    types::{MediaId, Mxc},
};

mod over_http1 {
    crate::testing::federation_suite!(super::Net::new(&["http/1.1"]).await);
}

mod over_http2 {
    crate::testing::federation_suite!(super::Net::new(&["h2"]).await);
}

struct Net {
    peer: Peer,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    /// Accepts connections, as far as the operating system does so by itself.
    silent: TcpListener,
}

impl Net {
    /// An origin that media has come from before, so that the length of what it declares can be told.
    async fn new(protocols: &[&str]) -> Self {
        let (world, answers) = (World::new().await, Arc::<Mutex<HashMap<_, _>>>::default());
        let (served, clock) = (Arc::clone(&answers), world.clock.clone());
        let handler = move |seen: &Seen| {
            if seen.target == "/_matrix/key/v2/server" {
                return Reply::body(published(&seen.host, &key(), clock.now()));
            }
            let path = seen.target.split('?').next().unwrap();
            let id = path.strip_prefix("/_matrix/federation/v1/media/download/").unwrap();
            reply(&served.lock().unwrap()[id])
        };
        let origin = Origin::start_at("127.0.0.1:0", world.ca.issue(&[SERVER]), protocols, handler).await;
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let net = Self { peer: Peer::of(world, origin), answers, silent };
        let mxc = net.serve(OriginMedia::new(Bytes::from_static(b"x")).into()).await;
        let first = net.federation().fetch(FetchRequest { mxc, ..net.peer.request() }).await.unwrap();
        first.body.collect_up_to(1).await.unwrap();
        net
    }
}

#[async_trait]
impl FederationUnderTest for Net {
    fn federation(&self) -> &dyn Federation {
        &self.peer.federation
    }

    fn sign_as(&self) -> OwnedServerName {
        HERE.try_into().unwrap()
    }

    async fn serve(&self, answer: Answer) -> Mxc {
        let id = MediaId::generate();
        let port = match answer {
            Answer::Unreachable => 1,
            Answer::Silent => self.silent.local_addr().unwrap().port(),
            _ => self.peer.origin.port(),
        };
        self.answers.lock().unwrap().insert(id.as_str().to_owned(), answer);
        Mxc::new(format!("{SERVER}:{port}").try_into().unwrap(), id)
    }

    async fn signed_request(&self) -> Option<(Parts, OwnedServerName)> {
        let (origin, target) = (self.peer.name(), "/_matrix/federation/v1/media/download/abc?timeout_ms=1");
        let header = XMatrix::sign(&key(), &origin, name(HERE), &Method::GET, target).to_header();
        let request = http::Request::get(target).header(AUTHORIZATION, header).body(()).unwrap();
        Some((request.into_parts().0, origin))
    }
}

fn reply(answer: &Answer) -> Reply {
    match answer {
        Answer::Media(media) => send(media),
        Answer::NotFound => status(404, r#"{"errcode":"M_NOT_FOUND","error":"no"}"#),
        Answer::NotYetUploaded => status(504, r#"{"errcode":"M_NOT_YET_UPLOADED","error":"wait"}"#),
        Answer::Denied => status(403, r#"{"errcode":"M_FORBIDDEN","error":"no"}"#),
        Answer::Nonsense => Reply::body("<html>"),
        Answer::Unreachable | Answer::Silent => unreachable!("it is not asked"),
    }
}

fn send(media: &OriginMedia) -> Reply {
    let name = media.file_name.as_ref();
    let name = name.map(|name| format!("Content-Disposition: inline; filename=\"{}\"\r\n", name.as_str()));
    let headers = format!("Content-Type: {}\r\n{}", media.content_type.as_str(), name.unwrap_or_default());
    let (before, behind) = (before(&headers), behind());
    let around = (before.len() + behind.len()) as u64;
    let text = |text: String| stream::iter([Ok(Bytes::from(text))]);
    let body = text(before).chain(media.stream().map_err(io::Error::other)).chain(text(behind));
    let mut response = with_type(stream_body(body));
    if let Some(declared) = media.declared {
        response.headers_mut().insert(CONTENT_LENGTH, (declared + around).into());
    }
    Reply::Stream(response)
}
