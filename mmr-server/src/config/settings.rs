//! What a configuration means: checked, typed, without defaults left to fill in.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use mmr_core::{
    backend::{
        azure::AzureOptions,
        gcs::GcsOptions,
        postgres::PostgresOptions,
        s3::{S3Links, S3Options},
    },
    download::FetchLimits,
    policy::ServerPolicy,
    thumbnail::RenderLimits,
    types::MediaKind,
};
use ruma::{OwnedServerName, OwnedUserId};

use super::values::{LogLevel, Pattern, Secret};
use crate::server::HttpLimits;

/// Everything that the server is run with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Listener and limits on connections.
    pub http: HttpSettings,
    /// Logging.
    pub log: LogSettings,
    /// Where records are kept.
    pub database: DatabaseSettings,
    /// Where bytes are kept.
    pub datastores: Vec<DatastoreSettings>,
    /// Hot bytes.
    pub cache: CacheSettings,
    /// Bounds on rendering.
    pub render: RenderLimits,
    /// Age at which thumbnails are dropped; `None` for never.
    pub thumbnail_lifetime: Option<Duration>,
    /// Bounds on fetching from other servers.
    pub fetches: FetchLimits,
    /// Background tasks that run here at the same time.
    pub task_workers: usize,
    /// How other servers are reached.
    pub network: NetworkSettings,
    /// The homeservers.
    pub homeservers: Vec<HomeserverSettings>,
    /// Users with rights over the whole repository.
    pub admins: HashSet<OwnedUserId>,
    /// Host and port of the listener for metrics.
    pub metrics: Option<(String, u16)>,
    /// Keys that the file sets although they have no effect in this version.
    pub unsupported: Vec<String>,
}

/// Listener and limits on connections.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Host and port to listen on.
    pub listen: (String, u16),
    /// What a client may take up.
    pub limits: HttpLimits,
    /// `X-Forwarded-Host` wins over `Host`.
    pub use_forwarded_host: bool,
}

/// Logging.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// Least important level.
    pub level: LogLevel,
    /// JSON lines.
    pub json: bool,
    /// Colours on the standard output.
    pub colors: bool,
    /// Directory for daily files; `None` for the standard output alone.
    pub directory: Option<PathBuf>,
}

/// Where records are kept.
#[derive(Clone, Debug)]
pub enum DatabaseSettings {
    /// A file of the embedded database.
    Sqlite(PathBuf),
    /// A Postgres database.
    Postgres(PostgresOptions),
}

impl DatabaseSettings {
    /// The key, and what it names unless that is secret.
    #[must_use]
    pub fn named(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("database.sqlite: {}", path.display()),
            Self::Postgres(_) => "database.postgres: the database".to_owned(),
        }
    }
}

/// One datastore.
#[derive(Clone, Debug)]
pub struct DatastoreSettings {
    /// Its immutable name.
    pub id: String,
    /// What new objects it takes of everybody.
    pub kinds: Vec<MediaKind>,
    /// What it is.
    pub storage: StorageSettings,
}

impl DatastoreSettings {
    /// Whether clients can be sent there.
    #[must_use]
    pub fn redirects(&self) -> bool {
        match &self.storage {
            StorageSettings::Directory { .. } => false,
            StorageSettings::Bucket(bucket) => {
                let links = bucket.store.links();
                links.public_base_url.is_some() || links.presign.is_some()
            }
        }
    }
}

/// Where the objects of a datastore lie.
#[derive(Clone, Debug)]
pub enum StorageSettings {
    /// In a directory.
    Directory {
        /// The directory.
        path: PathBuf,
        /// Sync files and directories at commit.
        fsync: bool,
    },
    /// In a bucket.
    Bucket(Box<BucketSettings>),
}

/// A bucket, or what else a cloud calls it.
#[derive(Clone, Debug)]
pub struct BucketSettings {
    /// How it is reached and used; its trusted authorities are still in `ca_file`.
    pub store: BucketStore,
    /// Directory for temporary files.
    pub temp_dir: Option<PathBuf>,
    /// File with trusted authorities.
    pub ca_file: Option<PathBuf>,
    /// Send clients there even if the object is cached.
    pub redirect_when_cached: bool,
}

/// Whose bucket it is.
#[derive(Clone, Debug)]
pub enum BucketStore {
    /// That of an S3-compatible store.
    S3(S3Options),
    /// One of Google Cloud Storage.
    Gcs {
        /// How it is reached and used; its key is still in `credentials_file`.
        options: GcsOptions,
        /// File with the key of a service account.
        credentials_file: PathBuf,
    },
    /// A container of Azure Blob Storage.
    Azure(AzureOptions),
}

impl BucketStore {
    /// What `type` calls it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::S3(_) => "s3",
            Self::Gcs { .. } => "gcs",
            Self::Azure(_) => "azure",
        }
    }

    const fn links(&self) -> &S3Links {
        match self {
            Self::S3(options) => &options.links,
            Self::Gcs { options, .. } => &options.links,
            Self::Azure(options) => &options.links,
        }
    }
}

impl fmt::Display for BucketStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3(options) => write!(f, "s3://{}/{}", options.endpoint, options.bucket),
            Self::Gcs { options, .. } => write!(f, "gs://{}", options.bucket),
            Self::Azure(options) => write!(f, "azure://{}/{}", options.account, options.container),
        }
    }
}

impl fmt::Display for StorageSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path, .. } => path.display().fmt(f),
            Self::Bucket(bucket) => bucket.store.fmt(f),
        }
    }
}

/// Hot bytes.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// Memory in bytes; 0 for none.
    pub memory_bytes: u64,
    /// Directory, and bytes in it, for copies of what lies in buckets.
    pub disk: Option<(PathBuf, u64)>,
}

/// How other servers are reached.
#[derive(Clone, Debug, Default)]
pub struct NetworkSettings {
    /// File with trusted roots beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Servers that are not looked up, and the `host:port` to connect to.
    pub domains: HashMap<OwnedServerName, String>,
    /// Networks that may be connected to although they are not public.
    pub allowed_networks: Vec<IpNet>,
    /// DNS servers to ask instead of the system's.
    pub nameservers: Vec<SocketAddr>,
}

/// One homeserver.
#[derive(Clone, Debug)]
pub struct HomeserverSettings {
    /// Its server name.
    pub name: OwnedServerName,
    /// Base URL of its client-server API.
    pub cs_api: String,
    /// Longest wait for an answer of its client-server API.
    pub timeout: Duration,
    /// How long a token is remembered.
    pub token_ttl: Duration,
    /// File with the keys that its requests to other servers are signed with.
    pub signing_keys: Option<PathBuf>,
    /// Application services whose tokens are known without asking.
    pub app_services: Vec<AppService>,
    /// What `/config` tells clients.
    pub reported_max_bytes: Option<u64>,
    /// Its rules.
    pub policy: ServerPolicy,
}

/// An application service whose token is known.
#[derive(Clone, Debug)]
pub struct AppService {
    /// A name for people.
    pub id: String,
    /// Its token.
    pub as_token: Secret,
    /// Who it is when it does not say.
    pub sender: OwnedUserId,
    /// Whom it may act as.
    pub namespaces: Vec<Pattern>,
}
