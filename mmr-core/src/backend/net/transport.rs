//! GET over pooled connections.

use http::{
    HeaderMap, Response,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::body::Incoming;
use url::{Position, Url};

use super::{
    connect::{Call, Connector, Route},
    dial::Dialer,
    discovery::Target,
    error::NetError,
    options::NetOptions,
    pool::Pool,
    resolve::Resolver,
    tls,
};

/// Asks whom it is told to ask. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    pool: Pool,
}

impl Transport {
    pub(super) fn new(options: &NetOptions, resolver: Resolver) -> Result<Self, NetError> {
        let dialer = Dialer::new(resolver, options.egress.clone());
        let tls = tls::config(&options.extra_roots)?;
        let connector = Connector::new(dialer, tls, options.connect_timeout);
        Ok(Self { pool: Pool::new(connector, options.idle_timeout) })
    }

    /// Sends a call there and waits for the head of the response.
    pub(super) async fn get(&self, route: &Route, call: Call) -> Result<Response<Incoming>, NetError> {
        let mut lease = self.pool.lease(route).await?;
        let mut result = lease.connection.send(call.clone()).await;
        if result.is_err() && lease.reused {
            // It may have been closed just now, or long ago without a word. A GET may be sent twice.
            self.pool.forget(route);
            lease = self.pool.open(route).await?;
            result = lease.connection.send(call.clone()).await;
        }
        let failed = |source| NetError::Http { host: call.authority.host().to_owned(), source };
        let response = result.map_err(failed)?;
        self.pool.give_back(route, lease.connection);
        Ok(response)
    }

    /// Asks for a URL. The host's certificate has to be for the host.
    pub(super) async fn get_url(
        &self,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, NetError> {
        let (route, call) = prepare(url, headers)?;
        self.get(&route, call).await
    }

    #[cfg(test)]
    pub(super) fn idle_connections(&self) -> usize {
        self.pool.idle_connections()
    }
}

/// A request target as it goes over the wire, byte for byte.
pub(super) fn request_target(target: &str) -> Result<PathAndQuery, NetError> {
    let invalid = |reason| NetError::InvalidUrl { url: target.to_owned(), reason };
    if !target.starts_with('/') || target.contains('#') {
        return Err(invalid("it is not a path with an optional query"));
    }
    target.parse().map_err(|_| invalid("it has characters that HTTP does not allow"))
}

fn prepare(url: &Url, headers: HeaderMap) -> Result<(Route, Call), NetError> {
    let invalid = |reason| NetError::InvalidUrl { url: url.to_string(), reason };
    let scheme = match url.scheme() {
        "https" => Scheme::HTTPS,
        "http" => Scheme::HTTP,
        _ => return Err(invalid("it is neither http nor https")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("it contains a user name or password"));
    }
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(invalid("it has no host"));
    };
    let authority: Authority = url[Position::BeforeHost..Position::AfterPort]
        .parse()
        .map_err(|_| invalid("its host has characters that HTTP does not allow"))?;
    let target = request_target(&url[Position::BeforePath..Position::AfterQuery])?;
    let tls_name = (scheme == Scheme::HTTPS).then(|| host.to_owned());
    let route = Route { targets: vec![Target { host: host.to_owned(), port }], tls_name };
    Ok((route, Call { scheme, authority, target, headers }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(url: &str) -> Result<(Route, Call), NetError> {
        prepare(&url.parse().unwrap(), HeaderMap::new())
    }

    #[test]
    fn a_url_says_where_to_connect_and_what_to_ask() {
        let (route, call) = prepared("https://example.org:8443/a%2Fb/?c=%20d#e").unwrap();
        assert_eq!(route.targets, [Target { host: "example.org".to_owned(), port: 8443 }]);
        assert_eq!(route.tls_name.as_deref(), Some("example.org"));
        assert_eq!(call.authority, "example.org:8443");
        assert_eq!(call.target, "/a%2Fb/?c=%20d");
    }

    #[test]
    fn plain_http_has_no_certificate() {
        let (route, call) = prepared("http://[2001:db8::1]").unwrap();
        assert_eq!(route.targets[0].port, 80);
        assert_eq!(route.tls_name, None);
        assert_eq!(call.authority, "[2001:db8::1]");
        assert_eq!(call.target, "/");
    }

    #[test]
    fn only_http_without_credentials_is_asked_for() {
        for url in ["ftp://example.org/", "file:///etc/passwd", "data:,x", "https://user@example.org/"] {
            assert!(matches!(prepared(url), Err(NetError::InvalidUrl { .. })), "{url}");
        }
    }

    #[test]
    fn a_request_target_is_kept_byte_for_byte() {
        for target in
            ["/", "/a//b/../%2e%2E/é?x=%zz&", "/_matrix/federation/v1/media/download/a?timeout_ms=1"]
        {
            assert_eq!(request_target(target).unwrap().as_str(), target);
        }
        for target in ["", "a", "/a#b", "/a b", "/a\r\nHost: b"] {
            assert!(request_target(target).is_err(), "{target:?}");
        }
    }
}
