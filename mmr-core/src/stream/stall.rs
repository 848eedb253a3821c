//! A bound on silence.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use tokio::time::{Instant, Sleep};

use super::{ByteStream, StreamError};

/// A body that fails when no chunk comes for a while. Slow is fine, silent is not.
#[derive(Debug)]
pub struct Stalled {
    inner: ByteStream,
    after: Duration,
    // Armed only while nothing is there to read: a body that keeps up costs no timer.
    silence: Option<Pin<Box<Sleep>>>,
}

impl Stalled {
    /// Allows `after` of silence before each chunk.
    #[must_use]
    pub const fn new(inner: ByteStream, after: Duration) -> Self {
        Self { inner, after, silence: None }
    }
}

impl Stream for Stalled {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Poll::Ready(item) = this.inner.poll_next_unpin(cx) {
            this.silence = None;
            return Poll::Ready(item);
        }
        let after = this.after;
        let silence =
            this.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + after)));
        silence.poll_unpin(cx).map(|()| {
            this.inner = ByteStream::empty();
            Some(Err(StreamError::Stalled { after }))
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_ends_the_body() {
        let silent =
            ByteStream::new(stream::once(async { Ok(Bytes::from_static(b"a")) }).chain(stream::pending()));
        let mut body = silent.with_stall_timeout(Duration::from_secs(5));
        assert_eq!(body.next().await.unwrap().unwrap(), "a");
        assert!(matches!(body.next().await, Some(Err(StreamError::Stalled { .. }))));
        assert!(body.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_passes() {
        let slow = stream::iter(["a", "b", "c"]).then(|s| async move {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Ok(Bytes::from_static(s.as_bytes()))
        });
        let body = ByteStream::new(slow).with_stall_timeout(Duration::from_secs(5));
        assert_eq!(body.collect_up_to(9).await.unwrap(), "abc");
    }
}
