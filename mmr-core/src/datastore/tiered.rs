//! Copies of objects nearby, for datastores that are far away.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use url::Url;

use super::{BlobRead, BlobStat, BlobWriter, Datastore, DatastoreError, LinkRequest, OpenObject};
use crate::{
    stream::{ByteStream, StreamError},
    types::{BlobKey, Timestamp},
};

/// Keeps copies of what was read last in a second, nearer datastore, up to a number of bytes.
///
/// A copy is made while an object is read as a whole, and used for ranges too. Objects are immutable, so that a copy is never
/// stale; one that cannot be made or read is done without. The nearer datastore must be this one's own.
#[derive(Debug)]
pub struct TieredDatastore {
    far: Arc<dyn Datastore>,
    near: Arc<dyn Datastore>,
    max_object: u64,
    links_to_copied: bool,
    copies: Arc<Mutex<Copies>>,
}

/// What is nearby, by the order of use.
#[derive(Debug, Default)]
struct Copies {
    capacity: u64,
    bytes: u64,
    by_key: HashMap<BlobKey, Copy>,
    by_use: BTreeMap<u64, BlobKey>,
    last_use: u64,
    // Being made.
    growing: HashSet<BlobKey>,
}

#[derive(Clone, Copy, Debug)]
struct Copy {
    size: u64,
    used: u64,
}

impl Copies {
    fn note(&mut self, key: &BlobKey, size: u64) {
        self.forget(key);
        self.last_use += 1;
        self.by_use.insert(self.last_use, key.clone());
        self.by_key.insert(key.clone(), Copy { size, used: self.last_use });
        self.bytes += size;
    }

    fn forget(&mut self, key: &BlobKey) -> bool {
        let Some(copy) = self.by_key.remove(key) else { return false };
        self.by_use.remove(&copy.used);
        self.bytes -= copy.size;
        true
    }

    /// Forgets what was used least recently until the rest fits.
    fn shrink(&mut self) -> Vec<BlobKey> {
        let mut evicted = Vec::new();
        while self.bytes > self.capacity
            && let Some((_, key)) = self.by_use.first_key_value()
        {
            let key = key.clone();
            self.forget(&key);
            evicted.push(key);
        }
        evicted
    }
}

impl TieredDatastore {
    /// Keeps up to `capacity` bytes of copies of `far` in `near`, of at most an eighth of that each. What lies in `near`
    /// already is taken for copies of earlier; with `trusted` false it is removed: after a crash of the machine, copies that
    /// were not synced may be of the right length and hold nothing.
    ///
    /// Errors: when `near` cannot be listed.
    pub async fn new(
        far: Arc<dyn Datastore>,
        near: Arc<dyn Datastore>,
        capacity: u64,
        trusted: bool,
    ) -> Result<Self, DatastoreError> {
        let mut copies = Copies { capacity, ..Copies::default() };
        let mut found: Vec<BlobStat> = near.list(None).try_collect().await?;
        found.sort_by_key(|stat| stat.modified);
        for stat in &found {
            if trusted {
                copies.note(&stat.key, stat.size);
            } else {
                near.delete(&stat.key).await?;
            }
        }
        for key in copies.shrink() {
            near.delete(&key).await?;
        }
        Ok(Self {
            far,
            near,
            max_object: capacity / 8,
            links_to_copied: false,
            copies: Arc::new(Mutex::new(copies)),
        })
    }

    /// Gives links also to what lies nearby. Default: no.
    #[must_use]
    pub const fn with_links_to_copied(mut self, yes: bool) -> Self {
        self.links_to_copied = yes;
        self
    }

    /// Bytes that copies take at this moment.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.copies().bytes
    }

    fn copies(&self) -> MutexGuard<'_, Copies> {
        lock(&self.copies)
    }

    async fn read_near(&self, key: &BlobKey, range: Option<Range<u64>>) -> Option<BlobRead> {
        let size = self.copies().by_key.get(key)?.size;
        let expected = range.as_ref().map_or(size, |range| range.end.saturating_sub(range.start));
        match self.near.read(key, range.clone()).await {
            Ok(read) if read.len == expected => {
                let mut copies = self.copies();
                // Unless it was evicted or deleted meanwhile.
                if copies.by_key.contains_key(key) {
                    copies.note(key, size);
                }
                let from = range.map_or(0, |range| range.start);
                return Some(BlobRead {
                    len: read.len,
                    body: self.or_from_afar(key, read.body, from..from + expected),
                });
            }
            Ok(_) => tracing::warn!(%key, "a copy of an object was cut short and is given up"),
            Err(error) => tracing::warn!(%error, %key, "a copy of an object cannot be read and is given up"),
        }
        self.copies().forget(key);
        None
    }

    /// Passes the bytes of `rest` on, and where those nearby break off, goes on with those afar.
    fn or_from_afar(&self, key: &BlobKey, near: ByteStream, rest: Range<u64>) -> ByteStream {
        let state = (near, rest, Some((Arc::clone(&self.far), Arc::clone(&self.copies), key.clone())));
        let chunks = futures_util::stream::unfold(state, |(mut body, mut rest, mut afar)| async move {
            while !rest.is_empty() {
                let next = body.next().await;
                if let Some(Ok(chunk)) = &next {
                    rest.start += chunk.len() as u64;
                } else if let Some((far, copies, key)) = afar.take() {
                    tracing::warn!(%key, "a copy of an object cannot be read and is given up");
                    lock(&copies).forget(&key);
                    match far.read(&key, Some(rest.clone())).await {
                        Ok(read) => body = read.body,
                        Err(error) => {
                            body = ByteStream::empty();
                            return Some((Err(StreamError::Storage(Box::new(error))), (body, rest, afar)));
                        }
                    }
                    continue;
                }
                return next.map(|next| (next, (body, rest, afar)));
            }
            None
        });
        ByteStream::new(chunks)
    }

    /// Passes `body` on and writes it nearby on the way.
    async fn copied(&self, key: &BlobKey, read: BlobRead) -> BlobRead {
        let BlobRead { len, body } = read;
        let worth_it = len > 0 && len <= self.max_object && self.copies().growing.insert(key.clone());
        if !worth_it {
            return BlobRead { len, body };
        }
        let growing = Growing { copies: Arc::clone(&self.copies), key: key.clone() };
        let writer = match self.near.create(key).await {
            Ok(writer) => writer,
            Err(error) => {
                tracing::warn!(%error, "no copies of objects can be made");
                return BlobRead { len, body };
            }
        };
        let filling = Filling { near: Arc::clone(&self.near), growing, writer: Some(writer), len, got: 0 };
        BlobRead { len, body: filling.through(body) }
    }
}

