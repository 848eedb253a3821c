//! Requests that wait for an upload to a reserved name (MSC2246).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use crate::types::Mxc;

/// Wakes whoever waits for an MXC URI. Cheap to clone.
///
/// The number of waiters is bounded: handing out many names that are never filled must not tie up every connection.
#[derive(Clone, Debug)]
pub struct Waiters(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    count: usize,
    // Dropping a sender wakes all of its receivers.
    by_mxc: HashMap<Mxc, watch::Sender<()>>,
}

/// A place in the queue. Take it before looking whether the bytes are there, so that no wake-up is missed.
#[derive(Debug)]
pub struct Waiter {
    all: Arc<Inner>,
    mxc: Mxc,
    woken: Option<watch::Receiver<()>>,
}

impl Waiters {
    /// Lets up to `max` requests wait at a time.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Inner { max, waiting: Mutex::default() }))
    }

    /// Takes a place; `None` when too many wait already.
    #[must_use]
    pub fn register(&self, mxc: &Mxc) -> Option<Waiter> {
        let mut waiting = self.0.lock();
        if waiting.count >= self.0.max {
            return None;
        }
        waiting.count += 1;
        let sender = waiting.by_mxc.entry(mxc.clone()).or_insert_with(|| watch::Sender::new(()));
        let woken = Some(sender.subscribe());
        Some(Waiter { all: Arc::clone(&self.0), mxc: mxc.clone(), woken })
    }

    /// Wakes all who wait for `mxc`.
    pub fn wake(&self, mxc: &Mxc) {
        self.0.lock().by_mxc.remove(mxc);
    }

    /// Wakes all: something may have been missed.
    pub fn wake_all(&self) {
        self.0.lock().by_mxc.clear();
    }
}

impl Waiter {
    /// Waits until woken, at most `timeout`. False when it was not woken.
    pub async fn wait(mut self, timeout: Duration) -> bool {
        let Some(woken) = &mut self.woken else { return false };
        // The only thing that ever happens to the channel is that its sender is dropped.
        tokio::time::timeout(timeout, woken.changed()).await.is_ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiting = self.all.lock();
        waiting.count -= 1;
        self.woken = None;
        if waiting.by_mxc.get(&self.mxc).is_some_and(|sender| sender.receiver_count() == 0) {
            waiting.by_mxc.remove(&self.mxc);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mxc(id: &str) -> Mxc {
        Mxc::from_parts("example.org", id).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_up_between_registering_and_waiting_is_not_missed() {
        let waiters = Waiters::new(2);
        let (first, second) = (waiters.register(&mxc("a")).unwrap(), waiters.register(&mxc("a")).unwrap());
        waiters.wake(&mxc("a"));
        assert!(first.wait(Duration::ZERO).await);
        assert!(second.wait(Duration::from_secs(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_named_media_is_woken() {
        let waiters = Waiters::new(2);
        let waiter = waiters.register(&mxc("a")).unwrap();
        waiters.wake(&mxc("b"));
        assert!(!waiter.wait(Duration::from_secs(1)).await);
    }

    #[tokio::test]
    async fn there_are_never_more_waiters_than_allowed_and_leaving_makes_room() {
        let waiters = Waiters::new(1);
        let waiter = waiters.register(&mxc("a")).unwrap();
        assert!(waiters.register(&mxc("b")).is_none());
        drop(waiter);
        assert!(waiters.register(&mxc("b")).is_some());
        assert!(waiters.0.lock().by_mxc.is_empty());
    }
}
