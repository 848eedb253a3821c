//! Hot bytes in memory.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use url::Url;

use super::{BlobRead, BlobStat, BlobWriter, Datastore, DatastoreError};
use crate::{
    stream::ByteStream,
    types::{BlobKey, Timestamp},
};

/// Keeps small objects of any datastore in memory, weighed by their size. Objects are immutable, so the only thing
/// that can go stale is an object's existence: `delete` drops it here first.
#[derive(Debug)]
pub struct CachedDatastore {
    inner: Arc<dyn Datastore>,
    objects: moka::future::Cache<BlobKey, Bytes>,
    max_object: u64,
}

impl CachedDatastore {
    /// Keeps up to `capacity` bytes of objects of at most `max_object` bytes each.
    #[must_use]
    pub fn new(inner: Arc<dyn Datastore>, capacity: u64, max_object: u64) -> Self {
        let weigh = |key: &BlobKey, bytes: &Bytes| {
            // What an entry costs beside its bytes, measured with a million small ones.
            let weight = bytes.len() + key.as_str().len() + 256;
            u32::try_from(weight).unwrap_or(u32::MAX)
        };
        let objects = moka::future::Cache::builder().max_capacity(capacity).weigher(weigh).build();
        Self { inner, objects, max_object }
    }

    fn part(bytes: &Bytes, range: Option<Range<u64>>) -> Result<BlobRead, DatastoreError> {
        let len = bytes.len() as u64;
        let body = match range {
            None => bytes.clone(),
            Some(range) if range.end <= len => {
                let index = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
                bytes.slice(index(range.start)..index(range.end))
            }
            Some(_) => return Err(DatastoreError::Range { len }),
        };
        Ok(BlobRead { len: body.len() as u64, body: ByteStream::from(body) })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Datastore for CachedDatastore {
    async fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, DatastoreError> {
        self.inner.create(key).await
    }

    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobRead, DatastoreError> {
        if let Some(bytes) = self.objects.get(key).await {
            return Self::part(&bytes, range);
        }
        let read = self.inner.read(key, range.clone()).await?;
        // A part says nothing about the whole, and large objects would push out everything else.
        if range.is_some() || read.len > self.max_object {
            return Ok(read);
        }
        let bytes = read
            .body
            .collect_up_to(read.len)
            .await
            .map_err(|error| DatastoreError::Other(Box::new(error)))?;
        self.objects.insert(key.clone(), bytes.clone()).await;
        Self::part(&bytes, None)
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), DatastoreError> {
        self.objects.invalidate(key).await;
        self.inner.delete(key).await
    }

    fn list(&self, prefix: Option<&BlobKey>) -> BoxStream<'static, Result<BlobStat, DatastoreError>> {
        self.inner.list(prefix)
    }

    async fn link(&self, key: &BlobKey, ttl: Duration) -> Result<Option<Url>, DatastoreError> {
        self.inner.link(key, ttl).await
    }

    async fn remove_unfinished(&self, before: Timestamp) -> Result<u64, DatastoreError> {
        self.inner.remove_unfinished(before).await
    }
}
