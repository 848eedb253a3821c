//! The media routes as a hyper service, for this server and for anybody else's.

use std::{
    collections::HashMap, error::Error as StdError, future::Future, pin::Pin, sync::Arc, time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use mmr_core::{MediaRepository, backend::net::NetFederation};
use ruma::{OwnedServerName, ServerName};

use crate::{
    api,
    auth::{Authenticator, Homeserver, TokenCache},
    forwarded,
    observe::Observer,
    respond::{self, ApiError, MediaBody},
    route::Endpoint,
};

/// Answers requests for the media of one or several homeservers. Cheap to clone; a hyper `Service` over any body.
///
/// Paths that are not about media are answered 404 `M_UNRECOGNIZED`: whoever mounts this beside other routes asks
/// [`MediaService::handles`] first.
#[derive(Clone, Debug)]
pub struct MediaService(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) repository: Arc<MediaRepository>,
    pub(crate) tenants: HashMap<String, Arc<Tenant>>,
    pub(crate) only: Option<Arc<Tenant>>,
    pub(crate) use_forwarded_host: bool,
    pub(crate) stall_timeout: Duration,
    pub(crate) ready: Arc<dyn Readiness>,
    pub(crate) network: Option<NetFederation>,
    pub(crate) datastores: Vec<DatastoreSummary>,
}

/// What administrators are told about a datastore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatastoreSummary {
    /// Its ID.
    pub id: String,
    /// `file`, `s3`, `gcs` or `azure`.
    pub kind: &'static str,
    /// The directory, or `s3://host/bucket`, `gs://bucket`, `azure://account/container`.
    pub uri: String,
}

/// One homeserver as the routes see it.
#[derive(Debug)]
pub struct Tenant {
    /// Its server name.
    pub name: OwnedServerName,
    /// Who its users are.
    pub authenticator: Arc<dyn Authenticator>,
    /// Its client-server API, when `/versions` and `/logout` are to be passed through.
    pub homeserver: Option<Arc<Homeserver>>,
    /// Remembered tokens to drop at logout.
    pub tokens: Option<TokenCache>,
    /// What `/config` tells clients (`m.upload.size`, in bytes); `None` tells nothing.
    pub reported_max_bytes: Option<u64>,
    pub(crate) observer: Observer,
}

/// Whether the repository can serve.
#[async_trait::async_trait]
pub trait Readiness: std::fmt::Debug + Send + Sync + 'static {
    /// `Err` says what is missing.
    async fn check(&self) -> Result<(), String>;
}

/// Collects what a [`MediaService`] is made of.
#[derive(Debug)]
#[must_use]
pub struct MediaServiceBuilder {
    repository: Arc<MediaRepository>,
    tenants: Vec<Tenant>,
    use_forwarded_host: bool,
    stall_timeout: Duration,
    ready: Arc<dyn Readiness>,
    network: Option<NetFederation>,
    datastores: Vec<DatastoreSummary>,
}

#[derive(Debug)]
struct AlwaysReady;

#[async_trait::async_trait]
impl Readiness for AlwaysReady {
    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Tenant {
    /// A homeserver whose users `authenticator` knows.
    pub fn new(name: OwnedServerName, authenticator: Arc<dyn Authenticator>) -> Self {
        let observer = Observer::new(&name);
        Self { name, authenticator, homeserver: None, tokens: None, reported_max_bytes: None, observer }
    }
}

impl MediaServiceBuilder {
    /// Adds a homeserver.
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.tenants.push(tenant);
        self
    }

    /// Lets `X-Forwarded-Host` select the homeserver. Default: false.
    pub const fn use_forwarded_host(mut self, yes: bool) -> Self {
        self.use_forwarded_host = yes;
        self
    }

