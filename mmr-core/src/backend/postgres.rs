//! The [`MediaStore`](crate::store::MediaStore) for several nodes: a Postgres database (version 13 or newer).
//!
//! - Every method is one round trip: a statement, or a function in the database where several steps belong together.
//!   Functions run at READ COMMITTED and decide races by row locks, unique indexes and advisory locks, taken in one order
//!   (`migrations/postgres`); a deadlock that is left is repeated. Only listing media by age alone takes several
//!   statements, so that none comes past everything that the filter spares.
//! - Everything lies in the schema `mmr`, and every name is qualified. So the database may be another software's, such as
//!   matrix-media-repo's, whose tables are not touched.
//! - Statements are prepared where a session is ours. Behind a pooler such as `PgBouncer` in transaction mode, which is found
//!   out by trying, nothing is relied on that belongs to a session. It needs no settings for us; its
//!   `max_prepared_statements` and `ignore_startup_parameters` may be anything.
//! - No call outlasts its timeouts. A lost connection is replaced; what only reads is repeated then, once. A write whose
//!   answer is lost is [`StoreError::Unavailable`], and may have happened.
//! - Nodes hear each other by LISTEN and NOTIFY, behind a pooler by polling. That takes one connection more than the pool's.
//! - Nodes of two neighbouring versions may share the database while one replaces the other.
//! - NUL in free text becomes U+FFFD, and numbers beyond 2^63 - 1, which only a time at the end of all time can be, are
//!   kept as 2^63 - 1.
//!
//! The files mirror `store/`.

use std::{fmt, sync::Arc, time::Duration};

use tokio_util::sync::DropGuard;

use self::{connect::Connector, media::Queue, news::News, pool::Pool, statistics::Statistics};
use crate::store::StoreError;

mod blobs;
mod connect;
mod dsn;
mod error;
mod exports;
mod filter;
mod leases;
mod media;
mod migrate;
mod moderation;
mod news;
mod pool;
mod previews;
mod row;
mod signals;
mod statistics;
mod tasks;
mod thumbnails;
mod tls;
mod uploads;
mod usage;

pub use self::dsn::DsnError;
pub use super::schema::{Migration, SchemaError};

/// How to reach a database, and how long to wait for it.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// A `postgres://` URL, or a list of `key=value` as libpq takes it. TLS is up to `sslmode` (`require` when it is
    /// missing, as in Go's lib/pq), `sslrootcert`, `sslcert` and `sslkey`:
    /// - `disable` never encrypts; `allow` does if the server refuses a connection without; `prefer` does unless the server
    ///   cannot, or refuses the connection that way;
    /// - `require` always encrypts, and checks the server's certificate like `verify-ca` if `sslrootcert` is given;
    /// - `verify-ca` and `verify-full` check it with `sslrootcert`, or else the system's trusted roots; `verify-full`
    ///   checks its name, too.
    pub url: String,
    /// Connections at most, besides the one that listens; each is opened when it is needed first.
    pub max_connections: u32,
    /// Connections that are kept while they are not needed.
    pub max_idle: u32,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
    /// How long a call waits for a free connection.
    pub acquire_timeout: Duration,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// How long a statement waits for another's lock.
    pub lock_timeout: Duration,
    /// Whether to bring an older schema up to date; otherwise connecting to one is an error.
    pub migrate: bool,
}

impl PostgresOptions {
    /// The defaults for this URL or `key=value` list.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            max_connections: 25,
            max_idle: 5,
            connect_timeout: Duration::from_secs(10),
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            migrate: true,
        }
    }
}

/// Without the URL, which may hold a password.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("max_connections", &self.max_connections)
            .field("max_idle", &self.max_idle)
            .field("connect_timeout", &self.connect_timeout)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("lock_timeout", &self.lock_timeout)
            .field("migrate", &self.migrate)
            .finish_non_exhaustive()
    }
}

/// A [`MediaStore`](crate::store::MediaStore) in a Postgres database. Clones share the connections, which are closed with
/// the last clone.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    pool: Pool,
    news: News,
    queue: Queue,
    statistics: Statistics,
    _listening: DropGuard,
}

impl PostgresStore {
    /// Connects, brings the schema up to date if need be, and begins to listen for signals.
    ///
    /// Errors: [`StoreError::Unavailable`] when the database cannot be reached; [`StoreError::Other`] with a [`DsnError`]
    /// when the connection string cannot be used, with a [`SchemaError`] when the schema cannot, and when the server
    /// refuses the user, the password or the database.
    pub async fn connect(options: PostgresOptions) -> Result<Self, StoreError> {
        let connector = connector(&options).await?;
        if options.migrate {
            migrate::migrate(&connector).await?;
        } else {
            migrate::require_current(&connector).await?;
        }
        let pool = Pool::new(connector.clone(), &options)?;
        let (news, listening) = News::start(connector, pool.clone()).await?;
        Ok(Self(Arc::new(Inner {
            pool,
            news,
            queue: Queue::default(),
            statistics: Statistics::default(),
            _listening: listening,
        })))
    }

    /// The migrations that connecting would run.
    pub async fn pending_migrations(options: &PostgresOptions) -> Result<Vec<Migration>, StoreError> {
        migrate::pending(&connector(options).await?).await
    }

    /// Runs the pending migrations, and answers which they were. Other nodes, of this version or the one before, may go on
    /// meanwhile.
    pub async fn migrate(options: &PostgresOptions) -> Result<Vec<Migration>, StoreError> {
        migrate::migrate(&connector(options).await?).await
    }

    /// Closes the connections, those in use as soon as they are not. Later calls of the store's methods are
    /// [`StoreError::Unavailable`].
    #[expect(clippy::unused_async, reason = "stores are closed alike, and others do wait")]
    pub async fn close(&self) {
        self.0.pool.close();
    }

    fn pool(&self) -> &Pool {
        &self.0.pool
    }

    fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// To be called for each row added.
    fn added(&self) {
        self.0.statistics.added(&self.0.pool);
    }

    fn news(&self) -> &News {
        &self.0.news
    }
}

/// Reading certificates blocks.
async fn connector(options: &PostgresOptions) -> Result<Connector, StoreError> {
    let options = options.clone();
    let made = tokio::task::spawn_blocking(move || Connector::new(&options)).await;
    made.map_err(|error| StoreError::Other(error.into()))?.map_err(|error| StoreError::Other(Box::new(error)))
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("pooled", &self.pool().is_pooled()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_shown_without_the_password() {
        let options = PostgresOptions::new("postgres://mmr:secret@localhost/mmr");
        assert!(!format!("{options:?}").contains("secret"));
    }
}
