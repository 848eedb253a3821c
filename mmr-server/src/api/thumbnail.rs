//! `GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}` and `GET /_matrix/media/v3/thumbnail/…`
//! ([spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediathumbnailservernamemediaid)).

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use mmr_core::types::{ContentType, FileName, Method as ThumbnailMethod, ThumbnailRequest};

use super::{Answer, Context, download, query};
use crate::{
    respond::{self, ApiError, MediaBody},
    route::{Family, MediaPath},
};

pub(super) async fn thumbnail(context: Context<'_>, family: Family, path: &MediaPath<'_>) -> Answer {
    let request = download::request(context, family, path).await?;
    let webp = accepts_webp(&context.head.headers);
    let wanted = ThumbnailRequest { webp, ..wanted(context.query())? };
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
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(value) = HeaderValue::from_str(record.content_type.as_str()) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    Ok(response)
}

/// Whether the client names WebP among what it takes. `*/*` says nothing: every client sends it.
fn accepts_webp(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|media_range| {
        let mut parts = media_range.split(';').map(str::trim);
        let is_webp = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("image/webp"));
        let refused = |part: &str| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.and_then(|weight| weight.parse::<f32>().ok()).is_some_and(|weight| weight <= 0.0)
        };
        is_webp && !parts.any(refused)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(value: &'static str) -> bool {
        accepts_webp(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))]))
    }

    #[test]
    fn a_client_that_names_webp_takes_it() {
        assert!(accepts("image/webp"));
        assert!(accepts("image/avif,image/webp,image/png;q=0.8,*/*;q=0.5"));
        assert!(accepts("image/png, Image/WebP ; q=0.3"));
    }

    #[test]
    fn a_client_that_does_not_name_webp_or_refuses_it_does_not() {
        assert!(!accepts_webp(&HeaderMap::new()));
        assert!(!accepts("*/*"));
        assert!(!accepts("image/*"));
        assert!(!accepts("image/webp;q=0"));
        assert!(!accepts("image/webpx"));
    }
}
