//! How many fetches there are at once.

use std::{
    collections::{HashMap, hash_map::Entry},
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ruma::{OwnedServerName, ServerName};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{Error, Result};

/// When to come back to a queue that is full.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How long a body counts among those that arrive at once. A slow one goes on behind that, and lets others begin.
const TURN: Duration = Duration::from_secs(20);

/// Bounds on fetches from other servers: they go on when whoever asked has left, so that nothing else bounds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Bodies that arrive at the same time, at least 1. One server gets half of them. Bodies that are slow stop counting
    /// after a while, and small ones never count.
    pub bodies: usize,
    /// Fetches under way and waiting, at least 4; one server gets a quarter of them. Beyond that, requests are refused as
    /// [`Error::Busy`].
    pub queue: usize,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { bodies: 10, queue: 640 }
    }
}

/// Everything that is being fetched. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct FetchQueue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    // Those with a fetch only.
    servers: Mutex<HashMap<OwnedServerName, Share>>,
    places_each: usize,
    bodies_each: usize,
}

/// What one server has of it.
#[derive(Debug)]
struct Share {
    places: usize,
    bodies: Arc<Semaphore>,
}

impl FetchQueue {
    pub(crate) fn new(limits: FetchLimits) -> Self {
        let bodies = limits.bodies.clamp(1, Semaphore::MAX_PERMITS);
        let places = limits.queue.clamp(4, Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            places: Arc::new(Semaphore::new(places)),
            bodies: Arc::new(Semaphore::new(bodies)),
            servers: Mutex::default(),
            places_each: places / 4,
            bodies_each: bodies.div_ceil(2),
        }))
    }

    /// A place for a fetch from `server`, until it is dropped.
    pub(super) fn enter(&self, server: &ServerName) -> Result<Place> {
        let full = || Error::Busy { retry_after: RETRY_AFTER };
        let permit = Arc::clone(&self.0.places).try_acquire_owned().map_err(|_| full())?;
        let mut servers = self.servers();
        let share = servers
            .entry(server.to_owned())
            .or_insert_with(|| Share { places: 0, bodies: Arc::new(Semaphore::new(self.0.bodies_each)) });
        if share.places >= self.0.places_each {
            return Err(full());
        }
        share.places += 1;
        let of_server = Arc::clone(&share.bodies);
        drop(servers);
        Ok(Place { queue: self.clone(), server: server.to_owned(), of_server, _permit: permit })
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<OwnedServerName, Share>> {
        self.0.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to fetch something.
#[derive(Debug)]
pub(super) struct Place {
    queue: FetchQueue,
    server: OwnedServerName,
    of_server: Arc<Semaphore>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Waits until the body may begin to arrive.
    pub(super) async fn turn(&self) -> Turn {
        // In this order: what one server's fetches wait for takes nothing from the others.
        let of_server = Arc::clone(&self.of_server).acquire_owned().await.ok();
        let of_all = Arc::clone(&self.queue.0.bodies).acquire_owned().await.ok();
        Turn { _permits: (of_server, of_all) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.queue.servers().entry(self.server.clone()) {
            entry.get_mut().places -= 1;
            if entry.get().places == 0 {
                entry.remove();
            }
        }
    }
}

/// The right to receive a body.
#[derive(Debug)]
pub(super) struct Turn {
    _permits: (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>),
}

impl Turn {
    /// Runs `receiving` to its end, and ends the turn before that if it takes long.
    pub(super) async fn hold_for<T>(self, receiving: impl Future<Output = T>) -> T {
        let mut receiving = pin!(receiving);
        if let Ok(received) = timeout(TURN, &mut receiving).await {
            return received;
        }
        drop(self);
        receiving.await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use ruma::server_name;

    use super::*;

    fn queue(bodies: usize, places: usize) -> FetchQueue {
        FetchQueue::new(FetchLimits { bodies, queue: places })
    }

    fn is_refused(queue: &FetchQueue, server: &ServerName) -> bool {
        matches!(queue.enter(server), Err(Error::Busy { .. }))
    }

    #[test]
    fn one_server_gets_a_quarter_of_the_places() {
        let queue = queue(1, 8);
        let a = server_name!("a.example");
        let places = [queue.enter(a).unwrap(), queue.enter(a).unwrap()];
        assert!(is_refused(&queue, a));
        assert!(!is_refused(&queue, server_name!("b.example")));
        drop(places);
        assert!(!is_refused(&queue, a));
    }

    #[test]
    fn a_full_queue_refuses_everybody_and_a_place_given_back_is_free() {
        let queue = queue(1, 4);
        let names: Vec<OwnedServerName> =
            (0..4).map(|n| format!("{n}.example").try_into().unwrap()).collect();
        let mut places: Vec<Place> = names.iter().map(|name| queue.enter(name).unwrap()).collect();
        let late = server_name!("late.example");
        assert!(is_refused(&queue, late));
        places.pop();
        assert!(!is_refused(&queue, late));
    }

    #[test]
    fn nothing_is_kept_of_a_server_without_a_fetch() {
        let queue = queue(1, 4);
        drop(queue.enter(server_name!("a.example")).unwrap());
        assert!(queue.servers().is_empty());
    }

    #[tokio::test]
    async fn bodies_of_one_server_leave_room_for_those_of_others() {
        let queue = queue(2, 16);
        let (a, b) = (server_name!("a.example"), server_name!("b.example"));
        let (first, second, other) =
            (queue.enter(a).unwrap(), queue.enter(a).unwrap(), queue.enter(b).unwrap());
        let turn = first.turn().await;
        assert!(second.turn().now_or_never().is_none());
        assert!(other.turn().now_or_never().is_some());
        drop(turn);
        assert!(second.turn().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_does_not_hold_its_turn_for_ever() {
        let queue = queue(1, 8);
        let (slow, next) = (
            queue.enter(server_name!("a.example")).unwrap(),
            queue.enter(server_name!("b.example")).unwrap(),
        );
        let turn = slow.turn().await;
        let (arrived, arriving) = tokio::sync::oneshot::channel();
        let mut receiving = pin!(turn.hold_for(arriving));
        tokio::select! {
            _ = next.turn() => {}
            _ = &mut receiving => unreachable!("it has not arrived"),
        }
        arrived.send(5).unwrap();
        assert_eq!(receiving.await, Ok(5));
    }
}
