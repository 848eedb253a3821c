//! From a destination to an HTTP connection.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, Uri,
    header::HOST,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body_util::Empty;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
    rt::Executor as _,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{dial::Dialer, discovery::Target, error::NetError, tls};

/// What HTTP/1.1 reads at once, and the longest head of a response. Many fetches at once must not add up.
const READ_BUFFER: usize = 128 << 10;
/// Received ahead of the reader: of one response, and of all responses on one connection. A slow reader of one must not
/// hold up the others.
const STREAM_WINDOW: u32 = 512 << 10;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// A silent HTTP/2 connection with responses under way is asked whether it lives.
const PING_AFTER: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// Where connections of a kind lead; any of them serves any call that is meant for there.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// Hosts and ports in the order to try. Never empty.
    pub(super) targets: Vec<Target>,
    /// Whom the certificate has to be for; `None` for plain HTTP.
    pub(super) tls_name: Option<String>,
}

/// A GET.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) scheme: Scheme,
    /// What the Host header says.
    pub(super) authority: Authority,
    pub(super) target: PathAndQuery,
    pub(super) headers: HeaderMap,
}

/// Sends calls over one connection.
#[derive(Debug)]
pub(super) enum Connection {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Connection {
    /// Sends a call and waits for the head of the response.
    pub(super) async fn send(&mut self, call: Call) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(call.into_http1()).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(call.into_http2()).await
            }
        }
    }

    /// Whether a call can be sent at once, as far as is known.
    pub(super) fn is_usable(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => !sender.is_closed(),
        }
    }

    /// The same connection for one more call, if it serves several at once.
    pub(super) fn share(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }
}

impl Call {
    fn into_http1(mut self) -> Request<Empty<Bytes>> {
        let host = HeaderValue::from_str(self.authority.as_str());
        self.headers.insert(HOST, host.expect("an authority is visible ASCII"));
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = Uri::from(self.target);
        *request.headers_mut() = self.headers;
        request
    }

    fn into_http2(mut self) -> Request<Empty<Bytes>> {
        // The authority of the URI is what HTTP/2 has instead.
        self.headers.remove(HOST);
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme);
        parts.authority = Some(self.authority);
        parts.path_and_query = Some(self.target);
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = Uri::from_parts(parts).expect("all three parts are there");
        *request.headers_mut() = self.headers;
        request
    }
}

/// Opens connections.
#[derive(Debug)]
pub(super) struct Connector {
    dialer: Dialer,
    tls: Arc<ClientConfig>,
    timeout: Duration,
}

impl Connector {
    /// `timeout` is for each target of a route.
    pub(super) const fn new(dialer: Dialer, tls: Arc<ClientConfig>, timeout: Duration) -> Self {
        Self { dialer, tls, timeout }
    }

    /// Connects to the first target that can be connected to. When none can, the last one's failure is told.
    pub(super) async fn connect(&self, route: &Route) -> Result<Connection, NetError> {
        let mut failure = None;
        for target in &route.targets {
            let attempt = self.connect_to(target, route.tls_name.as_deref());
            let late = |_| NetError::Timeout { host: target.host.clone(), limit: self.timeout };
            match tokio::time::timeout(self.timeout, attempt).await.map_err(late).flatten() {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.expect("a route has targets"))
    }

    async fn connect_to(&self, target: &Target, tls_name: Option<&str>) -> Result<Connection, NetError> {
        let stream = self.dialer.connect(&target.host, target.port).await?;
        let failed = |source| NetError::Http { host: target.host.clone(), source };
        let Some(name) = tls_name else {
            return http1(stream).await.map_err(failed);
        };
        let stream = tls::handshake(Arc::clone(&self.tls), stream, name).await?;
        let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(tls::H2);
        if speaks_http2 { http2(stream).await } else { http1(stream).await }.map_err(failed)
    }
}

async fn http1<S>(stream: S) -> hyper::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) =
        http1::Builder::new().max_buf_size(READ_BUFFER).handshake(TokioIo::new(stream)).await?;
    drive(connection);
    Ok(Connection::Http1(sender))
}

async fn http2<S>(stream: S) -> hyper::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PONG_WITHIN)
        .handshake(TokioIo::new(stream))
        .await?;
    drive(connection);
    Ok(Connection::Http2(sender))
}

/// Runs a connection until it ends. That is when nobody holds its sender or one of its responses any more.
fn drive(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) {
    TokioExecutor::new().execute(async {
        if let Err(error) = connection.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "an outbound connection broke");
        }
    });
}
