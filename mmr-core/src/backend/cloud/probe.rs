//! Trying links.

use std::time::Duration;

use ::object_store::client::{HttpError, HttpErrorKind};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use url::Url;

use super::{
    Wire,
    transport::{Source, http_status},
};
use crate::backend::object_store::{extension::Tried, probe::explain};

const PRESIGNED: (&str, &str) = (
    "answer a presigned link",
    "clients cannot be sent to the store: leave presigned links off. The clock may be wrong, too",
);
const FORGED: (&str, &str) = (
    "refuse a forged link",
    "the store does not check signatures: whoever reaches it reads everything. Keep it away from the internet",
);

/// How long a link lives that is tried.
pub(in crate::backend) const TTL: Duration = Duration::from_mins(1);
/// The type that it is to be answered with.
pub(in crate::backend) const CONTENT_TYPE: &str = "image/x-mmr-probe";

/// Fetches an object as a client would, by a link and by one that we did not sign. `signature` is the parameter that
/// holds the signature.
pub(in crate::backend) async fn try_links(
    wire: &Wire,
    signed: Result<Url, Source>,
    signature: &str,
    expected: &Bytes,
) -> Vec<Tried> {
    let url = match signed {
        Ok(url) => url,
        Err(error) => return vec![(PRESIGNED, Err(explain(&*error)))],
    };
    let answered = match fetch(wire, &url).await {
        Ok((kind, bytes)) if bytes == *expected && kind.as_ref().is_some_and(|kind| kind == CONTENT_TYPE) => {
            Ok(())
        }
        Ok((kind, bytes)) if bytes == *expected => {
            Err(format!("the content type is {kind:?}, not the one asked for"))
        }
        Ok(_) => Err("other bytes came than were put".to_owned()),
        Err(error) => Err(explain(&error)),
    };
    let refused = match forge(&url, signature) {
        None => Err("the link has no signature".to_owned()),
        Some(forged) => match fetch(wire, &forged).await {
            Ok(_) => Err("it was answered".to_owned()),
            Err(error) => match http_status(&error) {
                Some(StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST) => Ok(()),
                _ => Err(explain(&error)),
            },
        },
    };
    vec![(PRESIGNED, answered), (FORGED, refused)]
}

async fn fetch(wire: &Wire, url: &Url) -> Result<(Option<HeaderValue>, Bytes), HttpError> {
    let other = |error| HttpError::new_boxed(HttpErrorKind::Unknown, error);
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request::get(url.as_str()).body(body).map_err(|error| other(error.into()))?;
    let answer = wire.transport.send(request).await?;
    if !answer.status().is_success() {
        return Err(other(format!("the store answered {}", answer.status()).into()));
    }
    let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
    let bytes = Limited::new(answer.into_body(), 1 << 20).collect().await.map_err(other)?;
    Ok((kind, bytes.to_bytes()))
}

/// The same link with one digit of its signature changed.
fn forge(url: &Url, signature: &str) -> Option<Url> {
    let (text, name) = (url.as_str(), format!("{signature}="));
    let at = [format!("&{name}"), format!("?{name}")]
        .iter()
        .find_map(|name| Some(text.find(name)? + name.len()))?;
    let digit = if text.get(at..=at)? == "0" { "1" } else { "0" };
    Url::parse(&format!("{}{digit}{}", &text[..at], text.get(at + 1..)?)).ok()
}
