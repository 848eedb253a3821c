//! Reading objects: files by ourselves in large chunks, everything else as it comes.

use std::{
    error::Error,
    fs::File,
    future::Future as _,
    io::{self, Read as _, Seek as _, SeekFrom},
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use ::object_store::Error as StoreError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream, stream::BoxStream};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{buffer::Buffer, error::classify};
use crate::{
    datastore::{BlobRead, DatastoreError},
    stream::{ByteStream, StreamError},
};

/// Bytes read from a file at once, and the longest body that is answered as one buffer.
pub(super) const CHUNK: u64 = super::buffer::LEN as u64;

#[derive(Debug, thiserror::Error)]
#[error("the object ends {missing} bytes before its end")]
struct Truncated {
    missing: u64,
}

/// The bytes that `range` selects of an object of `len` bytes.
pub(super) fn check_range(range: Option<Range<u64>>, len: u64) -> Result<Range<u64>, DatastoreError> {
    match range {
        None => Ok(0..len),
        Some(range) if range.start <= range.end && range.end <= len => Ok(range),
        Some(_) => Err(DatastoreError::Range { len }),
    }
}

/// Reads what `open` gives: a file and its length. A body of one chunk is read in a single trip to a blocking thread.
pub(super) async fn read_file(
    open: impl FnOnce() -> io::Result<(File, u64)> + Send + 'static,
    range: Option<Range<u64>>,
) -> Result<BlobRead, DatastoreError> {
    let first = spawn_blocking(move || {
        let (mut file, len) = open().map_err(classify)?;
        let range = check_range(range, len)?;
        if range.start > 0 {
            file.seek(SeekFrom::Start(range.start)).map_err(classify)?;
        }
        let chunk = read_chunk(file, range.end - range.start).map_err(classify)?;
        Ok((chunk, range.end - range.start))
    });
    let (chunk, len) = first.await.map_err(classify)??;
    let body = if len <= CHUNK { chunk.bytes.into() } else { ByteStream::new(FileBody::Ready(Some(chunk))) };
    Ok(BlobRead { len, body })
}

/// The rest of a file, read one chunk ahead of the consumer.
///
/// Each chunk is a trip of its own to the blocking threads, so that a consumer that stalls occupies a chunk of memory
/// and never a thread: with thousands of slow clients there would be none left.
enum FileBody {
    Ready(Option<Chunk>),
    Reading(JoinHandle<io::Result<Chunk>>),
}

struct Chunk {
    bytes: Bytes,
    file: File,
    remaining: u64,
}

fn read_chunk(mut file: File, remaining: u64) -> io::Result<Chunk> {
    let want = remaining.min(CHUNK);
    let mut buffer = Buffer::for_len(want);
    let got = (&mut file).take(want).read_to_end(&mut buffer.0)? as u64;
    if got < want {
        let truncated = Truncated { missing: remaining - got };
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, truncated));
    }
    Ok(Chunk { bytes: Bytes::from_owner(buffer), file, remaining: remaining - got })
}

impl Stream for FileBody {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = match &mut *self {
            Self::Ready(chunk) => chunk.take(),
            Self::Reading(reading) => match ready!(Pin::new(reading).poll(cx)) {
                Ok(Ok(chunk)) => Some(chunk),
                Ok(Err(error)) => return Poll::Ready(Some(Err(storage(error)))),
                Err(error) => return Poll::Ready(Some(Err(storage(error)))),
            },
        };
        let Some(Chunk { bytes, file, remaining }) = chunk else {
            return Poll::Ready(None);
        };
        *self = match remaining {
            0 => Self::Ready(None),
            _ => Self::Reading(spawn_blocking(move || read_chunk(file, remaining))),
        };
        Poll::Ready(Some(Ok(bytes)))
    }
}

/// Reads `len` bytes as a store sends them; a short body comes as one buffer.
pub(super) async fn read_stream(
    chunks: BoxStream<'static, Result<Bytes, StoreError>>,
    len: u64,
) -> Result<BlobRead, DatastoreError> {
    let body = ByteStream::new(stream::try_unfold((chunks, len), |(mut chunks, missing)| async move {
        match chunks.next().await {
            Some(Ok(chunk)) => {
                let missing = missing.checked_sub(chunk.len() as u64).ok_or_else(|| storage(Overlong))?;
                Ok(Some((chunk, (chunks, missing))))
            }
            Some(Err(error)) => Err(storage(error)),
            None if missing > 0 => Err(storage(Truncated { missing })),
            None => Ok(None),
        }
    }));
    let body = if len <= CHUNK { body.collect_up_to(len).await.map_err(classify)?.into() } else { body };
    Ok(BlobRead { len, body })
}

#[derive(Debug, thiserror::Error)]
#[error("the store sent more than was asked for")]
struct Overlong;

fn storage(error: impl Error + Send + Sync + 'static) -> StreamError {
    StreamError::Storage(Box::new(error))
}
