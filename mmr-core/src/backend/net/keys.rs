//! The keys of other servers, fetched from them and remembered.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use ruma::{OwnedServerName, ServerName};
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio_util::task::TaskTracker;

use self::published::PublishedKeys;
use crate::{clock::Clock, federation::FederationError, types::Timestamp};

mod published;

/// Servers remembered at most.
const CAPACITY: u64 = 10_000;
/// How long a failure answers for the next attempt.
const REMEMBER_FAILURE: Duration = Duration::from_secs(30);
/// How old keys must be for a key that is not among them to be looked for again.
const LOOK_AGAIN: Duration = Duration::from_mins(1);
/// How often one server is asked, at most. Only those whose keys are valid for seconds get this far.
const FETCHES: usize = 4;
const PER: Duration = Duration::from_mins(1);
/// Servers asked at the same time, at most.
const CONCURRENT: usize = 256;

/// Gets the answer of a server to `GET /_matrix/key/v2/server`.
#[async_trait]
pub trait KeyFetcher: fmt::Debug + Send + Sync + 'static {
    /// The body of the answer, unchecked, of at most 64 KiB: larger ones are an error, not collected. Ends in bounded
    /// time.
    async fn fetch(&self, server: &ServerName) -> Result<Bytes, FederationError>;
}

/// The keys of other servers. Cheap to clone.
///
/// Keys are remembered for half of the time that they are valid, and serve for the other half where the server cannot be
/// reached. A server is asked by one request at a time; whoever else needs its keys waits, for no other server. A failure
/// is remembered for 30 seconds, and the absence of a key for a minute, so that a flood of requests costs one fetch.
///
/// Needs a tokio runtime: a fetch goes on when the request that caused it is given up. Otherwise, whoever sends requests
/// in another server's name and hangs up would keep its keys from being learnt.
#[derive(Clone, Debug)]
pub struct RemoteKeys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fetcher: Arc<dyn KeyFetcher>,
    clock: Arc<dyn Clock>,
    servers: moka::sync::Cache<OwnedServerName, Arc<Remote>>,
    slots: Arc<Semaphore>,
    fetches: TaskTracker,
}

/// One server.
#[derive(Debug, Default)]
struct Remote {
    known: Mutex<Known>,
    /// Held while the server is asked.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Known {
    keys: Option<PublishedKeys>,
    fetched: Timestamp,
    failure: Option<(Timestamp, Failure)>,
    /// When the server was asked last.
    asked: Vec<Timestamp>,
}

/// Why there are no keys.
#[derive(Clone, Debug)]
enum Failure {
    Unreachable(Unreachable),
    Unusable(String),
}

#[derive(Clone, Debug, thiserror::Error)]
#[error("the keys of {server} could not be fetched: {reason}")]
struct Unreachable {
    server: OwnedServerName,
    reason: String,
}

