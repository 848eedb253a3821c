//! Bounds on the length of a body.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use super::{ByteStream, StreamError};

/// A body that fails when it is longer than allowed, or shorter than declared.
#[derive(Debug)]
pub struct Limited {
    inner: ByteStream,
    got: u64,
    limit: u64,
    exact: bool,
}

impl Limited {
    /// Allows up to `limit` bytes.
    #[must_use]
    pub const fn at_most(inner: ByteStream, limit: u64) -> Self {
        Self { inner, got: 0, limit, exact: false }
    }

    /// Demands exactly `expected` bytes.
    #[must_use]
    pub const fn exactly(inner: ByteStream, expected: u64) -> Self {
        Self { inner, got: 0, limit: expected, exact: true }
    }

    fn error(&self) -> StreamError {
        let Self { got, limit, exact, .. } = *self;
        if exact { StreamError::Length { expected: limit, got } } else { StreamError::TooLarge { limit } }
    }
}

impl Stream for Limited {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.inner.poll_next_unpin(cx));
        Poll::Ready(match item {
            Some(Ok(chunk)) => {
                self.got = self.got.saturating_add(chunk.len() as u64);
                Some(if self.got > self.limit { Err(self.error()) } else { Ok(chunk) })
            }
            None if self.exact && self.got != self.limit => Some(Err(self.error())),
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> ByteStream {
        ByteStream::new(futures_util::stream::iter(
            ["ab", "cd"].map(|s| Ok(Bytes::from_static(s.as_bytes()))),
        ))
    }

    #[tokio::test]
    async fn a_body_of_just_the_limit_passes() {
        assert_eq!(body().limited(4).collect_up_to(9).await.unwrap(), "abcd");
        assert_eq!(body().of_length(4).collect_up_to(9).await.unwrap(), "abcd");
    }

    #[tokio::test]
    async fn one_byte_over_the_limit_fails() {
        assert!(matches!(body().limited(3).collect_up_to(9).await, Err(StreamError::TooLarge { limit: 3 })));
    }

    #[tokio::test]
    async fn a_declared_length_must_be_kept_both_ways() {
        let longer = body().of_length(3).collect_up_to(9).await;
        assert!(matches!(longer, Err(StreamError::Length { expected: 3, got: 4 })));
        let shorter = body().of_length(5).collect_up_to(9).await;
        assert!(matches!(shorter, Err(StreamError::Length { expected: 5, got: 4 })));
    }
}