fn lock(copies: &Mutex<Copies>) -> MutexGuard<'_, Copies> {
    copies.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A copy in the making. Whoever comes next makes one when it is dropped.
struct Growing {
    copies: Arc<Mutex<Copies>>,
    key: BlobKey,
}

impl Drop for Growing {
    fn drop(&mut self) {
        lock(&self.copies).growing.remove(&self.key);
    }
}

struct Filling {
    near: Arc<dyn Datastore>,
    growing: Growing,
    writer: Option<Box<dyn BlobWriter>>,
    len: u64,
    got: u64,
}

impl Filling {
    fn through(self, body: ByteStream) -> ByteStream {
        let chunks = futures_util::stream::unfold((body, self), |(mut body, mut filling)| async move {
            match body.next().await {
                Some(Ok(chunk)) => {
                    filling.got += chunk.len() as u64;
                    if let Some(writer) = &mut filling.writer
                        && let Err(error) = writer.write(chunk.clone()).await
                    {
                        filling.give_up(&error);
                    }
                    // Now: who has all bytes does not ask whether there are more.
                    if filling.got == filling.len {
                        filling.finish().await;
                    }
                    Some((Ok(chunk), (body, filling)))
                }
                Some(Err(error)) => {
                    filling.writer = None;
                    Some((Err(error), (body, filling)))
                }
                None => None,
            }
        });
        ByteStream::new(chunks)
    }

    fn give_up(&mut self, error: &DatastoreError) {
        tracing::warn!(%error, key = %self.growing.key, "a copy of an object was not made");
        self.writer = None;
    }

    async fn finish(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        if let Err(error) = writer.commit().await {
            return self.give_up(&error);
        }
        let evicted = {
            let mut copies = lock(&self.growing.copies);
            if copies.growing.contains(&self.growing.key) {
                copies.note(&self.growing.key, self.len);
                copies.shrink()
            } else {
                // The object was deleted meanwhile.
                vec![self.growing.key.clone()]
            }
        };
        for key in evicted {
            if let Err(error) = self.near.delete(&key).await {
                tracing::warn!(%error, %key, "a copy of an object cannot be removed");
            }
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Datastore for TieredDatastore {
    async fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, DatastoreError> {
        self.far.create(key).await
    }

    async fn create_open(&self, key: &BlobKey) -> Result<Option<OpenObject>, DatastoreError> {
        self.far.create_open(key).await
    }

    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobRead, DatastoreError> {
        if let Some(read) = self.read_near(key, range.clone()).await {
            return Ok(read);
        }
        let is_whole = range.is_none();
        let read = self.far.read(key, range).await?;
        Ok(if is_whole { self.copied(key, read).await } else { read })
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), DatastoreError> {
        let is_copied = {
            let mut copies = self.copies();
            copies.growing.remove(key);
            copies.forget(key)
        };
        if is_copied {
            self.near.delete(key).await?;
        }
        self.far.delete(key).await
    }

    fn list(&self, prefix: Option<&BlobKey>) -> BoxStream<'static, Result<BlobStat, DatastoreError>> {
        self.far.list(prefix)
    }

    async fn link(&self, key: &BlobKey, request: &LinkRequest<'_>) -> Result<Option<Url>, DatastoreError> {
        // Bytes that are here cost nobody anything.
        if !self.links_to_copied && self.copies().by_key.contains_key(key) {
            return Ok(None);
        }
        self.far.link(key, request).await
    }

    async fn remove_unfinished(&self, before: Timestamp) -> Result<u64, DatastoreError> {
        let near = self.near.remove_unfinished(before).await?;
        Ok(near + self.far.remove_unfinished(before).await?)
    }
}
