//! The HTTP client that federation and previews share.

use std::{future::Future, sync::Arc, time::Duration};

use http::{
    HeaderMap, Response,
    uri::{Authority, Scheme},
};
use hyper::body::Incoming;
use ruma::ServerName;
use url::Url;

use super::{
    connect::{Call, Route},
    discovery::{Destination, Discovery},
    error::NetError,
    options::NetOptions,
    resolve::Resolver,
    transport::{Transport, request_target},
    wellknown::WellKnown,
};

/// Finds Matrix servers and asks them, or any other host, by GET. Cheap to clone; all clones share their connections.
#[derive(Clone, Debug)]
pub(super) struct HttpClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    transport: Transport,
    discovery: Discovery,
}

impl HttpClient {
    /// Reads the system's trusted roots and, unless `options` names others, its name servers.
    pub(super) fn new(options: NetOptions) -> Result<Self, NetError> {
        let resolver = Resolver::new(&options.nameservers)?;
        let transport = Transport::new(&options, resolver.clone())?;
        let well_known = WellKnown::new(&options, transport.clone());
        let discovery = Discovery::new(options, resolver, well_known)?;
        Ok(Self(Arc::new(Inner { transport, discovery })))
    }

    /// Asks a Matrix server, wherever it is. `target` is path and query and is sent byte for byte; `timeout` ends the
    /// wait for the head of the response, the search for the server included.
    pub(super) async fn get_from_server(
        &self,
        server: &ServerName,
        target: &str,
        headers: HeaderMap,
        timeout: Duration,
    ) -> Result<Response<Incoming>, NetError> {
        let target = request_target(target)?;
        within(timeout, server.as_str(), async {
            let Destination { targets, host, tls_name, .. } = self.locate(server).await?;
            let invalid = |_| NetError::InvalidUrl { url: host.clone(), reason: "it is not a host" };
            let authority: Authority = host.parse().map_err(invalid)?;
            let route = Route { targets, tls_name: Some(tls_name) };
            self.0.transport.get(&route, Call { scheme: Scheme::HTTPS, authority, target, headers }).await
        })
        .await
    }

    /// Asks for an absolute `http` or `https` URL. Redirects are answers like any other: whoever follows one asks here
    /// again, so that it is checked again.
    pub(super) async fn get_url(
        &self,
        url: &Url,
        headers: HeaderMap,
        timeout: Duration,
    ) -> Result<Response<Incoming>, NetError> {
        let host = url.host_str().unwrap_or_default();
        within(timeout, host, self.0.transport.get_url(url, headers)).await
    }

    /// Where a server is.
    pub(super) async fn locate(&self, server: &ServerName) -> Result<Destination, NetError> {
        self.0.discovery.locate(server).await
    }

    #[cfg(test)]
    pub(super) fn idle_connections(&self) -> usize {
        self.0.transport.idle_connections()
    }
}

async fn within<T>(
    limit: Duration,
    host: &str,
    work: impl Future<Output = Result<T, NetError>>,
) -> Result<T, NetError> {
    let late = |_| NetError::Timeout { host: host.to_owned(), limit };
    tokio::time::timeout(limit, work).await.map_err(late).flatten()
}
