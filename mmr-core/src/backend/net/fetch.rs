//! One fetch, from endpoint to endpoint.

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, Response, StatusCode, header};
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ruma::http_headers::ContentDisposition;
use serde_json::Value;
use url::Url;

use super::{
    Signer,
    body::{self, Bounds},
    client::HttpClient,
    length::Trailers,
    mixed::{self, Mixed, MixedError},
};
use crate::{
    federation::{FederationError, FetchRequest, RemoteMedia},
    stream::{ByteStream, StreamError},
    types::{ContentType, FileName, Restriction},
};

/// URLs asked for a file that lies elsewhere.
const MAX_HOPS: usize = 5;
/// Longest error that is read to understand it.
const MAX_ERROR: u64 = 64 << 10;
/// Longest that the origin is asked to wait for pending media: the specification's default.
const PENDING: Duration = Duration::from_secs(20);
/// What a multipart answer may be longer than the media in it.
const FRAMING: u64 = 128 << 10;
/// Versions of the deprecated endpoint, in the order to try.
const DEPRECATED: [&str; 2] = ["v3", "r0"];

/// What may stand in a segment of a path.
const SEGMENT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

pub(super) struct Fetch<'f> {
    pub(super) client: &'f HttpClient,
    pub(super) signer: &'f Signer,
    pub(super) trailers: &'f Trailers,
    pub(super) request: &'f FetchRequest,
    pub(super) bounds: Bounds,
    pub(super) headers: HeaderMap,
}

/// What an answer that is no success means.
enum Refusal {
    /// The origin does not know the endpoint.
    Unrecognized,
    Final(FederationError),
}

