//! How long the media in a multipart answer is, before all of it has come.
//!
//! An answer declares its own length: that of the media and of all that stands around it. What stands before the media
//! has been read by then. What stands behind it, mostly `CR LF --boundary-- CR LF`, differs from one implementation to
//! the next, but not from one answer of an implementation to the next, so the last answer of an origin tells it for the
//! next one.
//!
//! Where that is wrong, because the origin runs other software by now, the body ends with [`StreamError::Length`] and
//! the memory is corrected: at most one transfer suffers. Boundaries of another length are a sign of other software, so
//! that usually none does.
//!
//! [`StreamError::Length`]: crate::stream::StreamError::Length

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use ruma::{OwnedServerName, ServerName};

use crate::stream::{ByteStream, StreamError};

/// Origins remembered.
const CAPACITY: u64 = 10_000;
/// Longest trailer remembered. What is longer is no mere boundary, and will be different next time.
const MAX_TRAILER: u64 = 256;

/// An origin, and the length of a boundary that it made up.
type Key = (OwnedServerName, usize);

/// How many bytes come behind the media, by origin. Cheap to clone; all clones share their memory.
#[derive(Clone, Debug)]
pub(super) struct Trailers(moka::sync::Cache<Key, u64>);

impl Trailers {
    pub(super) fn new() -> Self {
        Self(moka::sync::Cache::new(CAPACITY))
    }

    /// The length of media that comes with its trailer in `rest` bytes, if that can be told, and the media, which
    /// teaches what can be told next time.
    pub(super) fn watch(
        &self,
        origin: &ServerName,
        boundary: &[u8],
        rest: u64,
        body: ByteStream,
    ) -> (Option<u64>, ByteStream) {
        let key = (origin.to_owned(), boundary.len());
        let expected = self.0.get(&key).and_then(|trailer| rest.checked_sub(trailer));
        let watched = Watched { body, got: 0, rest, expected, key, trailers: self.clone() };
        (expected, ByteStream::new(watched))
    }

    fn learn(&self, key: &Key, trailer: Option<u64>) {
        match trailer.filter(|&trailer| trailer <= MAX_TRAILER) {
            known @ Some(_) if self.0.get(key) == known => {}
            Some(trailer) => self.0.insert(key.clone(), trailer),
            None => self.0.invalidate(key),
        }
    }
}

/// Media whose trailer is measured.
struct Watched {
    body: ByteStream,
    got: u64,
    /// Bytes of the media and its trailer.
    rest: u64,
    expected: Option<u64>,
    key: Key,
    trailers: Trailers,
}

impl Stream for Watched {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.body.poll_next_unpin(cx));
        match &item {
            Some(Ok(chunk)) => {
                self.got += chunk.len() as u64;
                // The reader stops here, so the end will not be seen.
                if self.expected.is_some_and(|expected| self.got > expected) {
                    self.trailers.learn(&self.key, None);
                }
            }
            Some(Err(_)) => {}
            // Some leave out the line break behind empty media.
            None if self.got == 0 => {}
            None => self.trailers.learn(&self.key, self.rest.checked_sub(self.got)),
        }
        Poll::Ready(item)
    }
}
