//! How requests get to an object store: `object_store`'s HTTP seam over hyper and rustls, with pooled connections.
//!
//! What goes wrong leaves here as an [`HttpError`] that `object_store` retries or not by its kind. An answer that
//! refuses is one too, see [`Refusal`]: `object_store` would hide its status, and put the whole answer, which may name
//! the access key, into its message.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ::object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
        HttpService,
    },
};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector as TcpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use self::{
    body::{Paced, Watched},
    refusal::Answer,
};

use super::Network;

mod body;
mod refusal;

pub(in crate::backend) use self::refusal::{Meaning, Refusal};

pub(in crate::backend) type Source = Box<dyn Error + Send + Sync>;

/// A body on its way to the store.
pub(in crate::backend) type Outgoing = UnsyncBoxBody<Bytes, Source>;

/// Unused connections are closed after this long: sooner than servers and the boxes before them forget theirs.
const IDLE: Duration = Duration::from_secs(20);
const MAX_IDLE: usize = 64;
/// The longest answer that is read whole: refusals, and what a finished multipart upload is answered with.
const MAX_ANSWER: usize = 64 << 10;

/// An HTTP client for one store. Cheap to clone; all clones share their connections.
#[derive(Clone, Debug)]
pub(in crate::backend) struct Transport {
    client: Client<HttpsConnector<TcpConnector>, Paced>,
    stall_timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
#[error("nothing moved for {} s", .0.as_secs_f32())]
struct Stalled(Duration);

impl Transport {
    pub(super) fn new(options: &Network) -> Result<Self, Source> {
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(options.connect_timeout));
        tcp.set_keepalive(Some(IDLE));
        // One request at a time per connection: parts that are sent side by side should not share one window.
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls(&options.ca)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .build(https);
        Ok(Self { client, stall_timeout: options.stall_timeout })
    }

    /// Sends a request and waits for the head of the answer, for as long as something moves.
    pub(super) async fn send(&self, request: Request<Outgoing>) -> Result<HttpResponse, HttpError> {
        let completes = *request.method() == Method::POST
            && request.uri().query().is_some_and(|query| query.contains("uploadId="));
        let (parts, body) = self.exchange(request).await?.into_parts();
        let body = Watched::new(body, self.stall_timeout);
        // A long assembly of parts is answered at once with 200, and with an error much later, in the body.
        if parts.status.is_success() && !completes {
            return Ok(Response::from_parts(parts, HttpResponseBody::new(body)));
        }
        let body = match Limited::new(body, MAX_ANSWER).collect().await {
            Ok(body) => body.to_bytes(),
            // The status is enough.
            Err(_) if !parts.status.is_success() => Bytes::new(),
            Err(error) => return Err(HttpError::new_boxed(HttpErrorKind::Interrupted, error)),
        };
        match Answer::read(parts.status, &body) {
            Answer::Success => Ok(Response::from_parts(parts, body.into())),
            // `object_store` has variants of its own for these.
            Answer::Known(summary) => Ok(Response::from_parts(parts, summary.into())),
            Answer::Refused(refusal) => Err(HttpError::new(refusal.retry_as(), refusal)),
        }
    }

    async fn exchange(&self, request: Request<Outgoing>) -> Result<Response<Incoming>, HttpError> {
        let method = request.method().clone();
        let moved = Arc::new(AtomicU64::new(0));
        let request = request.map(|body| Paced::new(body, Arc::clone(&moved)));
        let mut answer = std::pin::pin!(self.client.request(request));
        loop {
            let before = moved.load(Ordering::Relaxed);
            match tokio::time::timeout(self.stall_timeout, &mut answer).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if error.is_connect() => {
                    return Err(HttpError::new(HttpErrorKind::Connect, error));
                }
                Ok(Err(error)) => return Err(HttpError::new(interrupted(&method), error)),
                Err(_) if moved.load(Ordering::Relaxed) != before => {}
                Err(_) if method == Method::DELETE => {
                    return Err(HttpError::new(HttpErrorKind::Request, Stalled(self.stall_timeout)));
                }
                Err(_) => return Err(HttpError::new(HttpErrorKind::Timeout, Stalled(self.stall_timeout))),
            }
        }
    }
}

/// The connection broke, or was dead already. What may be done twice may be tried again.
fn interrupted(method: &Method) -> HttpErrorKind {
    if method.is_idempotent() { HttpErrorKind::Request } else { HttpErrorKind::Interrupted }
}

fn tls(ca: &[u8]) -> Result<ClientConfig, Source> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let native = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(native.certs);
    if usable == 0 && ca.is_empty() {
        tracing::warn!(errors = ?native.errors, "the system has no trusted TLS roots; is ca-certificates installed?");
    }
    let mut named = 0;
    for certificate in CertificateDer::pem_slice_iter(ca) {
        roots.add(certificate?)?;
        named += 1;
    }
    if named == 0 && !ca.is_empty() {
        return Err("the certificate authority's file holds no certificate".into());
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.send(request.map(|body| body.map_err(Into::into).boxed_unsync())).await
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> ::object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

/// What the store answered, if it did.
pub(super) fn http_status(error: &HttpError) -> Option<StatusCode> {
    error.source()?.downcast_ref::<Refusal>().map(|refusal| refusal.status)
}
