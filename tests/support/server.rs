//! A media server in this process, with users who need no homeserver.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use mmr_core::{
    MediaRepository,
    backend::{memory::MemoryStore, object_store::ObjectStoreDatastore},
    clock::{Clock, SystemClock},
    datastore::{Datastore, Datastores},
    download::FetchLimits,
    federation::{Federation, NoFederation},
    gc::CollectorSchedule,
    policy::{Policies, ServerPolicy},
    store::MediaStore,
    thumbnail::{RenderEngine, RenderLimits},
    types::{Caller, DatastoreId},
};
use mmr_server::{
    MediaService,
    auth::{AuthError, Authenticator, Credentials},
    server::{HttpLimits, Server},
    service::Tenant,
};
use ruma::{OwnedServerName, OwnedUserId, ServerName};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::Client;

/// The homeserver whose media is served.
pub const SERVER_NAME: &str = "example.org";
/// Token of `@alice:example.org`.
pub const ALICE: &str = "alice-token";
/// Token of `@bob:example.org`.
pub const BOB: &str = "bob-token";
/// Token of a guest.
pub const GUEST: &str = "guest-token";

/// Token of an administrator of the repository, `@admin:example.org`.
pub const ADMIN: &str = "admin-token";

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct TestServer {
    /// Speaks to it.
    pub client: Client,
    /// Its address.
    pub address: SocketAddr,
    /// What it serves.
    pub repository: Arc<MediaRepository>,
    /// What it remembers.
    pub store: Arc<dyn MediaStore>,
    /// Where its bytes lie.
    pub datastore: Arc<dyn Datastore>,
    server: Server,
    stop: CancellationToken,
    running: JoinHandle<bool>,
}

/// Collects what a [`TestServer`] differs in from the default.
#[derive(Debug)]
#[must_use]
pub struct TestServerBuilder {
    /// The rules for uploads, downloads and thumbnails.
    pub policy: ServerPolicy,
    /// What connections may take up.
    pub limits: HttpLimits,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What it remembers; in memory by default.
    pub store: Option<Arc<dyn MediaStore>>,
    /// Where its bytes lie; in memory by default.
    pub datastore: Option<Arc<dyn Datastore>>,
    /// Who its users are; Alice, Bob and a guest by default.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// The rest of the network; there is none by default.
    pub federation: Arc<dyn Federation>,
    /// What may be fetched from it at once.
    pub fetches: FetchLimits,
    /// Whether there are other nodes on the same store.
    pub shared: bool,
    /// What may be rendered at once.
    pub render: RenderLimits,
    /// When what is cleared away.
    pub schedule: CollectorSchedule,
    /// Where it is rendered; on threads by default.
    pub engine: Option<Arc<dyn RenderEngine>>,
}

impl Default for TestServerBuilder {
    fn default() -> Self {
        Self {
            policy: ServerPolicy::default(),
            limits: HttpLimits::default(),
            clock: Arc::new(SystemClock),
            store: None,
            datastore: None,
            authenticator: None,
            federation: Arc::new(NoFederation),
            fetches: FetchLimits::default(),
            shared: false,
            render: RenderLimits::default(),
            schedule: CollectorSchedule::default(),
            engine: None,
        }
    }
}

impl TestServerBuilder {
    /// Starts the server on a free port.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(self) -> TestServer {
        self.start_with(|tenant| tenant).await
    }

    /// Starts the server with a homeserver entry that `adjust` has the last word on.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start_with(self, adjust: impl FnOnce(Tenant) -> Tenant) -> TestServer {
        let Self {
            policy,
            limits,
            clock,
            store,
            datastore,
            authenticator,
            federation,
            fetches,
            shared,
            render,
            schedule,
            engine,
        } = self;
        let name: OwnedServerName = SERVER_NAME.try_into().expect("a server name");
        let store = store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let datastore = datastore.unwrap_or_else(|| Arc::new(ObjectStoreDatastore::in_memory()));
        let id = DatastoreId::parse("test").expect("a datastore id");
        let mut repository = MediaRepository::builder(
            Arc::clone(&store),
            Datastores::single(id, Arc::clone(&datastore)),
            Policies::single(name.clone(), policy),
        )
        .clock(clock)
        .federation(federation)
        .fetch_limits(fetches)
        .share_fetches(shared)
        .collector_schedule(schedule)
        .render_limits(render);
        if let Some(engine) = engine {
            repository = repository.render_engine(engine);
        }
        let repository = Arc::new(repository.build());
        let tenant = adjust(Tenant::new(name, authenticator.unwrap_or_else(|| Arc::new(FixedUsers))));
        let service = MediaService::builder(Arc::clone(&repository))
            .stall_timeout(limits.stall_timeout)
            .tenant(tenant)
            .build();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let stop = CancellationToken::new();
        let server = Server::new(service, limits);
        let running = {
            let (server, stop) = (server.clone(), stop.clone());
            spawn(async move { server.serve(listener, stop).await })
        };
        TestServer {
            client: Client::new(address),
            address,
            repository,
            store,
            datastore,
            server,
            stop,
            running,
        }
    }
}

impl TestServer {
    /// A server with default policy, in memory.
    pub async fn start() -> Self {
        TestServerBuilder::default().start().await
    }

    /// A server with another policy, in memory.
    pub async fn with_policy(policy: ServerPolicy) -> Self {
        TestServerBuilder { policy, ..TestServerBuilder::default() }.start().await
    }

    /// Waits until so many connections are open.
    pub async fn wait_until_connections(&self, count: usize) {
        while self.server.connections() != count {
            tokio::task::yield_now().await;
        }
    }

    /// Begins shutdown without waiting for it.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Stops and waits. False when connections had to be cut.
    ///
    /// # Panics
    /// When the server panicked.
    pub async fn stop(mut self) -> bool {
        self.stop.cancel();
        let clean = (&mut self.running).await.expect("the server does not panic");
        self.repository.shutdown(Duration::from_secs(5)).await && clean
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Users by fixed tokens.
#[derive(Debug)]
struct FixedUsers;

#[async_trait]
impl Authenticator for FixedUsers {
    async fn authenticate(&self, _: &ServerName, credentials: &Credentials) -> Result<Caller, AuthError> {
        let user = |name: &str, guest| {
            let id: OwnedUserId = name.try_into().expect("a user id");
            Ok(Caller::User { id, guest })
        };
        match &*credentials.token {
            ALICE => user("@alice:example.org", false),
            BOB => user("@bob:example.org", false),
            GUEST => user("@guest:example.org", true),
            ADMIN => Ok(Caller::Admin("@admin:example.org".try_into().expect("a user id"))),
            _ => Err(AuthError::unknown_token()),
        }
    }
}

/// A directory that vanishes with the value, and its path.
#[derive(Debug)]
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    /// An empty directory.
    ///
    /// # Panics
    /// When none can be made.
    #[must_use]
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// A path in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::disallowed_methods, reason = "tests own their tasks")]
pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future)
}
