//! Bodies that tell whether they get on.

use std::{
    future::Future as _,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use ::object_store::client::{HttpError, HttpErrorKind};
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use super::{Outgoing, Source, Stalled};

/// Bytes that hyper gets at once. It asks for more when they are about to be sent, so the pieces tell how that goes.
const PIECE: usize = 64 << 10;

/// A body to the store, in pieces that are counted.
pub(super) struct Paced {
    inner: Outgoing,
    rest: Bytes,
    moved: Arc<AtomicU64>,
}

impl Paced {
    pub(super) fn new(inner: Outgoing, moved: Arc<AtomicU64>) -> Self {
        Self { inner, rest: Bytes::new(), moved }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Source;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Source>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
        self.moved.fetch_add(1, Ordering::Relaxed);
        let len = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.len() as u64, self.inner.size_hint());
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

/// A body from the store, which fails when nothing comes for a while.
pub(super) struct Watched {
    inner: Incoming,
    stall_timeout: Duration,
    // Armed only while nothing is there to read.
    silence: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(super) fn new(inner: Incoming, stall_timeout: Duration) -> Self {
        Self { inner, stall_timeout, silence: None }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            this.silence = None;
            let broken = |error| HttpError::new(HttpErrorKind::Interrupted, error);
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        let limit = this.stall_timeout;
        let silence = this.silence.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(silence.as_mut().poll(cx));
        Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Timeout, Stalled(limit)))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