    /// How long an uploading client may be silent. Default: 60 s.
    pub const fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.stall_timeout = timeout;
        self
    }

    /// What `/healthz` asks. Default: always ready.
    pub fn readiness(mut self, ready: Arc<dyn Readiness>) -> Self {
        self.ready = ready;
        self
    }

    /// What administrators test federation with. Default: nothing, and the endpoint is unknown.
    pub fn network(mut self, network: NetFederation) -> Self {
        self.network = Some(network);
        self
    }

    /// What administrators are told about the datastores. Default: nothing.
    pub fn datastores(mut self, datastores: Vec<DatastoreSummary>) -> Self {
        self.datastores = datastores;
        self
    }

    /// Builds the service. With a single homeserver the `Host` header does not matter.
    #[must_use]
    pub fn build(self) -> MediaService {
        let Self { repository, tenants, use_forwarded_host, stall_timeout, ready, network, datastores } =
            self;
        let tenants: HashMap<_, _> = tenants
            .into_iter()
            .map(|tenant| (tenant.name.as_str().to_ascii_lowercase(), Arc::new(tenant)))
            .collect();
        let only = match tenants.len() {
            1 => tenants.values().next().cloned(),
            _ => None,
        };
        MediaService(Arc::new(Inner {
            repository,
            tenants,
            only,
            use_forwarded_host,
            stall_timeout,
            ready,
            network,
            datastores,
        }))
    }
}

impl MediaService {
    /// Starts with the repository that the routes serve.
    pub fn builder(repository: Arc<MediaRepository>) -> MediaServiceBuilder {
        MediaServiceBuilder {
            repository,
            tenants: Vec::new(),
            use_forwarded_host: false,
            stall_timeout: Duration::from_mins(1),
            ready: Arc::new(AlwaysReady),
            network: None,
            datastores: Vec::new(),
        }
    }

    /// Whether `path` is one of the media routes.
    #[must_use]
    pub fn handles(path: &str) -> bool {
        Endpoint::parse(path).is_some()
    }

    /// Answers one request. Never fails: errors are answers too.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<MediaBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        if head.method == Method::OPTIONS {
            return no_content();
        }
        let Some(endpoint) = Endpoint::parse(head.uri.path()) else {
            return ApiError::unrecognized().into_response();
        };
        if !endpoint.methods().contains(&head.method) {
            return ApiError::wrong_method(allow(endpoint.methods())).into_response();
        }
        if endpoint == Endpoint::Health {
            return api::health(&*self.0.ready).await;
        }
        let Some(tenant) = self.tenant(&head) else {
            return unknown_host(&head).into_response();
        };
        let has_body = !body.is_end_stream();
        let observed = tenant.observer.begin(&endpoint, &head.method);
        let mut response =
            api::dispatch(api::Context { service: &self.0, tenant, head: &head }, endpoint, body)
                .await
                .unwrap_or_else(ApiError::into_response);
        observed.end(response.status());
        // A body that was refused may still be on its way. The connection ends with it, and the client has to be told:
        // it would send its next request into the closing connection. (HTTP/2 resets the stream instead.)
        if has_body && !response.status().is_success() && head.version <= Version::HTTP_11 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn tenant(&self, head: &http::request::Parts) -> Option<&Arc<Tenant>> {
        if self.0.only.is_some() {
            return self.0.only.as_ref();
        }
        let host = forwarded::request_host(head, self.0.use_forwarded_host)?.to_ascii_lowercase();
        self.0.tenants.get(&host).or_else(|| self.0.tenants.get(forwarded::without_port(&host)))
    }
}

impl<B> hyper::service::Service<Request<B>> for MediaService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response<MediaBody>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(this.respond(request).await) })
    }
}

impl Tenant {
    pub(crate) fn server_name(&self) -> &ServerName {
        &self.name
    }
}

/// `OPTIONS` succeeds everywhere without running an endpoint (specification, "Web browser clients").
fn no_content() -> Response<MediaBody> {
    let mut response = respond::response(StatusCode::NO_CONTENT, MediaBody::default());
    response.headers_mut().insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

fn allow(methods: &[Method]) -> HeaderValue {
    let names: Vec<&str> = methods.iter().map(Method::as_str).chain(["OPTIONS"]).collect();
    HeaderValue::try_from(names.join(", ")).unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"))
}

fn unknown_host(head: &http::request::Parts) -> ApiError {
    let host = forwarded::request_host(head, true).unwrap_or_default();
    tracing::warn!(host, "a request for a host that is no configured homeserver; see homeservers[].name");
    let error = "No homeserver of that name is served here";
    ApiError::new(StatusCode::MISDIRECTED_REQUEST, "M_UNKNOWN", error)
}
