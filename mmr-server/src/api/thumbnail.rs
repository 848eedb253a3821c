//! `GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}` and `GET /_matrix/media/v3/thumbnail/…`
//! ([spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediathumbnailservernamemediaid)).

use http::{HeaderValue, Method, StatusCode, header};
use mmr_core::types::{ContentType, FileName, Method as ThumbnailMethod, ThumbnailRequest};

use super::{Answer, Context, download, query};
use crate::{
    respond::{self, ApiError, MediaBody},
    route::{Family, MediaPath},
};

pub(super) async fn thumbnail(context: Context<'_>, family: Family, path: &MediaPath<'_>) -> Answer {
    let request = download::request(context, family, path).await?;
    let wanted = wanted(context.query())?;
    let thumbnail = context.service.repository.thumbnails().open(&request, &wanted).await?;
    let record = &thumbnail.record;
    let etag = respond::etag(&record.blob);
    if respond::matches_any(&context.head.headers, &etag) {
        return Ok(download::validated(StatusCode::NOT_MODIFIED, MediaBody::default(), etag));
    }
    let len = record.blob.size;
    let body = match context.head.method {
        Method::HEAD => MediaBody::default(),
        _ => MediaBody::of_length(thumbnail.body, len),
    };
    let mut response = download::validated(StatusCode::OK, body, etag);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_DISPOSITION, disposition(&record.content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    if let Ok(value) = HeaderValue::from_str(record.content_type.as_str()) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    Ok(response)
}

/// Thumbnails are named after what they are.
pub(super) fn disposition(content_type: &ContentType) -> HeaderValue {
    let extension = content_type.essence().rsplit('/').next().unwrap_or("bin");
    let file_name = FileName::new(&format!("thumbnail.{extension}"));
    respond::disposition(content_type, file_name.as_ref())
}

pub(super) fn wanted(query: &str) -> Result<ThumbnailRequest, ApiError> {
    let size = |name| match query::required::<u32>(query, name, "a number of pixels, 1 or more")? {
        0 => Err(ApiError::bad_param(name, "a number of pixels, 1 or more")),
        pixels => Ok(pixels),
    };
    let (width, height) = (size("width")?, size("height")?);
    let method = match query::get(query, "method") {
        Some(text) => text.parse().map_err(|_| ApiError::bad_param("method", "crop or scale"))?,
        None => ThumbnailMethod::Scale,
    };
    let animated = match query::boolean(query, "animated")? {
        None => query::boolean(query, "org.matrix.msc2705.animated")?,
        animated => animated,
    };
    Ok(ThumbnailRequest { width, height, method, animated, webp: false })
}
