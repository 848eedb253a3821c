//! Bodies in motion: one stream type through every seam.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream::BoxStream};

mod buffers;
mod limit;
pub(crate) mod page_cache;
mod spool;
mod stall;

pub(crate) use self::buffers::Buffers;
pub use self::{
    limit::Limited,
    spool::{Spool, SpoolReader},
    stall::Stalled,
};

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The sender broke off or sent nonsense.
    #[error("the sender broke off")]
    Sender(#[source] Box<dyn Error + Send + Sync>),
    /// The sender sent nothing for too long.
    #[error("the sender was silent for {} s", .after.as_secs())]
    Stalled {
        /// The silence that was allowed.
        after: std::time::Duration,
    },
    /// The body is longer than allowed.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// The number of bytes that was allowed.
        limit: u64,
    },
    /// The body is not as long as was declared.
    #[error("{expected} bytes were declared and {got} came")]
    Length {
        /// Bytes declared.
        expected: u64,
        /// Bytes that came.
        got: u64,
    },
    /// The storage that the body comes from failed.
    #[error("the stored body could not be read")]
    Storage(#[source] Box<dyn Error + Send + Sync>),
}

impl StreamError {
    /// Whether the sender is to blame, rather than this side.
    #[must_use]
    pub const fn is_senders_fault(&self) -> bool {
        !matches!(self, Self::Storage(_))
    }
}

/// A body: chunks of bytes that arrive over time, or one buffer that is there already.
///
/// After an error, or the end, it yields nothing more.
pub struct ByteStream(Repr);

enum Repr {
    Whole(Option<Bytes>),
    Stream(BoxStream<'static, Result<Bytes, StreamError>>),
}

impl ByteStream {
    /// Wraps a stream of chunks.
    pub fn new(stream: impl Stream<Item = Result<Bytes, StreamError>> + Send + 'static) -> Self {
        Self(Repr::Stream(stream.boxed()))
    }

    /// An empty body.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Repr::Whole(None))
    }

    /// Gives the buffer when the whole body is in memory already; otherwise gives the stream back.
    ///
    /// Lets a server send headers and a small body in one system call.
    pub fn try_into_bytes(self) -> Result<Bytes, Self> {
        match self.0 {
            Repr::Whole(bytes) => Ok(bytes.unwrap_or_default()),
            Repr::Stream(_) => Err(self),
        }
    }

    /// Fails with [`StreamError::TooLarge`] as soon as more than `limit` bytes have come.
    #[must_use]
    pub fn limited(self, limit: u64) -> Self {
        Self::new(Limited::at_most(self, limit))
    }

    /// Fails with [`StreamError::Length`] unless exactly `expected` bytes come.
    #[must_use]
    pub fn of_length(self, expected: u64) -> Self {
        match &self.0 {
            // What is in memory and has the length needs no watching.
            Repr::Whole(bytes) if bytes.as_ref().map_or(0, Bytes::len) as u64 == expected => self,
            _ => Self::new(Limited::exactly(self, expected)),
        }
    }

    /// Fails with [`StreamError::Stalled`] when no chunk comes for `after`.
    #[must_use]
    pub fn with_stall_timeout(self, after: std::time::Duration) -> Self {
        Self::new(Stalled::new(self, after))
    }

    /// Reads everything into memory, at most `limit` bytes.
    pub async fn collect_up_to(mut self, limit: u64) -> Result<Bytes, StreamError> {
        self = match self.try_into_bytes() {
            Ok(bytes) if bytes.len() as u64 <= limit => return Ok(bytes),
            Ok(_) => return Err(StreamError::TooLarge { limit }),
            Err(stream) => stream.limited(limit),
        };
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(chunk) = self.next().await {
            let chunk = chunk?;
            if first.is_empty() && all.is_empty() {
                first = chunk;
                continue;
            }
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&chunk);
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }
}

impl From<Bytes> for ByteStream {
    fn from(bytes: Bytes) -> Self {
        Self(Repr::Whole((!bytes.is_empty()).then_some(bytes)))
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = match &mut self.0 {
            Repr::Whole(bytes) => return Poll::Ready(bytes.take().map(Ok)),
            Repr::Stream(stream) => std::task::ready!(stream.poll_next_unpin(cx)),
        };
        if !matches!(item, Some(Ok(_))) {
            self.0 = Repr::Whole(None);
        }
        Poll::Ready(item)
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Whole(bytes) => write!(f, "ByteStream({} bytes)", bytes.as_ref().map_or(0, Bytes::len)),
            Repr::Stream(_) => f.write_str("ByteStream(..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn chunks(parts: &'static [&'static str]) -> ByteStream {
        ByteStream::new(stream::iter(parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes())))))
    }

    #[tokio::test]
    async fn a_body_is_collected_in_order() {
        assert_eq!(chunks(&["ab", "c", "", "de"]).collect_up_to(5).await.unwrap(), "abcde");
        assert_eq!(ByteStream::empty().collect_up_to(0).await.unwrap(), "");
    }

    #[tokio::test]
    async fn collecting_stops_at_the_limit() {
        for body in [chunks(&["ab", "cd"]), ByteStream::from(Bytes::from_static(b"abcd"))] {
            let error = body.collect_up_to(3).await.unwrap_err();
            assert!(matches!(error, StreamError::TooLarge { limit: 3 }));
        }
    }

    #[tokio::test]
    async fn nothing_comes_after_an_error() {
        let failing = stream::iter([Err(StreamError::TooLarge { limit: 1 }), Ok(Bytes::from_static(b"x"))]);
        let mut body = ByteStream::new(failing);
        assert!(body.next().await.unwrap().is_err());
        assert!(body.next().await.is_none());
    }
}
