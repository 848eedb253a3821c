//! The connections that read.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    SqliteOptions, conn,
    error::{Closed, fault},
    row::run,
};
use crate::store::StoreError;

/// A bounded number of connections. Each is opened when all others are busy, and kept.
pub(super) struct Readers(Arc<Pool>);

struct Pool {
    path: PathBuf,
    options: SqliteOptions,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: &Path, options: SqliteOptions) -> Self {
        let permits = Arc::new(Semaphore::new(options.readers.max(1) as usize));
        Self(Arc::new(Pool { path: path.to_owned(), options, permits, idle: Mutex::default() }))
    }

    /// Runs `query` in a transaction on a thread that may block.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let pool = Arc::clone(&self.0);
        let permit = Arc::clone(&pool.permits).acquire_owned().await.map_err(|_| Closed)?;
        let work = move || {
            let answer = pool.query(query);
            drop(permit);
            answer
        };
        spawn_blocking(work).await.map_err(|error| StoreError::Other(error.into()))?
    }

    /// Closes the connections, and refuses queries from now on.
    pub(super) fn close(&self) {
        self.0.permits.close();
        self.0.idle().clear();
    }
}

impl Pool {
    /// A connection that did not leave its transaction cleanly, panics included, is not used again.
    fn query<T>(&self, query: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.idle().pop();
        let conn = match idle {
            Some(conn) => conn,
            None => conn::open_reader(&self.path, &self.options).map_err(fault)?,
        };
        run(&conn, "BEGIN", [])?;
        let answer = query(&conn);
        run(&conn, "COMMIT", [])?;
        let mut idle = self.idle();
        if !self.permits.is_closed() {
            idle.push(conn);
        }
        answer
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
