//! `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}[/{fileName}]` and
//! `GET /_matrix/media/v3/download/…` ([spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediadownloadservernamemediaid)).
//!
//! `Range` follows RFC 9110 for a single range; several ranges are answered with the whole body, which section 14.2
//! allows. `HEAD` is MSC4120. Media that is still arriving from another server is sent as it comes: without an `ETag`,
//! and without a `Content-Length` when the origin declared none.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use mmr_core::{
    download::{Arrival, DownloadRequest, Found},
    types::{ContentRange, ContentType, FileName, MediaRecord, RangeRequest},
};

use super::{Answer, Context, parse_mxc, query};
use crate::{
    respond::{self, MediaBody},
    route::{Family, MediaPath},
};

/// Bytes under one name never change, and only who is allowed may keep them: shared caches are not.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");

pub(super) async fn download(
    context: Context<'_>,
    family: Family,
    path: &MediaPath<'_>,
    file_name: Option<&str>,
) -> Answer {
    let request = request(context, family, path).await?;
    let named = file_name.and_then(FileName::new);
    let downloads = context.service.repository.downloads();
    match downloads.find(&request).await? {
        Found::Stored(record) => {
            match redirected(context, &request, family, (&record, named.as_ref())).await? {
                Some(elsewhere) => Ok(elsewhere),
                None => stored(context, &record, named).await,
            }
        }
        // Which part that is can only be told at the end. A player that would take everything gets it as it comes.
        Found::Arriving(arrival) if arrival.declared_len().is_none() && wants_part(context) => {
            stored(context, &downloads.describe(&request).await?, named).await
        }
        Found::Arriving(arrival) => arriving(context, &arrival, named.as_ref()),
    }
}

/// To the object storage, where the client follows and the operator has set it up. Clients of the authenticated endpoints
/// always follow ([spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediadownloadservernamemediaid)).
async fn redirected(
    context: Context<'_>,
    request: &DownloadRequest,
    family: Family,
    (record, file_name): (&MediaRecord, Option<&FileName>),
) -> Result<Option<Response<MediaBody>>, respond::ApiError> {
    let follows = match family {
        Family::Authenticated => true,
        Family::Legacy => query::boolean(context.query(), "allow_redirect")?.unwrap_or(false),
    };
    if !follows || !is_get(context) {
        return Ok(None);
    }
    let file_name = file_name.or(record.file_name.as_ref());
    let disposition = || respond::disposition_text(&record.content_type, file_name);
    let link = context.service.repository.downloads().link(request, record, disposition).await;
    let Some(location) = link.and_then(|link| HeaderValue::try_from(link.as_str()).ok()) else {
        return Ok(None);
    };
    // Whoever has the bytes already is told so here.
    if respond::matches_any(&context.head.headers, &respond::etag(&record.blob)) {
        return Ok(None);
    }
    let mut response = respond::response(StatusCode::TEMPORARY_REDIRECT, MediaBody::default());
    response.headers_mut().insert(header::LOCATION, location);
    // It stops working soon.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(Some(response))
}

async fn stored(context: Context<'_>, record: &Arc<MediaRecord>, file_name: Option<FileName>) -> Answer {
    let etag = respond::etag(&record.blob);
    let headers = &context.head.headers;
    if respond::matches_any(headers, &etag) {
        return Ok(validated(StatusCode::NOT_MODIFIED, MediaBody::default(), etag));
    }
    let (range, body) = if is_get(context) {
        let wanted = match wanted_range(headers) {
            Some(range) if respond::range_is_current(headers, &etag) => range,
            _ => RangeRequest::Whole,
        };
        let download = context.service.repository.downloads().read(record, wanted).await?;
        (download.range, MediaBody::of_length(download.body, download.range.selected()))
    } else {
        (ContentRange::Whole { len: record.blob.size }, MediaBody::default())
    };
    let mut response = validated(StatusCode::OK, body, etag);
    describe(&mut response, &record.content_type, file_name.as_ref().or(record.file_name.as_ref()));
    select(&mut response, range);
    Ok(response)
}

/// Without a validator, since the bytes are not known yet; and so without a range that depends on one.
fn arriving(context: Context<'_>, arrival: &Arrival, file_name: Option<&FileName>) -> Answer {
    let headers = &context.head.headers;
    let wanted = match wanted_range(headers) {
        Some(range) if is_get(context) && !headers.contains_key(header::IF_RANGE) => range,
        _ => RangeRequest::Whole,
    };
    let (range, body) = match arrival.part(wanted) {
        Some(part) => {
            let (range, body) = part?;
            (Some(range), MediaBody::of_length(body, range.selected()))
        }
        None => (None, MediaBody::of_unknown_length(arrival.whole())),
    };
    let body = if is_get(context) { body } else { MediaBody::default() };
    let mut response = respond::response(StatusCode::OK, body);
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE_CONTROL);
    describe(&mut response, arrival.content_type(), file_name.or(arrival.file_name()));
    if let Some(range) = range {
        select(&mut response, range);
    }
    Ok(response)
}

fn wanted_range(headers: &HeaderMap) -> Option<RangeRequest> {
    Some(RangeRequest::parse(headers.get(header::RANGE)?.to_str().ok()?))
}

fn is_get(context: Context<'_>) -> bool {
    context.head.method == Method::GET
}

/// Whether the client wants less than everything, whatever the validator.
fn wants_part(context: Context<'_>) -> bool {
    let headers = &context.head.headers;
    let everything = [None, Some(RangeRequest::Whole), Some(RangeRequest::From { first: 0, last: None })];
    is_get(context) && !headers.contains_key(header::IF_RANGE) && !everything.contains(&wanted_range(headers))
}

/// Authentication comes before everything else about a request, its path included.
pub(super) async fn request(
    context: Context<'_>,
    family: Family,
    path: &MediaPath<'_>,
) -> Result<DownloadRequest, respond::ApiError> {
    let caller = context.reader(family).await?;
    let wait = query::wait(context.query())?;
    let remote = query::boolean(context.query(), "allow_remote")?.unwrap_or(true);
    Ok(DownloadRequest { mxc: parse_mxc(path)?, caller, server: context.tenant.name.clone(), wait, remote })
}

/// A response that may be kept and asked about again.
pub(super) fn validated(status: StatusCode, body: MediaBody, etag: HeaderValue) -> Response<MediaBody> {
    let mut response = respond::response(status, body);
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag);
    headers.insert(header::CACHE_CONTROL, CACHE_CONTROL);
    response
}

fn describe(response: &mut Response<MediaBody>, content_type: &ContentType, file_name: Option<&FileName>) {
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, BYTES);
    headers.insert(header::CONTENT_DISPOSITION, respond::disposition(content_type, file_name));
    // A `ContentType` is fit to stand in a header.
    if let Ok(value) = HeaderValue::from_str(content_type.as_str()) {
        headers.insert(header::CONTENT_TYPE, value);
    }
}

fn select(response: &mut Response<MediaBody>, range: ContentRange) {
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(range.selected()));
    if let ContentRange::Part { start, end, len } = range {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        // Digits and punctuation make a valid header.
        if let Ok(value) = HeaderValue::try_from(format!("bytes {start}-{}/{len}", end - 1)) {
            response.headers_mut().insert(header::CONTENT_RANGE, value);
        }
    }
}
