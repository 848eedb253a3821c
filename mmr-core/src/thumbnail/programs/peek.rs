//! The first bytes of a stream, which stay in the stream.

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};

use crate::stream::ByteStream;

/// The first `most` bytes, or all there are before an end or an error, and the same stream as before.
pub(super) async fn peek(source: ByteStream, most: usize) -> (Bytes, ByteStream) {
    let mut source = match source.try_into_bytes() {
        Ok(whole) => return (whole.slice(..most.min(whole.len())), whole.into()),
        Err(source) => source,
    };
    let mut head = BytesMut::new();
    let mut seen = Vec::new();
    while head.len() < most
        && let Some(chunk) = source.next().await
    {
        if let Ok(chunk) = &chunk {
            head.extend_from_slice(&chunk[..chunk.len().min(most - head.len())]);
        }
        let broken = chunk.is_err();
        seen.push(chunk);
        if broken {
            break;
        }
    }
    (head.freeze(), ByteStream::new(stream::iter(seen).chain(source)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::StreamError;

    #[tokio::test]
    async fn what_was_looked_at_is_still_there() {
        let parts = [b"ab".as_slice(), b"", b"cdef", b"g"].map(|part| Ok(Bytes::from_static(part)));
        let (head, source) = peek(ByteStream::new(stream::iter(parts)), 4).await;
        assert_eq!(head, "abcd");
        assert_eq!(source.collect_up_to(7).await.unwrap(), "abcdefg");
        let (head, source) = peek(Bytes::from_static(b"abc").into(), 4).await;
        assert_eq!(head, "abc");
        assert_eq!(source.try_into_bytes().unwrap(), "abc");
    }

    #[tokio::test]
    async fn an_error_is_seen_by_who_reads_on() {
        let parts = [Ok(Bytes::from_static(b"ab")), Err(StreamError::TooLarge { limit: 1 })];
        let (head, mut source) = peek(ByteStream::new(stream::iter(parts)), 4).await;
        assert_eq!(head, "ab");
        assert_eq!(source.next().await.unwrap().unwrap(), "ab");
        assert!(source.next().await.unwrap().is_err());
        assert!(source.next().await.is_none());
    }
}
