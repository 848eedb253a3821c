//! The one table from errors to statuses and errcodes.

use std::{borrow::Cow, time::Duration};

use http::{HeaderValue, Response, StatusCode, header};
use mmr_core::{Error, ErrorKind, federation::FederationError, stream::StreamError};
use serde::Serialize;

use super::{MediaBody, json, raw_json};
use crate::auth::{AuthError, Relayed};

/// An answer that is not a success: a status, a Matrix errcode, and words for people.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    errcode: &'static str,
    error: Cow<'static, str>,
    extra: Option<Extra>,
}

#[derive(Debug)]
enum Extra {
    Header(header::HeaderName, HeaderValue),
    Relay(Box<Relayed>),
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    errcode: &'a str,
    error: &'a str,
}

impl ApiError {
    pub(crate) fn new(
        status: StatusCode,
        errcode: &'static str,
        error: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, errcode, error: error.into(), extra: None }
    }

    pub(crate) fn missing_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN", "Missing access token")
    }

    pub(crate) fn guest() -> Self {
        Self::new(StatusCode::FORBIDDEN, "M_GUEST_ACCESS_FORBIDDEN", "Guests may only download media")
    }

    pub(crate) fn forbidden(why: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", why)
    }

    pub(crate) fn bad_param(name: &str, accepted: &str) -> Self {
        let error = format!("Query parameter {name} must be {accepted}");
        Self::new(StatusCode::BAD_REQUEST, "M_INVALID_PARAM", error)
    }

    pub(crate) fn missing_param(name: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_MISSING_PARAM", format!("Query parameter {name} is missing"))
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", "Media not found")
    }

    pub(crate) fn unrecognized() -> Self {
        Self::new(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "Unrecognized request")
    }

    /// Nobody's valid signature. `error` is for the operator of the server that sent the request.
    pub(crate) fn unsigned(error: &FederationError) -> Self {
        let words = match error {
            // The cause would tell what this server's network looks like from within.
            FederationError::Unreachable(_) => {
                "The signing keys of the origin could not be fetched to check the signature".to_owned()
            }
            error => sentence(&error.to_string()),
        };
        Self::new(StatusCode::UNAUTHORIZED, "M_UNAUTHORIZED", words)
    }

    pub(crate) fn wrong_method(allowed: HeaderValue) -> Self {
        let error = Self::new(StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED", "Method not allowed");
        error.with_header(header::ALLOW, allowed)
    }

    /// The homeserver's own answer.
    pub(crate) fn relay(answer: Relayed) -> Self {
        let error = Self::new(answer.status, "", "");
        Self { extra: Some(Extra::Relay(Box::new(answer))), ..error }
    }

    /// Whether somebody refused, rather than failed.
    pub(crate) fn is_refusal(&self) -> bool {
        self.status.is_client_error()
    }

    fn with_header(self, name: header::HeaderName, value: HeaderValue) -> Self {
        Self { extra: Some(Extra::Header(name, value)), ..self }
    }

    fn retry_after(self, after: Duration) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)))
    }

    pub(crate) fn into_response(self) -> Response<MediaBody> {
        let Self { status, errcode, error, extra } = self;
        let mut response = match extra {
            Some(Extra::Relay(answer)) => {
                let mut response = raw_json(answer.status, answer.body);
                if let Some(after) = answer.retry_after {
                    response.headers_mut().insert(header::RETRY_AFTER, after);
                }
                response
            }
            Some(Extra::Header(name, value)) => {
                let mut response = json(status, &ErrorBody { errcode, error: &error });
                response.headers_mut().insert(name, value);
                response
            }
            None => json(status, &ErrorBody { errcode, error: &error }),
        };
        // An error must never be kept in place of the media.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let (status, errcode) = status_of(&error);
        if status.is_server_error() && status != StatusCode::GATEWAY_TIMEOUT {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                kind = error.kind().as_str(),
                "request failed"
            );
        }
        let words = match error.root() {
            Error::Store(_) | Error::Datastore(_) | Error::NoDatastore(_) | Error::Internal(_) => {
                Cow::Borrowed(
                    "The media repository has a problem of its own; its operator finds the cause in the log",
                )
            }
            Error::Quarantined | Error::AuthRequired => Cow::Borrowed("Media not found"),
            error => Cow::Owned(sentence(&error.to_string())),
        };
        let api = Self::new(status, errcode, words);
        match error.root() {
            Error::RangeNotSatisfiable { len } => match HeaderValue::try_from(format!("bytes */{len}")) {
                Ok(value) => api.with_header(header::CONTENT_RANGE, value),
                Err(_) => api,
            },
            Error::Busy { retry_after } => api.retry_after(*retry_after),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => api.retry_after(Duration::from_secs(5)),
            _ => api,
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Refused { status, body, retry_after } => {
                Self::relay(Relayed { status, body, retry_after })
            }
            AuthError::Unavailable(reason) => {
                tracing::error!(reason, "tokens cannot be checked; see homeservers[].csApi");
                let error = "The homeserver does not answer, so that the access token cannot be checked";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN", error)
                    .retry_after(Duration::from_secs(5))
            }
        }
    }
}

/// Status and errcode of each kind of error ([spec] for each endpoint; design notes in the repository's documentation).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#standard-error-response
fn status_of(error: &Error) -> (StatusCode, &'static str) {
    match error.root() {
        Error::NotFound
        | Error::Quarantined
        | Error::AuthRequired
        | Error::Federation(FederationError::NotFound) => (StatusCode::NOT_FOUND, "M_NOT_FOUND"),
        // 504 rather than 404: clients try again.
        Error::NotYetUploaded | Error::Federation(FederationError::NotYetUploaded) => {
            (StatusCode::GATEWAY_TIMEOUT, "M_NOT_YET_UPLOADED")
        }
        Error::Forbidden(_) | Error::QuotaExceeded => (StatusCode::FORBIDDEN, "M_FORBIDDEN"),
        Error::AlreadyUploaded => (StatusCode::CONFLICT, "M_CANNOT_OVERWRITE_MEDIA"),
        Error::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE"),
        Error::RangeNotSatisfiable { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "M_UNKNOWN"),
        Error::TooSmall { .. } | Error::NotThumbnailable(_) => (StatusCode::BAD_REQUEST, "M_UNKNOWN"),
        Error::TooManyPending | Error::Busy { .. } => (StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED"),
        Error::Federation(FederationError::TooLarge { .. }) => (StatusCode::BAD_GATEWAY, "M_TOO_LARGE"),
        Error::Federation(_) => (StatusCode::BAD_GATEWAY, "M_UNKNOWN"),
        Error::Store(error) if error.is_transient() => (StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN"),
        Error::Datastore(error) if error.is_transient() => (StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN"),
        Error::Datastore(mmr_core::datastore::DatastoreError::Full(_)) => {
            (StatusCode::INSUFFICIENT_STORAGE, "M_UNKNOWN")
        }
        Error::Store(_) | Error::Datastore(_) | Error::NoDatastore(_) | Error::Internal(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN")
        }
        Error::Body(StreamError::Stalled { .. }) => (StatusCode::REQUEST_TIMEOUT, "M_UNKNOWN"),
        Error::Body(error) if error.is_senders_fault() => (StatusCode::BAD_REQUEST, "M_UNKNOWN"),
        Error::Body(_) => (StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN"),
        error => unmapped(error.kind()),
    }
}

/// The library knows an error that this table does not.
fn unmapped(kind: ErrorKind) -> (StatusCode, &'static str) {
    tracing::error!(kind = kind.as_str(), "an error has no status of its own");
    (StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN")
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
