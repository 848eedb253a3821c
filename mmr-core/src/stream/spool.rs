//! A body that one task writes and many read, each at an own offset, while it grows.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt as _, path::Path, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use tokio::{sync::watch, task::spawn_blocking};

use super::{Buffers, ByteStream, StreamError, page_cache};

/// Bytes read from the file at once.
const CHUNK: usize = 128 * 1024;

/// The writing end: an unnamed temporary file that vanishes with its last reader, or a file that somebody brings.
///
/// Readers never get the last `hold_back` bytes before [`Spool::finish`], so that a verdict on the whole body can
/// still break every reader's connection. Dropping the spool unfinished fails all readers.
#[derive(Debug)]
pub struct Spool {
    shared: Arc<Shared>,
    written: u64,
    is_object: bool,
}

/// The reading end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SpoolReader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: Arc<File>,
    hold_back: u64,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    written: u64,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Complete,
    Failed,
}

#[derive(Debug, thiserror::Error)]
#[error("the writer of the body gave up")]
struct WriterGaveUp;

impl Spool {
    /// Makes an empty spool file in `directory`, or in the system's directory for temporary files.
    pub async fn create(directory: Option<&Path>, hold_back: u64) -> io::Result<Self> {
        let directory = directory.map(Path::to_path_buf);
        let make = move || directory.map_or_else(tempfile::tempfile, tempfile::tempfile_in);
        let file = spawn_blocking(make).await.map_err(io::Error::other)??;
        Ok(Self::new(Arc::new(file), false, hold_back))
    }

    /// A spool over the file of an object, which somebody else writes to.
    #[must_use]
    pub fn of_object(file: Arc<File>, hold_back: u64) -> Self {
        Self::new(file, true, hold_back)
    }

    pub(crate) fn new(file: Arc<File>, is_object: bool, hold_back: u64) -> Self {
        let state = watch::Sender::new(State { written: 0, end: End::Open });
        Self { shared: Arc::new(Shared { file, hold_back, state }), written: 0, is_object }
    }

    /// Whether somebody else writes to the file.
    #[must_use]
    pub const fn is_object(&self) -> bool {
        self.is_object
    }

    /// Lets readers see `bytes` more that were written to the file of an object.
    pub fn advance(&mut self, bytes: u64) {
        self.written += bytes;
        let written = self.written;
        self.shared.state.send_modify(|state| state.written = written);
    }

    /// Appends `chunks`; readers see them when this returns.
    pub async fn append(&mut self, chunks: Vec<Bytes>) -> Result<(), StreamError> {
        let (shared, offset) = (Arc::clone(&self.shared), self.written);
        let write = move || {
            chunks.iter().try_fold(offset, |offset, chunk| {
                shared.file.write_all_at(chunk, offset).map(|()| offset + chunk.len() as u64)
            })
        };
        let end = spawn_blocking(write).await.map_err(storage)?.map_err(storage)?;
        self.advance(end - offset);
        Ok(())
    }

    /// Declares the body complete and lets go of what was held back.
    pub fn finish(self) {
        self.shared.state.send_modify(|state| state.end = End::Complete);
    }

    /// A reader of this spool.
    #[must_use]
    pub fn reader(&self) -> SpoolReader {
        SpoolReader(Arc::clone(&self.shared))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.shared.state.send_if_modified(|state| {
            let unfinished = state.end == End::Open;
            if unfinished {
                state.end = End::Failed;
            }
            unfinished
        });
    }
}

impl SpoolReader {
    /// The bytes of `range`, waiting for those that are not there yet. An end behind the body is the body's end.
    #[must_use]
    pub fn read(&self, range: Range<u64>) -> ByteStream {
        let state = self.0.state.subscribe();
        let size = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(CHUNK).min(CHUNK);
        let cursor = Cursor { shared: Arc::clone(&self.0), state, range, buffers: Buffers::new(size) };
        ByteStream::new(stream::try_unfold(cursor, |mut cursor| async move {
            Ok(cursor.next().await?.map(|chunk| (chunk, cursor)))
        }))
    }
}

struct Cursor {
    shared: Arc<Shared>,
    state: watch::Receiver<State>,
    range: Range<u64>,
    buffers: Buffers,
}

impl Cursor {
    async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        loop {
            if self.range.is_empty() {
                return Ok(None);
            }
            let State { written, end } = *self.state.borrow_and_update();
            let readable = match end {
                End::Failed => return Err(storage(WriterGaveUp)),
                End::Complete => written,
                End::Open => written.saturating_sub(self.shared.hold_back),
            };
            if readable > self.range.start {
                return self.take(readable.min(self.range.end)).await.map(Some);
            }
            if end == End::Complete {
                return Ok(None);
            }
            // The sender lives in `shared`, which this cursor holds: it cannot be closed.
            self.state.changed().await.map_err(storage)?;
        }
    }

    /// What was written lately lies in the page cache, and is read on the spot.
    async fn take(&mut self, end: u64) -> Result<Bytes, StreamError> {
        let offset = self.range.start;
        let mut buffer = self.buffers.take();
        let len = usize::try_from(end - offset).unwrap_or(CHUNK).min(buffer.len());
        if page_cache::read(&self.shared.file, &mut buffer[..len], offset) < len {
            let shared = Arc::clone(&self.shared);
            let read = move || shared.file.read_exact_at(&mut buffer[..len], offset).map(|()| buffer);
            buffer = spawn_blocking(read).await.map_err(storage)?.map_err(storage)?;
        }
        let chunk = self.buffers.keep(buffer, len);
        self.range.start += chunk.len() as u64;
        Ok(chunk)
    }
}

fn storage(error: impl std::error::Error + Send + Sync + 'static) -> StreamError {
    StreamError::Storage(Box::new(error))
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    async fn spool(hold_back: u64) -> Spool {
        Spool::create(None, hold_back).await.unwrap()
    }

    #[tokio::test]
    async fn readers_at_different_offsets_get_their_bytes_while_it_grows() {
        let mut spool = spool(0).await;
        let reader = spool.reader();
        let write = async {
            spool.append(vec![Bytes::from_static(b"hel"), Bytes::from_static(b"lo ")]).await.unwrap();
            spool.append(vec![Bytes::from_static(b"world")]).await.unwrap();
            spool.finish();
        };
        let early = reader.read(0..u64::MAX).collect_up_to(100);
        let late = reader.read(3..8).collect_up_to(100);
        let (early, late, ()) = tokio::join!(early, late, write);
        assert_eq!(early.unwrap(), "hello world");
        assert_eq!(late.unwrap(), "lo wo");
    }

    #[tokio::test]
    async fn the_last_bytes_are_held_back_until_the_end() {
        let mut spool = spool(4).await;
        let mut body = spool.reader().read(0..u64::MAX);
        spool.append(vec![Bytes::from_static(b"abcdef")]).await.unwrap();
        assert_eq!(body.next().await.unwrap().unwrap(), "ab");
        assert!(futures_util::FutureExt::now_or_never(body.next()).is_none());
        spool.finish();
        assert_eq!(body.next().await.unwrap().unwrap(), "cdef");
        assert!(body.next().await.is_none());
    }

    #[tokio::test]
    async fn a_writer_that_gives_up_fails_every_reader() {
        let mut spool = spool(4).await;
        let mut body = spool.reader().read(0..u64::MAX);
        spool.append(vec![Bytes::from_static(b"abcdef")]).await.unwrap();
        drop(spool);
        assert!(matches!(body.next().await, Some(Err(StreamError::Storage(_)))));
    }
}
