//! Bodies from elsewhere, within bounds.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Response, Version, header};
use http_body_util::BodyDataStream;
use hyper::body::{Body as _, Incoming};

use crate::{
    federation::FederationError,
    stream::{ByteStream, StreamError},
};

/// What a body may take up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) max_bytes: u64,
    /// Longest silence.
    pub(super) stall_timeout: Duration,
}

/// The length that was declared, if one was.
pub(super) fn declared_len(body: &Incoming) -> Option<u64> {
    body.size_hint().exact()
}

/// Whether the end of the body can be told from the end of a connection that broke.
pub(super) fn is_framed(response: &Response<Incoming>) -> bool {
    // No other coding was asked for, and none but this one has an end.
    let mut codings = response.headers().get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none();
    response.version() == Version::HTTP_2 || declared_len(response.body()).is_some() || is_chunked
}

/// Whether the bytes are not those that are meant: nobody was asked to compress.
pub(super) fn is_encoded(response: &Response<Incoming>) -> bool {
    let mut encodings = response.headers().get_all(header::CONTENT_ENCODING).iter();
    encodings.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The bytes as they come. They end with an error when they break off or fall silent.
pub(super) fn stream(body: Incoming, stall_timeout: Duration) -> ByteStream {
    let chunks = BodyDataStream::new(body).map(|chunk| chunk.map_err(broken));
    ByteStream::new(chunks).with_stall_timeout(stall_timeout)
}

/// All of a short body.
pub(super) async fn collect(body: Incoming, bounds: Bounds) -> Result<Bytes, FederationError> {
    let collected = stream(body, bounds.stall_timeout).collect_up_to(bounds.max_bytes).await;
    collected.map_err(|error| match error {
        StreamError::TooLarge { limit } => FederationError::TooLarge { limit },
        error => FederationError::Unreachable(Box::new(error)),
    })
}

fn broken(error: hyper::Error) -> StreamError {
    StreamError::Sender(Box::new(error))
}
