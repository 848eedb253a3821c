//! The body of every response.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body::{Body, Frame, SizeHint};
use mmr_core::stream::{ByteStream, StreamError};

/// Bytes in memory, or a stream. A stream that fails ends the connection, never the body.
#[derive(Debug, Default)]
pub struct MediaBody(Repr);

#[derive(Debug)]
enum Repr {
    Whole(Bytes),
    Stream { stream: ByteStream, left: Option<u64> },
}

impl Default for Repr {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl MediaBody {
    /// A body of `len` bytes, which `stream` yields or ends with an error.
    #[must_use]
    pub fn of_length(stream: ByteStream, len: u64) -> Self {
        match stream.try_into_bytes() {
            Ok(bytes) => Self(Repr::Whole(bytes)),
            Err(stream) => Self(Repr::Stream { stream, left: Some(len) }),
        }
    }

    /// A body of a length that nobody knows yet.
    #[must_use]
    pub const fn of_unknown_length(stream: ByteStream) -> Self {
        Self(Repr::Stream { stream, left: None })
    }
}

impl From<Bytes> for MediaBody {
    fn from(bytes: Bytes) -> Self {
        Self(Repr::Whole(bytes))
    }
}

impl Body for MediaBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match &mut self.0 {
            Repr::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Repr::Stream { stream, left } => {
                let item = ready!(stream.poll_next_unpin(cx));
                if let (Some(Ok(chunk)), Some(left)) = (&item, left) {
                    *left = left.saturating_sub(chunk.len() as u64);
                }
                if let Some(Err(error)) = &item {
                    tracing::warn!(error = error as &dyn std::error::Error, "a response broke off");
                }
                Poll::Ready(item.map(|chunk| chunk.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Repr::Whole(bytes) => bytes.is_empty(),
            Repr::Stream { left, .. } => *left == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Repr::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Repr::Stream { left: Some(left), .. } => SizeHint::with_exact(*left),
            Repr::Stream { left: None, .. } => SizeHint::new(),
        }
    }
}
