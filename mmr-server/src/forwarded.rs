//! tmp
pub(crate) fn request_host(head: &http::request::Parts, _f: bool) -> Option<String> {
    head.headers.get("host").and_then(|v| v.to_str().ok()).map(str::to_owned)
}
pub(crate) fn without_port(host: &str) -> &str {
    host.split(':').next().unwrap_or(host)
}
