//! [`Settings`] into a running repository and its routes.

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use async_trait::async_trait;
use mmr_core::{
    MediaRepository,
    backend::{
        net::{EgressPolicy, NetFederation, NetOptions, SigningKeys},
        object_store::{DirectoryOptions, ObjectStoreDatastore},
    },
    datastore::{CachedDatastore, Datastore, Datastores},
    lifecycle::Background,
    policy::Policies,
    store::MediaStore,
    types::{DatastoreId, MediaKind, Mxc},
};

use ruma::OwnedUserId;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    DatastoreSettings, HomeserverSettings, NetworkSettings, Settings, StorageSettings, database::Database,
};
use crate::{
    auth::{Admins, AppServices, Authenticator, Homeserver, TokenCache},
    service::{DatastoreSummary, MediaService, Readiness, Tenant},
};

/// Everything that runs.
#[derive(Debug)]
pub struct Wired {
    /// The repository.
    pub repository: Arc<MediaRepository>,
    /// Its routes.
    pub service: MediaService,
    /// Tokens to forget when another node tells of a logout.
    pub tokens: Vec<TokenCache>,
    /// Work that authentication left behind.
    pub background: Background,
    database: Database,
}

/// Opens database and datastores and puts the services on top.
///
/// Errors say which setting to look at. Needs a tokio runtime.
pub async fn wire(settings: &Settings) -> anyhow::Result<Wired> {
    let database = Database::open(&settings.database).await?;
    let store = database.store();
    let datastores = open_datastores(&settings.datastores, settings.cache.memory_bytes)?;
    require_known_datastores(&*store, &settings.datastores).await?;
    let policies = settings.homeservers.iter().map(|host| (host.name.clone(), host.policy.clone()));
    let federation = Arc::new(network(settings)?);
    let mut builder = MediaRepository::builder(Arc::clone(&store), datastores, Policies::new(policies))
        .render_limits(settings.render)
        .fetch_limits(settings.fetches)
        .task_workers(settings.task_workers)
        .share_fetches(database.is_shared())
        .federation(Arc::<NetFederation>::clone(&federation));
    // Files without a name, beside those that are kept: temporary directories are often memory.
    if let Some(directory) = settings.datastores.iter().find_map(remote_directory) {
        builder = builder.spool_directory(directory);
    }
    let repository = Arc::new(builder.build());
    let background = Background::new();
    let mut builder = MediaService::builder(Arc::clone(&repository))
        .stall_timeout(settings.http.limits.stall_timeout)
        .use_forwarded_host(settings.http.use_forwarded_host)
        .readiness(Arc::new(StoreAnswers(store)))
        .network(NetFederation::clone(&federation))
        .datastores(settings.datastores.iter().map(summary).collect());
    let mut tokens = Vec::new();
    for host in &settings.homeservers {
        let tenant = tenant(host, &settings.admins, &background)?;
        tokens.extend(tenant.tokens.clone());
        builder = builder.tenant(tenant);
    }
    Ok(Wired { repository, service: builder.build(), tokens, background, database })
}

impl Wired {
    /// Lets work under way finish and closes the database. False when some did not finish within `grace`.
    pub async fn close(self, grace: Duration) -> bool {
        let done = self.repository.shutdown(grace).await;
        self.background.stop(grace).await;
        self.database.close().await;
        done
    }
}

/// Puts hot media in memory, up to `bytes` altogether.
pub(crate) fn cached(datastore: Arc<dyn Datastore>, bytes: u64) -> Arc<dyn Datastore> {
    match bytes {
        0 => datastore,
        // No object may push out more than an eighth of the others.
        _ => Arc::new(CachedDatastore::new(datastore, bytes, bytes / 8)),
    }
}

/// The Matrix network as the settings allow it.
pub(crate) fn network(settings: &Settings) -> anyhow::Result<NetFederation> {
    let NetworkSettings { ca_file, domains, allowed_networks, nameservers } = settings.network.clone();
    let extra_roots = match &ca_file {
        None => Vec::new(),
        Some(path) => CertificateDer::pem_file_iter(path).and_then(Iterator::collect).with_context(|| {
            format!("federation.caFile: no certificates in PEM form in {}", path.display())
        })?,
    };
    let options = NetOptions {
        egress: EgressPolicy::new(allowed_networks),
        nameservers,
        extra_roots,
        domains,
        stall_timeout: settings.http.limits.stall_timeout,
        ..NetOptions::default()
    };
    let homeservers = settings.homeservers.iter().map(|host| Ok((host.name.clone(), signing_keys(host)?)));
    let homeservers = homeservers.collect::<anyhow::Result<Vec<_>>>()?;
    NetFederation::new(options, homeservers).context("federation cannot be set up")
}

