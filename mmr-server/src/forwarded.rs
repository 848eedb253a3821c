//! What a reverse proxy says about a request.

use http::{header, request::Parts};

/// The host that a request is for, with its port where it has one: `X-Forwarded-Host` where that is trusted, `Host`, or the
/// authority of an HTTP/2 request.
pub(crate) fn request_host(head: &Parts, use_forwarded_host: bool) -> Option<&str> {
    let header = |name: header::HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let forwarded =
        if use_forwarded_host { header(header::HeaderName::from_static("x-forwarded-host")) } else { None };
    // Each proxy appends; the first one is what the client asked for.
    let forwarded =
        forwarded.and_then(|list| list.split(',').next()).map(str::trim).filter(|host| !host.is_empty());
    forwarded
        .or_else(|| header(header::HOST))
        .or_else(|| head.uri.authority().map(http::uri::Authority::as_str))
}

/// `host` without its port. The brackets of an IPv6 literal stay.
pub(crate) fn without_port(host: &str) -> &str {
    let end = if host.starts_with('[') { host.find(']').map(|end| end + 1) } else { host.find(':') };
    &host[..end.unwrap_or(host.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(headers: &[(&str, &str)], trusted: bool) -> Option<String> {
        let request = headers
            .iter()
            .fold(http::Request::builder().uri("/x"), |request, (name, value)| request.header(*name, *value));
        request_host(&request.body(()).unwrap().into_parts().0, trusted).map(str::to_owned)
    }

    #[test]
    fn a_forwarded_host_wins_only_where_it_is_trusted() {
        let headers = [("Host", "internal:8000"), ("X-Forwarded-Host", "example.org, proxy.internal")];
        assert_eq!(host(&headers, true).as_deref(), Some("example.org"));
        assert_eq!(host(&headers, false).as_deref(), Some("internal:8000"));
        assert_eq!(host(&[("Host", "a"), ("X-Forwarded-Host", " ")], true).as_deref(), Some("a"));
        assert_eq!(host(&[], true), None);
    }

    #[test]
    fn a_port_is_taken_off_names_and_addresses() {
        for (host, bare) in [
            ("example.org:8448", "example.org"),
            ("example.org", "example.org"),
            ("1.2.3.4:80", "1.2.3.4"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("[::1", "[::1"),
            ("", ""),
        ] {
            assert_eq!(without_port(host), bare);
        }
    }
}
