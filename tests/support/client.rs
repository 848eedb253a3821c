//! A small HTTP client over hyper, and raw sockets for what no client would send.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::{client::legacy, client::legacy::connect::HttpConnector, rt::TokioExecutor};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Speaks HTTP/1.1, or HTTP/2 with prior knowledge, to one address.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    inner: legacy::Client<HttpConnector, Body>,
}

/// A request in the making.
#[derive(Debug)]
pub struct Call<'c> {
    client: &'c Client,
    request: http::request::Builder,
    body: Body,
}

/// A response, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Client {
    /// HTTP/1.1 to `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, inner: legacy::Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Cleartext HTTP/2 to `address`.
    #[must_use]
    pub fn http2(address: SocketAddr) -> Self {
        Self { address, inner: legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http() }
    }

    /// A request for `target`, a path with an optional query.
    #[must_use]
    pub fn call(&self, method: Method, target: &str) -> Call<'_> {
        let request = Request::builder().method(method).uri(format!("http://{}{target}", self.address));
        Call { client: self, request, body: Full::default().boxed_unsync() }
    }

    /// `GET target` as the holder of `token`.
    pub async fn get(&self, target: &str, token: &str) -> Reply {
        self.call(Method::GET, target).token(token).send().await
    }

    /// Uploads `body` and answers its MXC URI without the scheme: `server/id`.
    pub async fn upload(&self, token: &str, content_type: &str, body: impl Into<Bytes>) -> String {
        let call = self.call(Method::POST, "/_matrix/media/v3/upload").token(token);
        call.header(header::CONTENT_TYPE.as_str(), content_type).body(body).send().await.content_uri()
    }

    /// Sends `request` as it is, half-closes, and answers everything that comes until the server closes.
    pub async fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("the server accepts connections");
        // The server may have answered and closed before all was written.
        let _ = stream.write_all(request).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// An open connection.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the server accepts connections")
    }
}

impl Call<'_> {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Authenticates as the holder of `token`; an empty one sends nothing.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        if token.is_empty() { self } else { self.header("Authorization", &format!("Bearer {token}")) }
    }

    /// Sends `body` with its length declared.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Full::new(body.into()).boxed_unsync();
        self
    }

    /// Sends chunks of no declared length.
    #[must_use]
    pub fn chunks(mut self, chunks: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        self.body = StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk)))).boxed_unsync();
        self
    }

    /// Sends the request and answers the head of the response, with the body still to come.
    ///
    /// # Panics
    /// When there is no response.
    pub async fn open(self) -> Response<Incoming> {
        let request = self.request.body(self.body).expect("a valid request");
        self.client.inner.request(request).await.expect("a response")
    }

    /// Sends the request and reads the whole response.
    ///
    /// # Panics
    /// When there is no whole response.
    pub async fn send(self) -> Reply {
        self.try_send().await.expect("a whole response")
    }

    /// Sends the request and reads the whole response.
    ///
    /// # Errors
    /// When the connection breaks before the end of the response.
    ///
    /// # Panics
    /// When the request could not be built.
    pub async fn try_send(self) -> Result<Reply, Box<dyn std::error::Error + Send + Sync>> {
        let request = self.request.body(self.body).expect("a valid request");
        let (head, body) = self.client.inner.request(request).await?.into_parts();
        Ok(Reply { status: head.status, headers: head.headers, body: body.collect().await?.to_bytes() })
    }
}

impl Reply {
    /// A header as text; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header of visible ASCII"))
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    /// Status and errcode of a Matrix error.
    ///
    /// # Panics
    /// When the body is not a Matrix error.
    #[must_use]
    pub fn error(&self) -> (u16, String) {
        let json = self.json();
        assert!(json["error"].is_string(), "no words for people: {json}");
        (self.status.as_u16(), json["errcode"].as_str().expect("an errcode").to_owned())
    }

    /// The `content_uri` of the body without its scheme: `server/id`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn content_uri(&self) -> String {
        let json = self.json();
        let uri = json["content_uri"].as_str().unwrap_or_else(|| panic!("no content_uri in {json}"));
        uri.strip_prefix("mxc://").expect("an MXC URI").to_owned()
    }
}