fn signing_keys(host: &HomeserverSettings) -> anyhow::Result<Option<SigningKeys>> {
    let Some(path) = &host.signing_keys else {
        tracing::warn!(
            homeserver = %host.name,
            "no homeservers[].signingKeyPath: other servers will give {} only media from before it was authenticated",
            host.name
        );
        return Ok(None);
    };
    let where_it_is = || format!("homeservers[].signingKeyPath of {}: {}", host.name, path.display());
    let text = std::fs::read_to_string(path).with_context(where_it_is)?;
    SigningKeys::parse(&text).with_context(where_it_is).map(Some)
}

fn open_datastores(settings: &[DatastoreSettings], cache_bytes: u64) -> anyhow::Result<Datastores> {
    let mut builder = Datastores::builder();
    let share = cache_bytes / settings.len().max(1) as u64;
    for DatastoreSettings { id, kinds, storage } in settings {
        let datastore = open_storage(id, storage)?;
        builder = builder.add(DatastoreId::parse(id)?, cached(datastore, share), kinds);
    }
    Ok(builder.build())
}

fn open_storage(id: &str, storage: &StorageSettings) -> anyhow::Result<Arc<dyn Datastore>> {
    let StorageSettings::Directory { path, fsync } = storage;
    let directory = ObjectStoreDatastore::directory(path, DirectoryOptions { fsync: *fsync });
    let directory = directory.with_context(|| {
        format!("datastore {id}: the directory {} cannot be used (opts.path)", path.display())
    })?;
    Ok(Arc::new(directory))
}

fn summary(datastore: &DatastoreSettings) -> DatastoreSummary {
    let StorageSettings::Directory { path, .. } = &datastore.storage;
    DatastoreSummary { id: datastore.id.clone(), kind: "file", uri: path.display().to_string() }
}

fn remote_directory(datastore: &DatastoreSettings) -> Option<PathBuf> {
    let StorageSettings::Directory { path, .. } = &datastore.storage;
    datastore.kinds.contains(&MediaKind::Remote).then(|| path.clone())
}

/// Media in a datastore that is not configured could not be read, nor told from orphans.
async fn require_known_datastores(
    store: &dyn MediaStore,
    settings: &[DatastoreSettings],
) -> anyhow::Result<()> {
    let known: HashSet<&str> = settings.iter().map(|datastore| &*datastore.id).collect();
    for id in store.datastores().await.context("the database cannot be read")? {
        anyhow::ensure!(
            known.contains(id.as_str()),
            "the database names media in datastore {id:?}, which `datastores` does not list; add it (with an empty \
             forKinds if nothing new is to go there)"
        );
    }
    Ok(())
}

fn tenant(
    host: &HomeserverSettings,
    admins: &HashSet<OwnedUserId>,
    background: &Background,
) -> anyhow::Result<Tenant> {
    let homeserver =
        Homeserver::new(&host.cs_api, host.timeout).with_context(|| format!("homeserver {}", host.name))?;
    let homeserver = Arc::new(homeserver);
    let asking: Arc<dyn Authenticator> = Arc::<Homeserver>::clone(&homeserver);
    let tokens = TokenCache::new(asking, host.token_ttl, background.clone());
    let mut authenticator: Arc<dyn Authenticator> = Arc::new(tokens.clone());
    if !host.app_services.is_empty() {
        authenticator = Arc::new(AppServices::new(host.app_services.clone(), authenticator));
    }
    if !admins.is_empty() {
        authenticator = Arc::new(Admins::new(admins.clone(), authenticator));
    }
    let mut tenant = Tenant::new(host.name.clone(), authenticator);
    tenant.homeserver = Some(homeserver);
    tenant.tokens = Some(tokens);
    tenant.reported_max_bytes = host.reported_max_bytes;
    Ok(tenant)
}

/// Ready once the database answers; the datastores were opened before.
#[derive(Debug)]
struct StoreAnswers(Arc<dyn MediaStore>);

#[async_trait]
impl Readiness for StoreAnswers {
    async fn check(&self) -> Result<(), String> {
        let probe = Mxc::from_parts("healthz.invalid", "probe").map_err(|error| error.to_string())?;
        match self.0.lookup(&probe).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "not ready: the database does not answer");
                Err("the database does not answer".to_owned())
            }
        }
    }
}
