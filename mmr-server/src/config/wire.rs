//! [`Settings`] into a running repository and its routes.

use std::{collections::HashSet, sync::Arc, time::Duration};

use anyhow::Context as _;
use mmr_core::{
    MediaRepository,
    backend::net::{EgressPolicy, NetFederation, NetOptions, SigningKeys},
    gc::CollectorSchedule,
    lifecycle::Background,
    policy::Policies,
    store::MediaStore,
    thumbnail::{
        programs::{Programs, Tools},
        worker::{WorkerCommand, Workers},
    },
    types::Timestamp,
};

use ruma::OwnedUserId;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    DatastoreSettings, HomeserverSettings, NetworkSettings, Settings, database::Database,
    readiness::BackendsAnswer, storage,
};
use crate::{
    auth::{Admins, AppServices, Authenticator, Homeserver, TokenCache},
    cli::{RENDER_PROGRAM, RENDER_WORKER},
    service::{MediaService, Tenant},
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
    let datastores = storage::open_all(&settings.datastores, &settings.cache).await?;
    require_known_datastores(&*store, &settings.datastores).await?;
    let redirect = settings.datastores.iter().any(DatastoreSettings::redirects);
    let policies = settings.homeservers.iter().map(|host| {
        let mut policy = host.policy.clone();
        policy.downloads.redirect = redirect;
        (host.name.clone(), policy)
    });
    let federation = Arc::new(network(settings)?);
    let mut builder = MediaRepository::builder(Arc::clone(&store), datastores, Policies::new(policies))
        .render_limits(settings.render)
        .render_engine(Arc::new(render_engine(settings)))
        .collector_schedule(CollectorSchedule {
            thumbnail_lifetime: settings.thumbnail_lifetime,
            ..CollectorSchedule::default()
        })
        .fetch_limits(settings.fetches)
        .task_workers(settings.task_workers)
        .share_fetches(database.is_shared())
        .federation(Arc::<NetFederation>::clone(&federation));
    if let Some(directory) = storage::spool_directory(&settings.datastores) {
        builder = builder.spool_directory(directory);
    }
    let repository = Arc::new(builder.build());
    let background = Background::new();
    let mut builder = MediaService::builder(Arc::clone(&repository))
        .stall_timeout(settings.http.limits.stall_timeout)
        .use_forwarded_host(settings.http.use_forwarded_host)
        .readiness(Arc::new(BackendsAnswer::new(store, repository.datastores().clone())))
        .network(NetFederation::clone(&federation))
        .datastores(settings.datastores.iter().map(storage::summary).collect());
    let mut tokens = Vec::new();
    for host in &settings.homeservers {
        let tenant = tenant(host, &settings.admins, &background)?;
        tokens.extend(tenant.tokens.clone());
        builder = builder.tenant(tenant);
    }
    Ok(Wired { repository, service: builder.build(), tokens, background, database })
}

/// Workers for pictures, and around them what programs of others are needed for.
fn render_engine(settings: &Settings) -> Programs {
    let workers = Workers::new(WorkerCommand::this_program([RENDER_WORKER]), settings.render);
    let tools = Tools::find(&std::env::var_os("PATH").unwrap_or_default());
    for line in tools.summary() {
        tracing::info!("{line}");
    }
    let command = WorkerCommand::this_program([RENDER_PROGRAM]);
    let programs = Programs::new(Arc::new(workers), tools, command, settings.render);
    match storage::spool_directory(&settings.datastores) {
        Some(directory) => programs.directory(directory),
        None => programs,
    }
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

/// Media in a datastore that is not configured could not be read, nor told from orphans.
async fn require_known_datastores(
    store: &dyn MediaStore,
    settings: &[DatastoreSettings],
) -> anyhow::Result<()> {
    let known: HashSet<&str> = settings.iter().map(|datastore| &*datastore.id).collect();
    let garbage = store.garbage(1000, Timestamp::from_millis(i64::MAX as u64)).await;
    let garbage =
        garbage.context("the database cannot be read")?.into_iter().map(|location| location.datastore);
    for id in store.datastores().await.context("the database cannot be read")?.into_iter().chain(garbage) {
        anyhow::ensure!(
            known.contains(id.as_str()),
            "the database names objects in datastore {id:?}, which `datastores` does not list; add it (with an empty \
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
