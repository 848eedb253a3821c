//! Work that leaves room for others.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Spreads bytes over time.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: Option<u64>,
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(per_second: Option<u64>) -> Self {
        Self { per_second: per_second.filter(|&rate| rate > 0), next: Mutex::new(Instant::now()) }
    }

    /// Waits until `bytes` more may go.
    pub(super) async fn wait_for(&self, bytes: u64) {
        let Some(rate) = self.per_second else { return };
        let start = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let start = (*next).max(Instant::now());
            *next = start + duration(bytes, rate);
            start
        };
        tokio::time::sleep_until(start).await;
    }
}

fn duration(bytes: u64, rate: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_go_no_faster_than_allowed() {
        let (pace, start) = (Pace::new(Some(1000)), Instant::now());
        for _ in 0..11 {
            pace.wait_for(500).await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        let (pace, start) = (Pace::new(None), Instant::now());
        pace.wait_for(u64::MAX).await;
        pace.wait_for(u64::MAX).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
