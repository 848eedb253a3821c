//! A clock that stands still until told otherwise.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{clock::Clock, types::Timestamp};

/// A [`Clock`] in the hands of a test. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(now.as_millis())))
    }

    /// Turns the clock to `now`, which may lie in its past.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }

    /// Turns the clock ahead.
    pub fn advance(&self, by: Duration) {
        let step = |now| Some(Timestamp::from_millis(now).plus(by).as_millis());
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).expect("every step is taken");
    }
}

/// A moment in 2023, far enough from the epoch to subtract from.
impl Default for ManualClock {
    fn default() -> Self {
        Self::at(Timestamp::from_millis(1_700_000_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_move_together() {
        let clock = ManualClock::default();
        let before = clock.now();
        clock.clone().advance(Duration::from_secs(5));
        assert_eq!(clock.now().since(before), Duration::from_secs(5));
    }
}
