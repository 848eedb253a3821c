//! Reading objects from any store.

use std::{error::Error, ops::Range};

use ::object_store::Error as StoreError;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream, stream::BoxStream};

use super::{error::Place, file::CHUNK};
use crate::{
    datastore::{BlobRead, DatastoreError},
    stream::{ByteStream, StreamError},
};

#[derive(Debug, thiserror::Error)]
#[error("the store sent {missing} bytes too few")]
struct Truncated {
    missing: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the store sent more than was asked for")]
struct Overlong;

/// The bytes that `range` selects of an object of `len` bytes.
pub(super) fn check_range(range: Option<Range<u64>>, len: u64) -> Result<Range<u64>, DatastoreError> {
    match range {
        None => Ok(0..len),
        Some(range) if range.start <= range.end && range.end <= len => Ok(range),
        Some(_) => Err(DatastoreError::Range { len }),
    }
}

/// Reads `len` bytes as a store sends them; a short body comes as one buffer.
pub(super) async fn read_stream(
    chunks: BoxStream<'static, Result<Bytes, StoreError>>,
    len: u64,
    place: &Place,
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
    let body = if len <= CHUNK {
        body.collect_up_to(len).await.map_err(|error| place.classify(error))?.into()
    } else {
        body
    };
    Ok(BlobRead { len, body })
}

pub(super) fn storage(error: impl Error + Send + Sync + 'static) -> StreamError {
    StreamError::Storage(Box::new(error))
}
