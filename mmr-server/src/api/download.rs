//! `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}[/{fileName}]` and
//! `GET /_matrix/media/v3/download/…` ([spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediadownloadservernamemediaid)).
//!
//! `Range` follows RFC 9110 for a single range; several ranges are answered with the whole body, which section 14.2
//! allows. `HEAD` is MSC4120.

use http::{HeaderValue, Method, Response, StatusCode, header};
use mmr_core::{
    download::DownloadRequest,
    types::{ContentRange, FileName, MediaRecord, RangeRequest},
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
    let downloads = context.service.repository.downloads();
    let record = downloads.describe(&request).await?;
    let etag = respond::etag(&record.blob);
    let headers = &context.head.headers;
    if respond::matches_any(headers, &etag) {
        return Ok(validated(StatusCode::NOT_MODIFIED, MediaBody::default(), etag));
    }
    let is_get = context.head.method == Method::GET;
    let wanted = match headers.get(header::RANGE).and_then(|value| value.to_str().ok()) {
        Some(value) if is_get && respond::range_is_current(headers, &etag) => RangeRequest::parse(value),
        _ => RangeRequest::Whole,
    };
    let (range, body) = if is_get {
        let download = downloads.read(&record, wanted).await?;
        (download.range, MediaBody::of_length(download.body, download.range.selected()))
    } else {
        (ContentRange::Whole { len: record.blob.size }, MediaBody::default())
    };
    let mut response = validated(StatusCode::OK, body, etag);
    describe(
        &mut response,
        &record,
        file_name.and_then(FileName::new).or_else(|| record.file_name.clone()).as_ref(),
    );
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(range.selected()));
    if let ContentRange::Part { start, end, len } = range {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        // Digits and punctuation make a valid header.
        if let Ok(value) = HeaderValue::try_from(format!("bytes {start}-{}/{len}", end - 1)) {
            response.headers_mut().insert(header::CONTENT_RANGE, value);
        }
    }
    Ok(response)
}

/// Authentication comes before everything else about a request, its path included.
pub(super) async fn request(
    context: Context<'_>,
    family: Family,
    path: &MediaPath<'_>,
) -> Result<DownloadRequest, respond::ApiError> {
    let caller = context.reader(family).await?;
    let wait = query::wait(context.query())?;
    Ok(DownloadRequest { mxc: parse_mxc(path)?, caller, server: context.tenant.name.clone(), wait })
}

/// A response that may be kept and asked about again.
pub(super) fn validated(status: StatusCode, body: MediaBody, etag: HeaderValue) -> Response<MediaBody> {
    let mut response = respond::response(status, body);
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag);
    headers.insert(header::CACHE_CONTROL, CACHE_CONTROL);
    response
}

fn describe(response: &mut Response<MediaBody>, record: &MediaRecord, file_name: Option<&FileName>) {
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, BYTES);
    headers.insert(header::CONTENT_DISPOSITION, respond::disposition(&record.content_type, file_name));
    // A `ContentType` is fit to stand in a header.
    if let Ok(value) = HeaderValue::from_str(record.content_type.as_str()) {
        headers.insert(header::CONTENT_TYPE, value);
    }
}
