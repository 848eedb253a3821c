//! An S3 server in-process: s3s-fs, which checks signatures, expiry and the length of parts, and what it lacks for our
//! tests. It can be told to misbehave, and tells what it was asked.

#![expect(clippy::disallowed_methods, reason = "a server of its own, with its own tasks and clock")]

use std::{
    convert::Infallible,
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use mmr_core::backend::s3::{S3Options, Secret};
use rcgen::CertifiedKey;
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, ServerConfig, pki_types::PrivateKeyDer},
};

mod backend;

use self::backend::{Backend, Uploads};

/// The only access key.
pub const ACCESS_KEY_ID: &str = "AKMMRTEST";
/// Its secret.
pub const SECRET_ACCESS_KEY: &str = "mmr-test-secret-key";
/// The region.
pub const REGION: &str = "us-east-1";

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, BoxError>;
/// Lets a request in, and makes it one of S3's, or refuses it with a status and a code. The path is that of all buckets.
pub(crate) type Guard = fn(&Path, &mut Parts) -> Result<(), (u16, &'static str)>;
type Script = Box<dyn FnMut(&Parts) -> Option<Fault> + Send>;

/// What the server does instead of what it was asked.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Refuses with a status and a code.
    Refuse(u16, &'static str),
    /// Answers 200 with these bytes.
    Serve(Vec<u8>),
    /// Breaks the connection after so many bytes of the answer's body.
    CutAfter(usize),
    /// Falls silent after so many bytes of the answer's body.
    StallAfter(usize),
    /// Never answers.
    Hang,
    /// Does as it was asked, but breaks the connection rather than say so.
    LoseAnswer,
}

/// A server on a port of its own. Stops when it is dropped.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    root: PathBuf,
    /// Vanishes with the server.
    scratch: Option<TempDir>,
    shared: Arc<Shared>,
    /// PEM of the authority that vouches for the server, if it speaks TLS.
    ca: Option<String>,
    accepting: JoinHandle<()>,
}

struct Shared {
    service: S3Service,
    /// In place of S3's signatures.
    guard: Option<Guard>,
    root: PathBuf,
    uploads: Uploads,
    script: Mutex<Option<Script>>,
    requests: Mutex<Vec<Parts>>,
    buckets: AtomicU64,
}

impl S3Server {
    /// Starts a server in a directory of its own.
    pub async fn start() -> Self {
        Self::start_in_scratch(None, None).await
    }

    /// Starts a server that speaks TLS, in a directory of its own.
    pub async fn start_tls() -> Self {
        Self::start_in_scratch(Some(certify()), None).await
    }

    /// Starts a server that somebody else decides for whom to let in.
    pub(crate) async fn start_guarded(guard: Guard) -> Self {
        Self::start_in_scratch(None, Some(guard)).await
    }

    async fn start_in_scratch(tls: Option<(TlsAcceptor, String)>, guard: Option<Guard>) -> Self {
        let scratch = TempDir::new().expect("a directory can be made");
        let listen = ([127, 0, 0, 1], 0).into();
        let server = Self::start_with(scratch.path().to_path_buf(), listen, tls, guard).await;
        let mut server = server.expect("a server starts");
        server.scratch = Some(scratch);
        server
    }

    /// Starts a server whose buckets are the directories in `root`.
    pub async fn start_at(root: PathBuf, listen: SocketAddr) -> io::Result<Self> {
        Self::start_with(root, listen, None, None).await
    }

