//! Whether a connection is doing anything.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::respond::MediaBody;

/// Requests under way on one connection, and since when there are none.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    // The number of requests in the upper 16 bits, milliseconds from `opened` to the last end of one in the others.
    state: AtomicU64,
}

/// How long a first request may be on its way, and how often it is looked for.
const YOUNG: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(5);

const ONE: u64 = 1 << 48;
const TIME: u64 = ONE - 1;

/// A request under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

/// A body that keeps its connection busy until it is sent.
#[derive(Debug)]
pub(super) struct BusyBody {
    body: MediaBody,
    _busy: Busy,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self { opened: Instant::now(), state: AtomicU64::new(0) }
    }

    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.state.fetch_add(ONE, Ordering::AcqRel);
        Busy(Arc::clone(self))
    }

    /// Ends at once, unless the connection is so young that its first request may be on its way: whoever sent it has reason
    /// to think that it will be answered.
    pub(super) async fn settled(&self) {
        while self.state.load(Ordering::Acquire) == 0 && self.opened.elapsed() < YOUNG {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends when there was no request for `limit`.
    pub(super) async fn idle_for(&self, limit: Duration) {
        loop {
            let state = self.state.load(Ordering::Acquire);
            let since = self.opened + Duration::from_millis(state & TIME);
            let deadline = if state >= ONE { Instant::now() + limit } else { since + limit };
            if deadline <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }

    fn end(&self) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(TIME) & TIME;
        // The time only matters when the count falls to zero; then nobody else writes it.
        let update = |state: u64| Some(((state - ONE) & !TIME) | now);
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, update);
    }
}

impl Busy {
    pub(super) const fn until_end_of(self, body: MediaBody) -> BusyBody {
        BusyBody { body, _busy: self }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Body for BusyBody {
    type Data = Bytes;
    type Error = <MediaBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_requests_is_idle_in_time() {
        let activity = Activity::new();
        let began = Instant::now();
        activity.idle_for(LIMIT).await;
        assert_eq!(began.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_keeps_a_connection_busy_and_its_end_starts_the_clock() {
        let activity = Arc::new(Activity::new());
        let (first, second) = (activity.begin(), activity.begin());
        let mut idle = std::pin::pin!(activity.idle_for(LIMIT));
        assert!((&mut idle).now_or_never().is_none());
        tokio::time::advance(LIMIT * 5).await;
        drop(first);
        assert!((&mut idle).now_or_never().is_none());
        drop(second);
        tokio::time::advance(LIMIT / 2).await;
        assert!((&mut idle).now_or_never().is_none());
        idle.await;
    }
}