impl Fetch<'_> {
    /// The federation endpoint; where the origin does not know it, the deprecated ones.
    pub(super) async fn run(self) -> Result<RemoteMedia, FederationError> {
        let whole = async {
            if let Some(media) = self.by_federation().await? {
                return Ok(media);
            }
            for version in DEPRECATED {
                if let Some(media) = self.by_deprecated(version).await? {
                    return Ok(media);
                }
            }
            Err(FederationError::NotFound)
        };
        // Each step has the whole time, and all of them together too.
        let limit = self.request.timeout;
        let late = |_| {
            let host = self.request.mxc.origin().to_string();
            FederationError::from(super::NetError::Timeout { host, limit })
        };
        tokio::time::timeout(limit, whole).await.map_err(late)?
    }

    /// `None` when the origin has no such endpoint, or when we have no key to sign with.
    async fn by_federation(&self) -> Result<Option<RemoteMedia>, FederationError> {
        let FetchRequest { mxc, sign_as, .. } = self.request;
        let id = utf8_percent_encode(mxc.media_id().as_str(), &SEGMENT);
        let pending = self.pending_ms();
        let target = format!("/_matrix/federation/v1/media/download/{id}?timeout_ms={pending}");
        let Some(signature) = self.signer.header(sign_as, mxc.origin(), &target) else { return Ok(None) };
        let mut headers = self.headers.clone();
        headers.insert(header::AUTHORIZATION, signature);
        let response = self.ask(&target, headers).await?;
        match self.judge(response).await {
            Ok(response) => self.open_mixed(response).await.map(Some),
            Err(Refusal::Unrecognized) => Ok(None),
            Err(Refusal::Final(error)) => Err(error),
        }
    }

    async fn by_deprecated(&self, version: &str) -> Result<Option<RemoteMedia>, FederationError> {
        let mxc = &self.request.mxc;
        let server = utf8_percent_encode(mxc.origin().as_str(), &SEGMENT);
        let id = utf8_percent_encode(mxc.media_id().as_str(), &SEGMENT);
        let pending = self.pending_ms();
        let target = format!(
            "/_matrix/media/{version}/download/{server}/{id}\
             ?allow_remote=false&allow_redirect=true&timeout_ms={pending}"
        );
        let response = self.ask(&target, self.headers.clone()).await?;
        if response.status().is_redirection() {
            return self.follow(location(response.headers())?, None).await.map(Some);
        }
        match self.judge(response).await {
            Ok(response) => self.open_plain(response).map(Some),
            Err(Refusal::Unrecognized) => Ok(None),
            Err(Refusal::Final(error)) => Err(error),
        }
    }

    /// How long the origin is asked to wait for pending media: less than we wait for the origin, or else its answer that
    /// they are pending would come too late.
    fn pending_ms(&self) -> u128 {
        PENDING.min(self.request.timeout / 2).as_millis()
    }

    async fn ask(&self, target: &str, headers: HeaderMap) -> Result<Response<Incoming>, FederationError> {
        let FetchRequest { mxc, timeout, .. } = self.request;
        Ok(self.client.get_from_server(mxc.origin(), target, headers, *timeout).await?)
    }

    /// Tells successes from refusals, and those that mean "try the other endpoint" from the rest.
    async fn judge(&self, response: Response<Incoming>) -> Result<Response<Incoming>, Refusal> {
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let bounds = Bounds { max_bytes: MAX_ERROR, ..self.bounds };
        // An error that cannot be read is one without words.
        let text = body::collect(response.into_body(), bounds).await.unwrap_or_default();
        let said: Option<serde_json::Map<String, Value>> = serde_json::from_slice(&text).ok();
        let errcode = said.as_ref().and_then(|said| said.get("errcode")).and_then(Value::as_str);
        let unrecognized = match status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                said.is_none() || errcode == Some("M_UNRECOGNIZED")
            }
            StatusCode::BAD_REQUEST => errcode == Some("M_UNRECOGNIZED"),
            _ => false,
        };
        if unrecognized {
            return Err(Refusal::Unrecognized);
        }
        let described = || {
            // It goes to logs, where nobody else begins lines.
            let printable = |errcode: &str| errcode.chars().filter(char::is_ascii_graphic).take(40).collect();
            let errcode: String = errcode.map_or_else(|| "without an errcode".to_owned(), printable);
            format!("{} answered {status} {errcode}", self.request.mxc.origin())
        };
        Err(Refusal::Final(match (status, errcode) {
            (StatusCode::NOT_FOUND, _) => FederationError::NotFound,
            (_, Some("M_NOT_YET_UPLOADED")) => FederationError::NotYetUploaded,
            (_, Some("M_TOO_LARGE")) => FederationError::TooLarge { limit: self.bounds.max_bytes },
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => FederationError::Denied(described()),
            (StatusCode::TOO_MANY_REQUESTS, _) => FederationError::Unreachable(described().into()),
            (status, _) if status.is_server_error() => FederationError::Unreachable(described().into()),
            _ => FederationError::Protocol(described()),
        }))
    }

    async fn open_mixed(&self, response: Response<Incoming>) -> Result<RemoteMedia, FederationError> {
        let limit = self.bounds.max_bytes;
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let Some(boundary) = content_type.and_then(|value| mixed::boundary(value.as_bytes())) else {
            return Err(protocol("the answer is not multipart/mixed with a boundary"));
        };
        if body::is_encoded(&response) {
            return Err(protocol("the answer is compressed, which nobody asked for"));
        }
        let declared = body::declared_len(response.body());
        if declared.is_some_and(|len| len > limit.saturating_add(FRAMING)) {
            return Err(FederationError::TooLarge { limit });
        }
        let framed = body::is_framed(&response);
        let body = body::stream(response.into_body(), self.bounds.stall_timeout);
        let Mixed { json, headers, before, body } =
            mixed::open(&boundary, framed, body).await.map_err(mixed_error)?;
        let restriction = json
            .get("restrictions")
            .or_else(|| json.get("org.matrix.msc3911.restrictions"))
            .map(|restriction| Restriction::new(&restriction.to_string()));
        if headers.contains_key(header::LOCATION) {
            let media = self.follow(location(&headers)?, Some(&headers)).await?;
            return Ok(RemoteMedia { restriction, ..media });
        }
        let (len, body) = match declared.and_then(|declared| declared.checked_sub(before)) {
            Some(rest) => self.trailers.watch(self.request.mxc.origin(), &boundary, rest, body),
            None => (None, body),
        };
        let body = within(len, limit, body)?;
        let (content_type, file_name) = (content_type_of(&headers), file_name_of(&headers));
        Ok(RemoteMedia { content_type, file_name, restriction, len, body })
    }

    /// Fetches a file that lies elsewhere, without credentials. `part` are the headers of the part that points there.
    async fn follow(&self, url: Url, part: Option<&HeaderMap>) -> Result<RemoteMedia, FederationError> {
        let mut url = url;
        for _ in 0..MAX_HOPS {
            let response = self.client.get_url(&url, self.headers.clone(), self.request.timeout).await?;
            let status = response.status();
            if status.is_redirection() {
                let next = header_text(response.headers(), &header::LOCATION)
                    .ok_or_else(|| protocol("a redirect leads nowhere"))?;
                url = url.join(&next).map_err(|_| protocol("a redirect leads to no URL"))?;
                continue;
            }
            if status != StatusCode::OK {
                let host = url.host_str().unwrap_or_default();
                let answered = format!("{host}, where the origin keeps the file, answered {status}");
                let later = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                return Err(if later {
                    FederationError::Unreachable(answered.into())
                } else {
                    protocol(&answered)
                });
            }
            let mut media = self.open_plain(response)?;
            if let Some(part) = part {
                if part.contains_key(header::CONTENT_TYPE) {
                    media.content_type = content_type_of(part);
                }
                media.file_name = file_name_of(part).or(media.file_name);
            }
            return Ok(media);
        }
        Err(protocol("too many redirects"))
    }

    fn open_plain(&self, response: Response<Incoming>) -> Result<RemoteMedia, FederationError> {
        if body::is_encoded(&response) {
            return Err(protocol("the answer is compressed, which nobody asked for"));
        }
        if !body::is_framed(&response) {
            return Err(protocol("the answer does not say where it ends"));
        }
        let len = body::declared_len(response.body());
        let (content_type, file_name) =
            (content_type_of(response.headers()), file_name_of(response.headers()));
        let body = body::stream(response.into_body(), self.bounds.stall_timeout);
        let body = within(len, self.bounds.max_bytes, body)?;
        Ok(RemoteMedia { content_type, file_name, restriction: None, len, body })
    }
}

