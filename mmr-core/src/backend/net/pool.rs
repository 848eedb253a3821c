//! Open connections, by where they lead.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use hyper::rt::Executor as _;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;

use super::{
    connect::{Connection, Connector, Route},
    discovery::Target,
    error::NetError,
};

/// Unused connections that are kept, in all and of one route.
const MAX_IDLE: usize = 256;
const MAX_IDLE_PER_ROUTE: usize = 8;
/// Routes that are remembered before those without connections are forgotten.
const MAX_ROUTES: usize = 1024;

/// Connections to use again. Cheap to clone; all clones share them.
#[derive(Clone, Debug)]
pub(super) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connector: Connector,
    idle_timeout: Duration,
    table: Mutex<Table>,
}

/// A connection for one call.
pub(super) struct Lease {
    pub(super) connection: Connection,
    /// Whether it has served before, and may be dead without anybody knowing yet.
    pub(super) reused: bool,
}

/// What of a route makes its connections interchangeable: the order to try the targets in does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    targets: Vec<Target>,
    tls_name: Option<String>,
}

#[derive(Debug, Default)]
struct Table {
    routes: HashMap<Key, Entry>,
    reaping: bool,
}

#[derive(Default)]
struct Entry {
    /// The one used last comes last.
    idle: Vec<Idle>,
    /// One call at a time per connection: everybody who finds none opens another.
    speaks_http1: bool,
    /// Held while opening a connection that others may be able to share.
    opening: Arc<tokio::sync::Mutex<()>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// No connections yet. Each is kept for `idle_timeout` after its last use.
    pub(super) fn new(connector: Connector, idle_timeout: Duration) -> Self {
        Self(Arc::new(Inner { connector, idle_timeout, table: Mutex::default() }))
    }

    /// A connection that is open already, or a new one.
    pub(super) async fn lease(&self, route: &Route) -> Result<Lease, NetError> {
        let key = Key::of(route);
        let found = || self.with_entry(&key, |entry| entry.take(self.0.idle_timeout));
        let reused = |connection| Ok(Lease { connection, reused: true });
        if let Some(connection) = found() {
            return reused(connection);
        }
        let (opening, speaks_http1) =
            self.with_entry(&key, |entry| (Arc::clone(&entry.opening), entry.speaks_http1));
        if speaks_http1 {
            return self.open(route).await;
        }
        let guard = opening.try_lock();
        if guard.is_err() {
            // Whoever waits does so once. If there is nothing to share then, waiting in line would only add up.
            drop(opening.lock().await);
        }
        match found() {
            Some(connection) => reused(connection),
            None => self.open(route).await,
        }
    }

    /// A new connection.
    pub(super) async fn open(&self, route: &Route) -> Result<Lease, NetError> {
        // Boxed, because it is rare and far larger than what a call over an open connection needs.
        let connection = Box::pin(self.0.connector.connect(route)).await?;
        let key = Key::of(route);
        match connection.share() {
            Some(shared) => self.keep(&key, shared),
            None => self.with_entry(&key, |entry| entry.speaks_http1 = true),
        }
        Ok(Lease { connection, reused: false })
    }

    /// Takes a connection back once its response has been read. Those that others share are here anyway.
    pub(super) fn give_back(&self, route: &Route, connection: Connection) {
        let Connection::Http1(mut sender) = connection else { return };
        let (pool, key) = (self.clone(), Key::of(route));
        TokioExecutor::new().execute(async move {
            if sender.ready().await.is_ok() {
                pool.keep(&key, Connection::Http1(sender));
            }
        });
    }

    /// Forgets what is open there: one connection was dead, and the others are probably no better.
    pub(super) fn forget(&self, route: &Route) {
        self.with_entry(&Key::of(route), |entry| entry.idle.clear());
    }

    fn keep(&self, key: &Key, connection: Connection) {
        self.with_entry(key, |entry| {
            entry.idle.push(Idle { connection, since: Instant::now() });
            if entry.idle.len() > MAX_IDLE_PER_ROUTE {
                entry.idle.remove(0);
            }
        });
        self.0.lock().evict();
    }

    fn with_entry<T>(&self, key: &Key, use_entry: impl FnOnce(&mut Entry) -> T) -> T {
        let mut table = self.0.lock();
        if !table.reaping {
            table.reaping = true;
            TokioExecutor::new().execute(reap(Arc::downgrade(&self.0), self.0.idle_timeout));
        }
        if table.routes.len() >= MAX_ROUTES {
            table.sweep(self.0.idle_timeout);
        }
        use_entry(table.routes.entry(key.clone()).or_default())
    }

    #[cfg(test)]
    pub(super) fn idle_connections(&self) -> usize {
        self.0.lock().idle()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn of(route: &Route) -> Self {
        let mut targets = route.targets.clone();
        targets.sort();
        Self { targets, tls_name: route.tls_name.clone() }
    }
}

impl Table {
    fn idle(&self) -> usize {
        self.routes.values().map(|entry| entry.idle.len()).sum()
    }

    /// Closes the connections that were not used for longest, down to the number that is kept.
    fn evict(&mut self) {
        for _ in MAX_IDLE..self.idle() {
            let stalest = self.routes.values_mut().filter(|entry| !entry.idle.is_empty());
            if let Some(entry) = stalest.min_by_key(|entry| entry.idle[0].since) {
                entry.idle.remove(0);
            }
        }
    }

    fn sweep(&mut self, idle_timeout: Duration) {
        self.routes.retain(|_, entry| {
            entry.idle.retain(|idle| idle.is_fresh(idle_timeout));
            !entry.idle.is_empty()
        });
    }
}

impl Entry {
    /// A connection to send a call over. One that others can use as well stays here too.
    fn take(&mut self, idle_timeout: Duration) -> Option<Connection> {
        while let Some(idle) = self.idle.pop() {
            if !idle.is_fresh(idle_timeout) {
                continue;
            }
            if let Some(shared) = idle.connection.share() {
                self.idle.push(Idle { connection: idle.connection, since: Instant::now() });
                return Some(shared);
            }
            return Some(idle.connection);
        }
        None
    }
}

impl Idle {
    fn is_fresh(&self, idle_timeout: Duration) -> bool {
        self.connection.is_usable() && self.since.elapsed() < idle_timeout
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("idle", &self.idle.len()).finish_non_exhaustive()
    }
}

/// Closes connections that nobody uses, until there are none.
async fn reap(pool: Weak<Inner>, idle_timeout: Duration) {
    loop {
        tokio::time::sleep(idle_timeout).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut table = pool.lock();
        table.sweep(idle_timeout);
        if table.routes.is_empty() {
            table.reaping = false;
            return;
        }
    }
}
