//! Fetching media of other servers, and knowing who asks for ours.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header, request::Parts};
use ruma::{OwnedServerName, ServerName};

use super::{
    Authenticator, Destination, KeyFetcher, NetError, NetOptions, RemoteKeys, Signer, SigningKeys,
    body::{self, Bounds},
    client::HttpClient,
    fetch::Fetch,
    length::Trailers,
};
use crate::{
    clock::Clock,
    federation::{Federation, FederationError, FetchRequest, RemoteMedia},
};

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("mmr/", env!("CARGO_PKG_VERSION")));
/// Longest answer about signing keys.
const MAX_KEYS: u64 = 64 << 10;
/// Longest wait for it.
const KEYS_TIMEOUT: Duration = Duration::from_secs(20);

/// The Matrix network over HTTPS ([spec]). Cheap to clone; all clones share their connections.
///
/// [spec]: https://spec.matrix.org/v1.19/server-server-api/#content-repository
#[derive(Clone, Debug)]
pub struct NetFederation(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: HttpClient,
    signer: Signer,
    authenticator: Authenticator,
    trailers: Trailers,
    stall_timeout: Duration,
}

impl NetFederation {
    /// For these local homeservers, each with its signing keys. Without keys, media is asked for on the deprecated
    /// endpoints only, which do not have what was uploaded since authentication came.
    ///
    /// Errors when the resolver or TLS cannot be set up, or when an option cannot be used.
    pub fn new(
        options: NetOptions,
        homeservers: impl IntoIterator<Item = (OwnedServerName, Option<SigningKeys>)>,
    ) -> Result<Self, NetError> {
        let clock: Arc<dyn Clock> = Arc::clone(&options.clock);
        let stall_timeout = options.stall_timeout;
        let client = HttpClient::new(options)?;
        let (mut local, mut signing) = (HashSet::new(), HashMap::new());
        for (name, keys) in homeservers {
            if let Some(keys) = keys {
                signing.insert(name.clone(), keys);
            }
            local.insert(name);
        }
        let keys = RemoteKeys::new(Arc::new(Keys { client: client.clone(), stall_timeout }), clock);
        let authenticator = Authenticator::new(keys, local);
        let (signer, trailers) = (Signer::new(signing), Trailers::new());
        Ok(Self(Arc::new(Inner { client, signer, authenticator, trailers, stall_timeout })))
    }

    /// Where a server is, as far as is known or can be found out.
    pub async fn locate(&self, server: &ServerName) -> Result<Destination, NetError> {
        self.0.client.locate(server).await
    }

    /// What a server says about itself ([spec]): JSON text of at most 64 KiB.
    ///
    /// [spec]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1version
    pub async fn version(&self, server: &ServerName) -> Result<Bytes, FederationError> {
        get_small(&self.0.client, server, "/_matrix/federation/v1/version", self.0.stall_timeout).await
    }

    /// The signing keys that a server publishes ([spec]): JSON text of at most 64 KiB, nothing checked.
    ///
    /// [spec]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2server
    pub async fn published_keys(&self, server: &ServerName) -> Result<Bytes, FederationError> {
        get_small(&self.0.client, server, KEYS, self.0.stall_timeout).await
    }
}

#[async_trait]
impl Federation for NetFederation {
    async fn fetch(&self, request: FetchRequest) -> Result<RemoteMedia, FederationError> {
        let Inner { client, signer, trailers, stall_timeout, .. } = &*self.0;
        let bounds = Bounds { max_bytes: request.max_bytes, stall_timeout: *stall_timeout };
        Fetch { client, signer, trailers, request: &request, bounds, headers: common_headers() }.run().await
    }

    async fn authenticate(&self, request: &Parts) -> Result<OwnedServerName, FederationError> {
        self.0.authenticator.authenticate(request).await
    }
}

const KEYS: &str = "/_matrix/key/v2/server";

#[derive(Debug)]
struct Keys {
    client: HttpClient,
    stall_timeout: Duration,
}

#[async_trait]
impl KeyFetcher for Keys {
    async fn fetch(&self, server: &ServerName) -> Result<Bytes, FederationError> {
        get_small(&self.client, server, KEYS, self.stall_timeout).await
    }
}

async fn get_small(
    client: &HttpClient,
    server: &ServerName,
    target: &str,
    stall_timeout: Duration,
) -> Result<Bytes, FederationError> {
    let work = async {
        let response = client.get_from_server(server, target, common_headers(), KEYS_TIMEOUT).await?;
        if !response.status().is_success() {
            let status = response.status();
            return Err(FederationError::Protocol(format!("{server} answered {status} to {target}")));
        }
        let bounds = Bounds { max_bytes: MAX_KEYS, stall_timeout };
        body::collect(response.into_body(), bounds).await
    };
    let late = |_| {
        let limit = KEYS_TIMEOUT;
        FederationError::from(NetError::Timeout { host: server.to_string(), limit })
    };
    tokio::time::timeout(KEYS_TIMEOUT, work).await.map_err(late)?
}

/// What every request carries.
fn common_headers() -> HeaderMap {
    HeaderMap::from_iter([(header::USER_AGENT, USER_AGENT)])
}

impl From<NetError> for FederationError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Refused { .. } | NetError::Disabled { .. } | NetError::InvalidUrl { .. } => {
                Self::Denied(error.to_string())
            }
            error => Self::Unreachable(Box::new(error)),
        }
    }
}
