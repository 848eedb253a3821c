//! An S3 server in-process: s3s-fs, which checks signatures, expiry and the length of parts, and what it lacks for our
//! tests. It can be told to misbehave, and tells what it was asked.

#![expect(clippy::disallowed_methods, reason = "a server of its own, with its own tasks and clock")]

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
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
use mmr_core::backend::object_store::{S3Options, Secret};
use rcgen::CertifiedKey;
use s3s::{
    S3, S3Request, S3Response, S3Result,
    auth::SimpleAuth,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
        DeleteObjectInput, DeleteObjectOutput, GetObjectInput, GetObjectOutput, HeadBucketInput,
        HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListMultipartUploadsInput,
        ListMultipartUploadsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput,
        MultipartUpload, PutObjectInput, PutObjectOutput, Timestamp, UploadPartInput, UploadPartOutput,
    },
    s3_error,
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

/// The only access key.
pub const ACCESS_KEY_ID: &str = "AKMMRTEST";
/// Its secret.
pub const SECRET_ACCESS_KEY: &str = "mmr-test-secret-key";
/// The region.
pub const REGION: &str = "us-east-1";

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, BoxError>;
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
    uploads: Uploads,
    script: Mutex<Option<Script>>,
    requests: Mutex<Vec<Parts>>,
    buckets: AtomicU64,
}

/// Unfinished multipart uploads by ID.
type Uploads = Arc<Mutex<BTreeMap<String, Upload>>>;

#[derive(Clone, Debug)]
struct Upload {
    bucket: String,
    key: String,
    initiated: SystemTime,
}

impl S3Server {
    /// Starts a server in a directory of its own.
    pub async fn start() -> Self {
        Self::start_in_scratch(None).await
    }

    /// Starts a server that speaks TLS, in a directory of its own.
    pub async fn start_tls() -> Self {
        Self::start_in_scratch(Some(certify())).await
    }

    async fn start_in_scratch(tls: Option<(TlsAcceptor, String)>) -> Self {
        let scratch = TempDir::new().expect("a directory can be made");
        let listen = ([127, 0, 0, 1], 0).into();
        let server = Self::start_with(scratch.path().to_path_buf(), listen, tls).await;
        let mut server = server.expect("a server starts");
        server.scratch = Some(scratch);
        server
    }

    /// Starts a server whose buckets are the directories in `root`.
    pub async fn start_at(root: PathBuf, listen: SocketAddr) -> io::Result<Self> {
        Self::start_with(root, listen, None).await
    }