/// A body that ends with an error unless it is as long as was declared, or short enough where nothing was.
fn within(len: Option<u64>, limit: u64, body: ByteStream) -> Result<ByteStream, FederationError> {
    match len {
        Some(len) if len > limit => Err(FederationError::TooLarge { limit }),
        Some(len) => Ok(body.of_length(len)),
        None => Ok(body.limited(limit)),
    }
}

/// An absolute URL: what it would be relative to is not what the client asked for.
fn location(headers: &HeaderMap) -> Result<Url, FederationError> {
    let text = header_text(headers, &header::LOCATION).ok_or_else(|| protocol("a redirect leads nowhere"))?;
    Url::parse(&text).map_err(|_| protocol("a redirect leads to no absolute URL"))
}

fn content_type_of(headers: &HeaderMap) -> ContentType {
    header_text(headers, &header::CONTENT_TYPE)
        .map_or_else(ContentType::default, |text| ContentType::new(&text))
}

/// The name in a `Content-Disposition`, whoever wrote it.
///
/// Total: any value has an answer.
pub(crate) fn file_name_of(headers: &HeaderMap) -> Option<FileName> {
    let value = headers.get(header::CONTENT_DISPOSITION)?;
    let disposition = ContentDisposition::try_from(value.as_bytes()).ok()?;
    FileName::new(&disposition.filename?)
}

fn header_text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<Cow<'h, str>> {
    Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()))
}

fn protocol(why: &str) -> FederationError {
    FederationError::Protocol(why.to_owned())
}

fn mixed_error(error: MixedError) -> FederationError {
    match error {
        MixedError::Stream(StreamError::TooLarge { limit }) => FederationError::TooLarge { limit },
        MixedError::Stream(error) => FederationError::Unreachable(Box::new(error)),
        error => FederationError::Protocol(error.to_string()),
    }
}
