//! The file as it is written: matrix-media-repo's keys with matrix-media-repo's compiled defaults, and our own.
//!
//! Nothing here is checked beyond one key at a time; `validate.rs` looks at keys together.

mod media;
mod network;
mod planned;
mod server;
mod storage;

use ruma::OwnedUserId;

use self::{
    media::TaskPool,
    planned::{Archiving, Identicons, Pgo, Plugin, RateLimit, Redis, Retention, Sentry, UrlPreviews},
};
pub(super) use self::{
    media::{DownloadCache, Downloads, Thumbnails, Uploads},
    network::{Egress, Federation},
    planned::{Quarantine, Timeouts},
    server::{AccessTokens, Homeserver, Metrics, Repo, SharedSecret},
    storage::{Database, DatastoreEntry, DatastoreOpts},
};
use super::{
    schema::{Located, section},
    values::Free,
};

section! {
    /// The whole file.
    struct Main {
        /// The listener, its limits, and logging.
        "repo" => repo: Repo = Repo::default(), Used Global;
        /// Fetching from other servers.
        "federation" => federation: Federation = Federation::default(), Used Global;
        /// Outgoing connections.
        "egress" => egress: Egress = Egress::default(), Used Global;
        /// Where records are kept.
        "database" => database: Database = Database::default(), Used Global;
        /// The homeservers that are served.
        "homeservers" => homeservers: Vec<Located<Homeserver>> = Vec::new(), Used Global;
        /// User ids with rights over the whole repository.
        "admins" => admins: Vec<OwnedUserId> = Vec::new(), Used Global;
        /// A token with administrator's rights on every host.
        "sharedSecretAuth" => shared_secret_auth: SharedSecret = SharedSecret::default(), Planned Global;
        /// Checking access tokens.
        "accessTokens" => access_tokens: AccessTokens = AccessTokens::default(), Used Host;
        /// Where bytes are kept.
        "datastores" => datastores: Located<Vec<Located<DatastoreEntry>>> = Located::default_of(Vec::new()), Used Host;
        /// Exports of a user's or server's media.
        "archiving" => archiving: Archiving = Archiving::default(), Planned Host;
        /// Uploads of local users.
        "uploads" => uploads: Uploads = Uploads::default(), Used Host;
        /// Downloads.
        "downloads" => downloads: Downloads = Downloads::default(), Used Host;
        /// Previews of web pages.
        "urlPreviews" => url_previews: UrlPreviews = UrlPreviews::default(), Planned Host;
        /// Thumbnails.
        "thumbnails" => thumbnails: Thumbnails = Thumbnails::default(), Used Host;
        /// Requests and bytes per client address.
        "rateLimit" => rate_limit: RateLimit = RateLimit::default(), Planned Global;
        /// Generated avatars.
        "identicons" => identicons: Identicons = Identicons::default(), Planned Host;
        /// What quarantined media is answered with.
        "quarantine" => quarantine: Quarantine = Quarantine::default(), Planned Host;
        /// How long other servers may take.
        "timeouts" => timeouts: Timeouts = Timeouts::default(), Used Host;
        /// Prometheus metrics on a listener of their own.
        "metrics" => metrics: Metrics = Metrics::default(), Used Global;
        /// Programs that are asked about each upload.
        "plugins" => plugins: Vec<Plugin> = Vec::new(), Planned Global;
        /// Switches for experiments; matrix-media-repo has none either at present.
        "featureSupport" => feature_support: Free = Free::default(), Planned Host;
        /// A cache that several processes share.
        "redis" => redis: Redis = Redis::default(), Ignored Global;
        /// Reports of crashes to sentry.io.
        "sentry" => sentry: Sentry = Sentry::default(), Ignored Global;
        /// Background tasks.
        "tasks" => tasks: TaskPool = TaskPool::default(), Planned Global;
        /// Profiles sent to matrix-media-repo's developers.
        "pgo" => pgo: Pgo = Pgo::default(), Ignored Global;
        /// How long media is kept.
        "retention" => retention: Retention = Retention::default(), Planned Global;
    }
}