    async fn start_with(
        root: PathBuf,
        listen: SocketAddr,
        tls: Option<(TlsAcceptor, String)>,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(&root)?;
        let fs = FileSystem::new(&root).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let uploads = Uploads::default();
        let mut builder = S3ServiceBuilder::new(Backend {
            fs,
            root: root.clone(),
            uploads: Arc::clone(&uploads),
            long_keys: Mutex::default(),
        });
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        let shared = Arc::new(Shared {
            service: builder.build(),
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
    let (parts, body) = request.into_parts();
    locked(&shared.requests).push(parts.clone());
    let fault = locked(&shared.script).as_mut().and_then(|script| script(&parts));
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

/// s3s-fs with a listing of unfinished uploads, and without two limits that S3 does not have: it cannot tell a key from
/// a directory, and puts keys into names of files, which are to be short.
struct Backend {
    fs: FileSystem,
    root: PathBuf,
    uploads: Uploads,
    // Keys that are too long, by what they are called instead.
    long_keys: Mutex<BTreeMap<String, String>>,
}

impl Backend {
    /// A name of moderate length for a key.
    fn shorten(&self, key: &mut String) {
        if key.len() > 100 {
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            let short = format!("~{:016x}", hasher.finish());
            locked(&self.long_keys).insert(short.clone(), std::mem::replace(key, short));
        }
    }

    fn refuse_directories(&self, bucket: &str, key: &str) -> S3Result<()> {
        if self.root.join(bucket).join(key).is_dir() { Err(s3_error!(NoSuchKey)) } else { Ok(()) }
    }

    fn finished(&self, id: &str) {
        locked(&self.uploads).remove(id);
    }

    fn listed(&self, input: &ListMultipartUploadsInput) -> ListMultipartUploadsOutput {
        let marker = (
            input.key_marker.clone().unwrap_or_default(),
            input.upload_id_marker.clone().unwrap_or_default(),
        );
        let mut all: Vec<_> = locked(&self.uploads).clone().into_iter().collect();
        all.retain(|(_, upload)| upload.bucket == input.bucket);
        all.sort_by_key(|(id, upload)| (upload.key.clone(), id.clone()));
        all.retain(|(id, upload)| (&upload.key, id) > (&marker.0, &marker.1));
        let more = all.len() > PAGE;
        all.truncate(PAGE);
        let last = all.last().filter(|_| more).cloned();
        let uploads = all.into_iter().map(|(id, upload)| MultipartUpload {
            key: Some(upload.key),
            upload_id: Some(id),
            initiated: Some(Timestamp::from(upload.initiated)),
            ..MultipartUpload::default()
        });
        ListMultipartUploadsOutput {
            bucket: Some(input.bucket.clone()),
            uploads: Some(uploads.collect()),
            is_truncated: Some(more),
            next_key_marker: last.as_ref().map(|(_, upload)| upload.key.clone()),
            next_upload_id_marker: last.map(|(id, _)| id),
            ..ListMultipartUploadsOutput::default()
        }
    }
}

/// Uploads in one page of a listing: few, so that tests turn pages.
const PAGE: usize = 2;

#[async_trait]
impl S3 for Backend {
    async fn create_multipart_upload(
        &self,
        mut request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        self.shorten(&mut request.input.key);
        let response = self.fs.create_multipart_upload(request).await?;
        let id = response.output.upload_id.clone().unwrap_or_default();
        locked(&self.uploads).insert(id, Upload { bucket, key, initiated: SystemTime::now() });
        Ok(response)
    }

    async fn complete_multipart_upload(
        &self,
        mut request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.shorten(&mut request.input.key);
        let id = request.input.upload_id.clone();
        if !locked(&self.uploads).contains_key(&id) {
            return Err(s3_error!(NoSuchUpload));
        }
        // s3s-fs makes its answer while it is read, so what comes of it is not known here.
        let response = self.fs.complete_multipart_upload(request).await?;
        self.finished(&id);
        Ok(response)
    }

    async fn abort_multipart_upload(
        &self,
        mut request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.shorten(&mut request.input.key);
        let id = request.input.upload_id.clone();
        if !locked(&self.uploads).contains_key(&id) {
            return Err(s3_error!(NoSuchUpload));
        }
        let response = self.fs.abort_multipart_upload(request).await?;
        self.finished(&id);
        Ok(response)
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        Ok(S3Response::new(self.listed(&request.input)))
    }

    async fn upload_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        self.shorten(&mut request.input.key);
        self.fs.upload_part(request).await
    }

    async fn list_parts(
        &self,
        mut request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        self.shorten(&mut request.input.key);
        self.fs.list_parts(request).await
    }

    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        self.shorten(&mut request.input.key);
        self.fs.put_object(request).await
    }

    async fn get_object(
        &self,
        mut request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        self.shorten(&mut request.input.key);
        self.refuse_directories(&request.input.bucket, &request.input.key)?;
        self.fs.get_object(request).await
    }

    async fn head_object(
        &self,
        mut request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.shorten(&mut request.input.key);
        self.refuse_directories(&request.input.bucket, &request.input.key)?;
        self.fs.head_object(request).await
    }

    async fn delete_object(
        &self,
        mut request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.shorten(&mut request.input.key);
        self.fs.delete_object(request).await
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.fs.head_bucket(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let mut response = self.fs.list_objects_v2(request).await?;
        for object in response.output.contents.iter_mut().flatten() {
            let long = object.key.as_ref().and_then(|key| locked(&self.long_keys).get(key).cloned());
            object.key = long.or(object.key.take());
        }
        Ok(response)
    }
}