    async fn start_with(
        root: PathBuf,
        listen: SocketAddr,
        tls: Option<(TlsAcceptor, String)>,
        guard: Option<Guard>,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(&root)?;
        let fs = FileSystem::new(&root).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let uploads = Uploads::default();
        let mut builder = S3ServiceBuilder::new(Backend::new(fs, root.clone(), Arc::clone(&uploads)));
        if guard.is_none() {
            builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        }
        let shared = Arc::new(Shared {
            service: builder.build(),
            guard,
            root: root.clone(),
            uploads,
            script: Mutex::default(),
            requests: Mutex::default(),
            buckets: AtomicU64::new(0),
        });
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let (tls, ca) = tls.unzip();
        let accepting = tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        Ok(Self { address, root, scratch: None, shared, ca, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a bucket.
    #[must_use]
    pub fn bucket(&self) -> String {
        let name = format!("bucket-{}", self.shared.buckets.fetch_add(1, Ordering::Relaxed));
        std::fs::create_dir(self.root.join(&name)).expect("a directory can be made");
        name
    }

    /// How to reach a bucket, with little patience.
    #[must_use]
    pub fn options(&self, bucket: &str) -> S3Options {
        let secret = Secret::new(SECRET_ACCESS_KEY);
        let endpoint = format!("localhost:{}", self.address.port());
        let mut options = S3Options::new(endpoint, REGION, bucket, (ACCESS_KEY_ID, secret));
        options.ssl = self.ca.is_some();
        options.network.ca = self.ca.clone().unwrap_or_default().into_bytes();
        options.network.max_retries = 2;
        options
    }

    /// The file of an object.
    #[must_use]
    pub fn file(&self, bucket: &str, key: &str) -> PathBuf {
        self.root.join(bucket).join(key)
    }

    /// The directory of all buckets.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Number of multipart uploads that were neither finished nor aborted.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        locked(&self.shared.uploads).len()
    }

    /// Lets all unfinished uploads be so much older.
    pub fn age_uploads(&self, by: Duration) {
        for upload in locked(&self.shared.uploads).values_mut() {
            upload.initiated -= by;
        }
    }

    /// Asks `script` before each request whether to misbehave.
    pub fn misbehave(&self, script: impl FnMut(&Parts) -> Option<Fault> + Send + 'static) {
        *locked(&self.shared.script) = Some(Box::new(script));
    }

    /// Heads of all requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Parts> {
        locked(&self.shared.requests).clone()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panics while it is locked")
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        // Answers come in several writes.
        let _ = socket.set_nodelay(true);
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            match tls {
                None => serve(socket, shared).await,
                Some(tls) => {
                    if let Ok(socket) = tls.accept(socket).await {
                        serve(socket, shared).await;
                    }
                }
            }
        });
    }
}

async fn serve(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shared: Arc<Shared>) {
    let serve = service_fn(|request| answer(Arc::clone(&shared), request));
    // Clients come and go.
    drop(Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), serve).await);
}

/// A certificate for `localhost`, and the PEM that makes it trusted.
fn certify() -> (TlsAcceptor, String) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("it is a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks them")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("the key is that of the certificate");
    let der = BASE64_STANDARD.encode(cert.der());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n");
    (TlsAcceptor::from(Arc::new(config)), pem)
}

#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken on purpose")
    }
}

impl std::error::Error for Broken {}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Broken> {
    let (mut parts, body) = request.into_parts();
    locked(&shared.requests).push(parts.clone());
    let scripted = locked(&shared.script).as_mut().and_then(|script| script(&parts));
    let admitted = shared.guard.map_or(Ok(()), |guard| guard(&shared.root, &mut parts));
    let fault = scripted.or_else(|| admitted.err().map(|(status, code)| Fault::Refuse(status, code)));
    let full = |bytes: Vec<u8>| {
        Full::new(Bytes::from(bytes)).map_err(|never: Infallible| match never {}).boxed_unsync()
    };
    let response = |status: u16, bytes| {
        let mut response = Response::new(full(bytes));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        response
    };
    match &fault {
        Some(Fault::Refuse(status, code)) => {
            let message = "<Message>by the test</Message>";
            let answer = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code>{message}</Error>");
            // Read first: who is refused while sending may not see why.
            drop(body.collect().await);
            return Ok(response(*status, answer.into_bytes()));
        }
        Some(Fault::Serve(bytes)) => return Ok(response(200, bytes.clone())),
        Some(Fault::Hang) => return std::future::pending().await,
        _ => {}
    }
    let request = Request::from_parts(parts, s3s::Body::from(body));
    let served = shared.service.call(request).await.map_err(|_| Broken)?;
    let served = served.map(|body| body.map_err(Into::into).boxed_unsync());
    Ok(match fault {
        Some(Fault::LoseAnswer) => return Err(Broken),
        Some(Fault::CutAfter(len)) => {
            let broken = stream::once(async {
                // Lets what came before be sent.
                tokio::task::yield_now().await;
                Err(BoxError::from(Broken))
            });
            start_of(served, len, broken).await
        }
        Some(Fault::StallAfter(len)) => start_of(served, len, stream::pending()).await,
        _ => served,
    })
}

/// The first `len` bytes of an answer, and then something else.
async fn start_of(
    answer: Response<Body>,
    len: usize,
    then: impl stream::Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + 'static,
) -> Response<Body> {
    let (parts, body) = answer.into_parts();
    let mut bytes = body.collect().await.expect("the server reads its own files").to_bytes();
    bytes.truncate(len);
    let start = stream::once(async { Ok(Frame::data(bytes)) });
    Response::from_parts(parts, StreamBody::new(start.chain(then)).boxed_unsync())
}
