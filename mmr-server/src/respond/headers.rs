//! Headers that every response has, and validators.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use mmr_core::types::BlobRecord;

use super::MediaBody;

/// What every response carries ([spec], and what Synapse and matrix-media-repo add).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#content-repository
const COMMON: [(HeaderName, HeaderValue); 10] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS")),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "X-Requested-With, Content-Type, Authorization, Range, If-Range, If-None-Match",
        ),
    ),
    // Players and resuming clients in pages may read these; the rest of a response stays hidden from them.
    (
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, Retry-After",
        ),
    ),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; \
             style-src 'unsafe-inline'; media-src 'self'; object-src 'self';",
        ),
    ),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("x-content-security-policy"), HeaderValue::from_static("sandbox;")),
    (
        HeaderName::from_static("x-robots-tag"),
        HeaderValue::from_static("noindex, nofollow, noarchive, noimageindex"),
    ),
];

/// A response with what every response carries. Cloning a finished map costs a third of filling one.
pub(crate) fn response(status: StatusCode, body: MediaBody) -> Response<MediaBody> {
    static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
        let mut headers = HeaderMap::with_capacity(24);
        headers.extend(COMMON);
        headers
    });
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = HEADERS.clone();
    response
}

/// A strong validator: a digest of the bytes.
pub(crate) fn etag(blob: &BlobRecord) -> HeaderValue {
    let text = match &blob.checksum {
        Some(checksum) => format!("\"{checksum}\""),
        None => format!("\"sha256-{}\"", blob.hash),
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Whether `If-None-Match` names `etag` (weak comparison, RFC 9110 section 13.1.2).
pub(crate) fn matches_any(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    headers.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        value.as_bytes().split(|&b| b == b',').map(<[u8]>::trim_ascii).any(|candidate| {
            candidate == b"*" || candidate.strip_prefix(b"W/").unwrap_or(candidate) == etag.as_bytes()
        })
    })
}

/// Whether a `Range` may be honoured: there is no `If-Range`, or it names `etag` (strong comparison, RFC 9110 section
/// 13.1.5). A date never matches, since no modification time is told.
pub(crate) fn range_is_current(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    headers.get(header::IF_RANGE).is_none_or(|value| value == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    const ETAG: HeaderValue = HeaderValue::from_static("\"abc\"");

    #[test]
    fn an_etag_is_found_in_a_list_weak_or_strong() {
        for value in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            assert!(matches_any(&headers(header::IF_NONE_MATCH, value), &ETAG), "{value}");
        }
        for value in ["\"ab\"", "abc", ""] {
            assert!(!matches_any(&headers(header::IF_NONE_MATCH, value), &ETAG), "{value}");
        }
        assert!(!matches_any(&HeaderMap::new(), &ETAG));
    }

    #[test]
    fn a_range_is_honoured_only_for_the_very_same_bytes() {
        assert!(range_is_current(&HeaderMap::new(), &ETAG));
        assert!(range_is_current(&headers(header::IF_RANGE, "\"abc\""), &ETAG));
        for value in ["W/\"abc\"", "\"x\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert!(!range_is_current(&headers(header::IF_RANGE, value), &ETAG), "{value}");
        }
    }
}
