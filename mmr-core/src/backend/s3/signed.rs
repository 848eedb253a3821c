//! Requests that `object_store` has no way to make.

use std::time::{Duration, Instant};

use ::object_store::{
    aws::AwsAuthorizer,
    client::{HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse},
};
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt as _, Empty};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{S3, transport::Outgoing};
use crate::datastore::DatastoreError;

/// One request, and how to make its body, as often as it takes.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// The object, or the bucket itself.
    pub(super) key: Option<&'a str>,
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Payload<'a>>,
}

/// A body that does not have to be in memory.
pub(super) struct Payload<'a> {
    pub(super) len: u64,
    /// SHA-256, where payloads are signed.
    pub(super) digest: Option<[u8; 32]>,
    pub(super) open: &'a (dyn Fn() -> Outgoing + Send + Sync),
}

/// What needs no escape, by the rules of signatures.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

impl S3 {
    /// Sends a request, signed anew each time, until it succeeds or its budget is spent. All that are made here may be
    /// repeated.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<HttpResponse, DatastoreError> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        for retries in 0.. {
            let error = match self.send_once(call).await {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(answer) => return Err(self.refused(answer).await),
                Err(error) => error,
            };
            let lost = matches!(error.kind(), HttpErrorKind::Unknown | HttpErrorKind::Decode);
            let spent = retries >= self.network.max_retries || begun.elapsed() > self.network.retry_timeout;
            if lost || spent {
                return Err(self.place.classify(error));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
        unreachable!("the loop has no end of its own")
    }

    /// 404 and the like, which the transport lets pass with a summary for a body.
    async fn refused(&self, answer: HttpResponse) -> DatastoreError {
        if answer.status() == http::StatusCode::NOT_FOUND {
            return DatastoreError::NotFound;
        }
        let summary = answer.into_body().bytes().await.unwrap_or_default();
        self.place.classify(String::from_utf8_lossy(&summary).into_owned())
    }

    async fn send_once(&self, call: &Call<'_>) -> Result<HttpResponse, HttpError> {
        let unsent = |error: Box<dyn std::error::Error + Send + Sync>| {
            HttpError::new_boxed(HttpErrorKind::Unknown, error)
        };
        let signed = self.sign(call).map_err(unsent)?;
        let body = match &call.body {
            Some(payload) => (payload.open)(),
            None => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        };
        self.transport.send(signed.map(|_| body)).await
    }

    fn sign(&self, call: &Call<'_>) -> Result<HttpRequest, Box<dyn std::error::Error + Send + Sync>> {
        let mut url = self.bucket_url.clone();
        if let Some(key) = call.key {
            // Keys need no escapes.
            url.push('/');
            url.push_str(key);
        }
        let encode = |text| utf8_percent_encode(text, UNRESERVED);
        for (index, (name, value)) in call.query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(&format!("{}={}", encode(name), encode(value)));
        }
        let mut request =
            Request::builder().method(call.method.clone()).uri(url).body(HttpRequestBody::empty())?;
        request.headers_mut().extend(call.headers.clone());
        let digest = call.body.as_ref().and_then(|payload| payload.digest);
        let unsigned = call.body.is_some() && digest.is_none();
        AwsAuthorizer::new(&self.credential, "s3", &self.region)
            .with_sign_payload(!unsigned)
            .try_authorize(&mut request, digest.as_ref().map(<[u8; 32]>::as_slice))?;
        if let Some(payload) = &call.body {
            request.headers_mut().insert(header::CONTENT_LENGTH, payload.len.into());
        }
        Ok(request)
    }
}