impl RemoteKeys {
    /// Knows no keys yet.
    #[must_use]
    pub fn new(fetcher: Arc<dyn KeyFetcher>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            fetcher,
            clock,
            servers: moka::sync::Cache::new(CAPACITY),
            slots: Arc::new(Semaphore::new(CONCURRENT)),
            fetches: TaskTracker::new(),
        }))
    }

    /// The public key with which `server` signs requests under this id, `ed25519:VERSION`.
    ///
    /// Errors: [`FederationError::Unreachable`] when the keys could not be fetched, lately or now;
    /// [`FederationError::BadSignature`] when the server has no such key, or publishes keys that are not to be trusted.
    pub async fn get(&self, server: &ServerName, id: &str) -> Result<[u8; 32], FederationError> {
        let Inner { clock, servers, .. } = &*self.0;
        let remote = match servers.get(server) {
            Some(remote) => remote,
            None => servers.get_with(server.to_owned(), Arc::default),
        };
        if let Some(answer) = remote.known().answer(server, id, clock.now()) {
            return answer;
        }
        let turn = if let Ok(turn) = Arc::clone(&remote.turn).try_lock_owned() {
            turn
        } else {
            // Nobody waits for a refresh who can do without.
            if let Some(key) = remote.known().valid(id, clock.now()) {
                return Ok(key);
            }
            Arc::clone(&remote.turn).lock_owned().await
        };
        // Whoever had the turn before may have found out.
        let answer = remote.known().answer(server, id, clock.now());
        if let Some(answer) = answer {
            return answer;
        }
        self.fetch(server, &remote, turn).await;
        let (known, now) = (remote.known(), clock.now());
        let answer = known.answer(server, id, now).or_else(|| known.valid(id, now).map(Ok));
        answer.unwrap_or_else(|| Err(unknown_key(server, id)))
    }

    /// Asks a server, or not, when it was asked too often already.
    async fn fetch(&self, server: &ServerName, remote: &Arc<Remote>, turn: OwnedMutexGuard<()>) {
        let Inner { clock, slots, fetches, .. } = &*self.0;
        // Never closed, so that it cannot fail.
        let slot = Arc::clone(slots).acquire_owned().await;
        if !remote.known().may_ask(clock.now()) {
            return;
        }
        let (inner, server, remote) = (Arc::clone(&self.0), server.to_owned(), Arc::clone(remote));
        let fetch = fetches.spawn(async move {
            let outcome = match inner.fetcher.fetch(&server).await {
                Ok(body) => PublishedKeys::parse(&body, &server, inner.clock.now())
                    .map_err(|why| Failure::Unusable(format!("the keys of {server} cannot be used: {why}"))),
                Err(error) => Err(Failure::unreachable(&server, &error)),
            };
            remote.known().learn(outcome, inner.clock.now());
            drop((turn, slot));
        });
        if let Err(error) = fetch.await {
            tracing::error!(error = &error as &dyn std::error::Error, "keys were not fetched");
        }
    }
}

impl Remote {
    /// Never held across an await.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What is known about a key; `None` when the server has to be asked.
    fn answer(
        &self,
        server: &ServerName,
        id: &str,
        now: Timestamp,
    ) -> Option<Result<[u8; 32], FederationError>> {
        if let Some(keys) = self.keys.as_ref().filter(|keys| now < keys.refresh) {
            if let Some(key) = keys.get(id) {
                return Some(Ok(key));
            }
            if now < self.fetched.plus(LOOK_AGAIN) {
                return Some(Err(unknown_key(server, id)));
            }
        }
        let (_, failure) = self.failure.as_ref().filter(|(until, _)| now < *until)?;
        Some(self.valid(id, now).ok_or_else(|| failure.clone().into()))
    }

    /// The key, while it is believed, if it ought to be asked for again or not.
    fn valid(&self, id: &str, now: Timestamp) -> Option<[u8; 32]> {
        self.keys.as_ref().filter(|keys| now < keys.expiry)?.get(id)
    }

    /// Notes that the server is asked now, unless it was too often.
    fn may_ask(&mut self, now: Timestamp) -> bool {
        // A clock that was turned back forgets.
        self.asked.retain(|&then| then <= now && now.since(then) < PER);
        let may = self.asked.len() < FETCHES;
        if may {
            self.asked.push(now);
        }
        may
    }

    fn learn(&mut self, outcome: Result<PublishedKeys, Failure>, now: Timestamp) {
        match outcome {
            Ok(keys) => {
                *self = Self {
                    keys: Some(keys),
                    fetched: now,
                    failure: None,
                    asked: std::mem::take(&mut self.asked),
                };
            }
            Err(failure) => {
                // Once per failed fetch, however many requests it refuses.
                match &failure {
                    Failure::Unreachable(error) => tracing::warn!("{error}"),
                    Failure::Unusable(why) => tracing::warn!("{why}"),
                }
                self.failure = Some((now.plus(REMEMBER_FAILURE), failure));
            }
        }
    }
}

impl Failure {
    fn unreachable(server: &ServerName, error: &FederationError) -> Self {
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            reason += &format!(": {error}");
            cause = error.source();
        }
        Self::Unreachable(Unreachable { server: server.to_owned(), reason })
    }
}

impl From<Failure> for FederationError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(error) => Self::Unreachable(Box::new(error)),
            Failure::Unusable(why) => Self::BadSignature(why),
        }
    }
}

fn unknown_key(server: &ServerName, id: &str) -> FederationError {
    FederationError::BadSignature(format!("{server} publishes no key {id}"))
}

#[cfg(test)]
mod tests;
