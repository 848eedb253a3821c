//! An HTTPS server that remembers how it was spoken to.

use std::{
    convert::Infallible,
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use http::{HeaderMap, Request, Response, Version, header::HOST};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// Issues certificates.
pub(super) struct CertificateAuthority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(super) struct Identity(CertificateDer<'static>, PrivateKeyDer<'static>);

impl CertificateAuthority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(super) fn issue(&self, names: &[&str]) -> Identity {
        self.issue_until(names, 4000)
    }

    /// A certificate that is valid until the beginning of a year.
    pub(super) fn issue_until(&self, names: &[&str], year: i32) -> Identity {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity(certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }
}

/// One request, and the connection that it came over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Counts connections from 0.
    pub(super) connection: usize,
    pub(super) sni: Option<String>,
    pub(super) version: Version,
    /// The Host header, or what HTTP/2 has instead.
    pub(super) host: String,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
}

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

pub(super) enum Reply {
    Answer(Response<Full<Bytes>>),
    /// An answer that comes bit by bit.
    Stream(Response<Body>),
    /// Ends the connection or the stream without an answer.
    Break,
    Silence,
}

impl Reply {
    pub(super) fn status(status: u16) -> Self {
        Self::Answer(Response::builder().status(status).body(Full::default()).unwrap())
    }

    pub(super) fn body(body: impl Into<Bytes>) -> Self {
        Self::Answer(Response::new(Full::new(body.into())))
    }
}

pub(super) fn stream_body(chunks: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static) -> Body {
    StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync()
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// Listens on this machine until it is dropped.
pub(super) struct Origin {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Origin {
    /// A server on 127.0.0.1 that speaks both versions of HTTP.
    pub(super) async fn start(
        identity: Identity,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_at("127.0.0.1:0", identity, &["h2", "http/1.1"], handler).await
    }

    /// A server on 127.0.0.1 that speaks HTTP/1.1 only.
    pub(super) async fn start_http1(
        identity: Identity,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_at("127.0.0.1:0", identity, &["http/1.1"], handler).await
    }

    pub(super) async fn start_at(
        address: &str,
        identity: Identity,
        protocols: &[&str],
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let (listener, acceptor) = listen(address, identity, protocols).await;
        let (seen, connections) = (Arc::default(), Arc::default());
        let mut task = JoinSet::new();
        let address = listener.local_addr().unwrap();
        task.spawn(serve(listener, acceptor, Arc::new(handler), Arc::clone(&seen), Arc::clone(&connections)));
        Self { address, seen, connections, _task: task }
    }

    /// A server on 127.0.0.1 that answers every request with these bytes, and closes the connection without a break of
    /// the protocol.
    pub(super) async fn start_raw(identity: Identity, answer: impl Into<Bytes>) -> Self {
        let (listener, acceptor) = listen("127.0.0.1:0", identity, &["http/1.1"]).await;
        let (address, answer) = (listener.local_addr().unwrap(), answer.into());
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(&answer).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        Self { address, seen: Arc::default(), connections: Arc::default(), _task: task }
    }

    pub(super) const fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request so far.
    pub(super) fn seen_once(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }

    /// How many TCP connections there were, whatever became of them.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn listen(
    address: &str,
    Identity(certificate, key): Identity,
    protocols: &[&str],
) -> (TcpListener, TlsAcceptor) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    tls.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    (TcpListener::bind(address).await.unwrap(), TlsAcceptor::from(Arc::new(tls)))
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handler: Arc<Handler>,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
) {
    let mut tasks = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let connection = connections.fetch_add(1, Ordering::SeqCst);
        let (acceptor, handler, seen) = (acceptor.clone(), Arc::clone(&handler), Arc::clone(&seen));
        tasks.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let sni = stream.get_ref().1.server_name().map(ToOwned::to_owned);
            let service = service_fn(|request| {
                let request = look_at(&request, connection, sni.clone());
                seen.lock().unwrap().push(request.clone());
                answer(handler(&request))
            });
            let server = auto::Builder::new(TokioExecutor::new());
            server.serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

fn look_at(request: &Request<Incoming>, connection: usize, sni: Option<String>) -> Seen {
    let header = request.headers().get(HOST).map(|host| host.to_str().unwrap().to_owned());
    let authority = request.uri().authority().map(ToString::to_string);
    Seen {
        connection,
        sni,
        version: request.version(),
        host: header.or(authority).unwrap(),
        target: request.uri().path_and_query().unwrap().to_string(),
        headers: request.headers().clone(),
    }
}

async fn answer(reply: Reply) -> Result<Response<Body>, io::Error> {
    match reply {
        Reply::Answer(response) => {
            Ok(response.map(|body| body.map_err(|never| match never {}).boxed_unsync()))
        }
        Reply::Stream(response) => Ok(response),
        Reply::Break => Err(io::Error::other("as the test wants it")),
        Reply::Silence => Ok(pending::<Result<_, Infallible>>().await.unwrap()),
    }
}
