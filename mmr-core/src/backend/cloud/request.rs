//! Requests that `object_store` has no way to make.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use ::object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Empty};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use super::{
    Wire,
    transport::{Outgoing, Source},
};
use crate::datastore::DatastoreError;

/// One request, and how to make its body, as often as it takes.
pub(in crate::backend) struct Call<'a> {
    pub(in crate::backend) method: Method,
    /// The object, or the bucket itself.
    pub(in crate::backend) key: Option<&'a str>,
    pub(in crate::backend) query: &'a [(&'a str, &'a str)],
    pub(in crate::backend) headers: HeaderMap,
    pub(in crate::backend) body: Option<Payload<'a>>,
}

impl<'a> Call<'a> {
    /// Asks the bucket something.
    pub(in crate::backend) fn ask(query: &'a [(&'a str, &'a str)]) -> Self {
        Self { method: Method::GET, key: None, query, headers: HeaderMap::new(), body: None }
    }
}

/// A body that does not have to be in memory.
#[cfg_attr(not(feature = "s3"), expect(dead_code, reason = "only S3 sends such"))]
pub(in crate::backend) struct Payload<'a> {
    pub(in crate::backend) len: u64,
    /// SHA-256, where payloads are signed.
    pub(in crate::backend) digest: Option<[u8; 32]>,
    pub(in crate::backend) open: &'a (dyn Fn() -> Outgoing + Send + Sync),
}

/// What needs no escape, by the rules of signatures.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Longest answer that is read whole: a listing of some thousand keys of a kilobyte, and room to spare.
const MAX_ANSWER: usize = 16 << 20;
/// How often an answer is asked for again because it broke off.
const MAX_BROKEN: u32 = 2;

#[derive(Debug, thiserror::Error)]
#[error("the answer is longer than {MAX_ANSWER} bytes")]
struct Overlong;

/// A store that requests are signed for.
#[async_trait]
pub(in crate::backend) trait Signs: Send + Sync {
    /// The way there.
    fn wire(&self) -> &Wire;

    /// URL of the bucket without a slash at the end.
    fn bucket_url(&self) -> &str;

    /// Makes a request one that the store answers.
    async fn sign(&self, call: &Call<'_>, request: &mut HttpRequest) -> Result<(), Source>;
}

/// Sends a request, signed anew each time, until it succeeds or its budget is spent. All that are made here may be
/// repeated.
pub(in crate::backend) async fn send(
    store: &dyn Signs,
    call: &Call<'_>,
) -> Result<HttpResponse, DatastoreError> {
    let Wire { network, place, .. } = store.wire();
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    for retries in 0.. {
        let error = match send_once(store, call).await {
            Ok(answer) if answer.status().is_success() => return Ok(answer),
            Ok(answer) => return Err(refused(store.wire(), answer).await),
            Err(error) => error,
        };
        let lost = matches!(error.kind(), HttpErrorKind::Unknown | HttpErrorKind::Decode);
        let spent = retries >= network.max_retries || begun.elapsed() > network.retry_timeout;
        if lost || spent {
            return Err(place.classify(error));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
    unreachable!("the loop has no end of its own")
}

/// Sends a request that is answered in XML.
pub(in crate::backend) async fn ask<T: DeserializeOwned>(
    store: &dyn Signs,
    call: &Call<'_>,
) -> Result<T, DatastoreError> {
    let place = &store.wire().place;
    // An answer that breaks off is asked for again.
    let mut tries = 0;
    let answer = loop {
        match collect(store.wire(), send(store, call).await?).await {
            Err(error) if error.is_transient() && tries < MAX_BROKEN => tries += 1,
            answer => break answer?,
        }
    };
    // Azure begins with a byte order mark.
    let answer = answer.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&answer);
    quick_xml::de::from_reader(answer).map_err(|error| place.classify(error))
}

async fn collect(wire: &Wire, answer: HttpResponse) -> Result<Bytes, DatastoreError> {
    let mut chunks = answer.into_body().bytes_stream();
    let mut whole = Vec::new();
    while let Some(chunk) = chunks.next().await {
        whole.extend_from_slice(&chunk.map_err(|error| wire.place.classify(error))?);
        if whole.len() > MAX_ANSWER {
            return Err(wire.place.classify(Overlong));
        }
    }
    Ok(whole.into())
}

/// 404 and the like, which the transport lets pass with a summary for a body.
async fn refused(wire: &Wire, answer: HttpResponse) -> DatastoreError {
    if answer.status() == http::StatusCode::NOT_FOUND {
        return DatastoreError::NotFound;
    }
    let summary = answer.into_body().bytes().await.unwrap_or_default();
    wire.place.classify(String::from_utf8_lossy(&summary).into_owned())
}

async fn send_once(store: &dyn Signs, call: &Call<'_>) -> Result<HttpResponse, HttpError> {
    let unsent = |error: Box<dyn Error + Send + Sync>| HttpError::new_boxed(HttpErrorKind::Unknown, error);
    let mut request = request(store.bucket_url(), call).map_err(|error| unsent(error.into()))?;
    store.sign(call, &mut request).await.map_err(unsent)?;
    if let Some(payload) = &call.body {
        request.headers_mut().insert(http::header::CONTENT_LENGTH, payload.len.into());
    }
    let body = match &call.body {
        Some(payload) => (payload.open)(),
        None => Empty::new().map_err(|never| match never {}).boxed_unsync(),
    };
    store.wire().transport.send(request.map(|_| body)).await
}

fn request(bucket_url: &str, call: &Call<'_>) -> http::Result<HttpRequest> {
    let mut url = bucket_url.to_owned();
    if let Some(key) = call.key {
        // Keys need no escapes.
        url.push('/');
        url.push_str(key);
    }
    if !call.query.is_empty() {
        url.push('?');
        url.push_str(&query_of(call.query));
    }
    let mut request =
        Request::builder().method(call.method.clone()).uri(url).body(HttpRequestBody::empty())?;
    request.headers_mut().extend(call.headers.clone());
    Ok(request)
}

/// Parameters as a URL has them.
pub(in crate::backend) fn query_of(pairs: &[(&str, &str)]) -> String {
    let encode = |text| utf8_percent_encode(text, UNRESERVED);
    let pairs = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}
