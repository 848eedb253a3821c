//! Answers: bodies, headers, errors.

mod body;
mod disposition;
mod error;
mod headers;
mod mixed;

pub use self::body::MediaBody;
pub(crate) use self::{
    disposition::{disposition, disposition_text},
    error::ApiError,
    headers::{etag, matches_any, range_is_current, response},
    mixed::{elsewhere, mixed},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<MediaBody> {
    // The values are our own structs of strings and numbers, which always serialise.
    raw_json(status, serde_json::to_vec(value).unwrap_or_default().into())
}

/// JSON text that is there already.
pub(crate) fn raw_json(status: StatusCode, text: Bytes) -> Response<MediaBody> {
    let mut response = response(status, MediaBody::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
