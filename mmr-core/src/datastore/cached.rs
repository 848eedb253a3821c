//! Hot bytes in memory.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use ::metrics::Counter;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::sync::Semaphore;
use url::Url;

use super::{BlobRead, BlobStat, BlobWriter, Datastore, DatastoreError, LinkRequest, OpenObject};
use crate::{
    metrics,
    stream::ByteStream,
    types::{BlobKey, Timestamp},
};

/// Keeps small objects of any datastore in memory, weighed by their size. Objects are immutable, so the only thing
/// that can go stale is an object's existence: `delete` drops it here too, whoever is loading it meanwhile.
///
/// Concurrent reads of one object that is not here yet share a single read of the datastore. A range is answered from
/// memory when the object is here, and otherwise passed on: a part says nothing about the whole.
#[derive(Debug)]
pub struct CachedDatastore {
    inner: Arc<dyn Datastore>,
    objects: moka::future::Cache<BlobKey, Bytes>,
    max_object: u64,
    // Bytes that may be on their way into memory at once. Reads beyond that stream past the cache.
    loading: Semaphore,
    deletions: AtomicU64,
    links_to_cached: bool,
    hits: Counter,
    misses: Counter,
}

/// Why an object did not come into memory.
#[derive(Debug)]
enum Miss {
    /// It does not belong there. Whoever opened it reads it; others open it for themselves.
    Passed(Mutex<Option<BlobRead>>),
    Failed(Mutex<Option<DatastoreError>>),
}

impl CachedDatastore {
    /// Keeps up to `capacity` bytes of objects of at most `max_object` bytes each. Up to a quarter of `capacity`, but
    /// at least one object, is used on top of it while objects are being loaded.
    #[must_use]
    pub fn new(inner: Arc<dyn Datastore>, capacity: u64, max_object: u64) -> Self {
        let max_object = max_object.min(capacity).min(u32::MAX.into());
        let weigh = |key: &BlobKey, bytes: &Bytes| {
            // What an entry costs beside its bytes, measured with a million small ones.
            let weight = bytes.len() + key.as_str().len() + 256;
            u32::try_from(weight).unwrap_or(u32::MAX)
        };
        let (hits, misses) = metrics::object_cache();
        let objects = moka::future::Cache::builder().max_capacity(capacity).weigher(weigh).build();
        let loading = usize::try_from(max_object.max(capacity / 4)).unwrap_or(usize::MAX);
        let loading = Semaphore::new(loading.min(Semaphore::MAX_PERMITS));
        Self {
            inner,
            objects,
            max_object,
            loading,
            deletions: AtomicU64::new(0),
            links_to_cached: false,
            hits,
            misses,
        }
    }

    /// Gives links also to what is in memory. Default: no.
    #[must_use]
    pub const fn with_links_to_cached(mut self, yes: bool) -> Self {
        self.links_to_cached = yes;
        self
    }

    /// Bytes that are in use at this moment.
    pub async fn weight(&self) -> u64 {
        self.objects.run_pending_tasks().await;
        self.objects.weighted_size()
    }

    /// Reads the whole object into memory, unless it does not belong there.
    async fn load(&self, key: &BlobKey) -> Result<Bytes, Miss> {
        let failed = |error| Miss::Failed(Mutex::new(Some(error)));
        let passed = |read| Err(Miss::Passed(Mutex::new(Some(read))));
        let deletions = self.deletions.load(Ordering::SeqCst);
        let read = self.inner.read(key, None).await.map_err(failed)?;
        let room = match u32::try_from(read.len) {
            Ok(len) if read.len <= self.max_object => self.loading.try_acquire_many(len).ok(),
            _ => None,
        };
        if room.is_none() {
            return passed(read);
        }
        let bytes = collect(read).await.map_err(failed)?;
        // Who joined after a deletion must not get what was read before it.
        if self.deletions.load(Ordering::SeqCst) != deletions {
            return passed(BlobRead { len: bytes.len() as u64, body: bytes.into() });
        }
        Ok(bytes)
    }
}

fn part(bytes: &Bytes, range: Option<Range<u64>>) -> Result<BlobRead, DatastoreError> {
    let len = bytes.len() as u64;
    let body = match range {
        None => bytes.clone(),
        Some(range) if range.start <= range.end && range.end <= len => {
            let index = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
            bytes.slice(index(range.start)..index(range.end))
        }
        Some(_) => return Err(DatastoreError::Range { len }),
    };
    Ok(BlobRead { len: body.len() as u64, body: ByteStream::from(body) })
}

/// Into one buffer of just the right size: what is kept for long should not keep more than itself.
async fn collect(read: BlobRead) -> Result<Bytes, DatastoreError> {
    let broken = |error| DatastoreError::Other(Box::new(error));
    let bytes = match read.body.try_into_bytes() {
        Ok(bytes) => bytes,
        Err(body) => {
            let mut body = body.of_length(read.len);
            let mut bytes = BytesMut::with_capacity(usize::try_from(read.len).unwrap_or_default());
            while let Some(chunk) = body.next().await {
                bytes.extend_from_slice(&chunk.map_err(broken)?);
            }
            bytes.freeze()
        }
    };
    Ok(bytes)
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().expect("no panics while it is locked").take()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Datastore for CachedDatastore {
    async fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, DatastoreError> {
        self.inner.create(key).await
    }

    async fn create_open(&self, key: &BlobKey) -> Result<Option<OpenObject>, DatastoreError> {
        self.inner.create_open(key).await
    }

    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobRead, DatastoreError> {
        if let Some(bytes) = self.objects.get(key).await {
            self.hits.increment(1);
            return part(&bytes, range);
        }
        self.misses.increment(1);
        if range.is_some() {
            return self.inner.read(key, range).await;
        }
        let deletions = self.deletions.load(Ordering::SeqCst);
        let miss = match self.objects.try_get_with_by_ref(key, self.load(key)).await {
            Ok(bytes) => {
                // A deletion may still have come between the load and its being kept.
                if self.deletions.load(Ordering::SeqCst) != deletions {
                    self.objects.invalidate(key).await;
                }
                // Evicts at once. By itself the cache would let some dozens of objects come together first.
                self.objects.run_pending_tasks().await;
                return part(&bytes, None);
            }
            Err(miss) => miss,
        };
        // One of those who waited takes what there is, the others try for themselves.
        match &*miss {
            Miss::Passed(read) if let Some(read) = take(read) => Ok(read),
            Miss::Failed(error) if let Some(error) = take(error) => Err(error),
            Miss::Passed(_) | Miss::Failed(_) => self.inner.read(key, None).await,
        }
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), DatastoreError> {
        // In this order: whoever keeps the object after the second line sees the first.
        self.deletions.fetch_add(1, Ordering::SeqCst);
        self.objects.invalidate(key).await;
        self.inner.delete(key).await
    }

    fn list(&self, prefix: Option<&BlobKey>) -> BoxStream<'static, Result<BlobStat, DatastoreError>> {
        self.inner.list(prefix)
    }

    async fn link(&self, key: &BlobKey, request: &LinkRequest<'_>) -> Result<Option<Url>, DatastoreError> {
        // Bytes that are here cost nobody anything.
        if !self.links_to_cached && self.objects.contains_key(key) {
            return Ok(None);
        }
        self.inner.link(key, request).await
    }

    async fn remove_unfinished(&self, before: Timestamp) -> Result<u64, DatastoreError> {
        self.inner.remove_unfinished(before).await
    }
}
