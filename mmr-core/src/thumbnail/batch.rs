//! One decode for everybody who wants thumbnails of the same source.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::watch;

use crate::{
    Error, Result,
    lifecycle::Background,
    policy::ServerPolicy,
    types::{ContentHash, ThumbnailRecord, ThumbnailSpec},
};

/// A thumbnail that was just made.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(super) record: Arc<ThumbnailRecord>,
    /// Its bytes, where they are at hand; otherwise they lie where the record says.
    pub(super) bytes: Option<Bytes>,
}

/// What everybody who waits for a batch gets.
type Outcome = std::result::Result<Arc<[Ready]>, Arc<Error>>;
type Sender = Arc<watch::Sender<Option<Outcome>>>;

/// Batches under way, by source. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Batches(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    entries: Mutex<HashMap<ContentHash, Entry>>,
    background: Background,
}

#[derive(Debug)]
struct Entry {
    policy: Arc<ServerPolicy>,
    specs: Vec<ThumbnailSpec>,
    closed: bool,
    sender: Sender,
}

/// Whether a batch makes what was asked.
#[derive(Debug)]
pub(super) enum Joined {
    /// It does.
    Aboard(Waiter),
    /// It has left without; but what it makes may help.
    Missed(Waiter),
}

/// Somebody who waits for a batch. A batch for which nobody waits is given up.
#[derive(Debug)]
pub(super) struct Waiter(watch::Receiver<Option<Outcome>>);

/// A batch, as seen by whoever makes it.
#[derive(Debug)]
pub(super) struct Batch {
    batches: Batches,
    source: ContentHash,
}

impl Batches {
    pub(crate) fn new(background: Background) -> Self {
        Self(Arc::new(Inner { entries: Mutex::default(), background }))
    }

    /// Joins the batch for `source`, or begins one and has `make` make it.
    pub(super) fn join<F>(
        &self,
        source: ContentHash,
        spec: ThumbnailSpec,
        policy: &Arc<ServerPolicy>,
        make: impl FnOnce(Batch) -> F,
    ) -> Joined
    where
        F: Future<Output = Result<Vec<Ready>>> + Send + 'static,
    {
        let mut entries = self.0.entries();
        if let Some(entry) = entries.get_mut(&source) {
            let waiter = Waiter(entry.sender.subscribe());
            let same_policy = Arc::ptr_eq(&entry.policy, policy);
            if same_policy && !entry.closed && !entry.specs.contains(&spec) {
                entry.specs.push(spec);
            }
            let aboard = same_policy && entry.specs.contains(&spec);
            return if aboard { Joined::Aboard(waiter) } else { Joined::Missed(waiter) };
        }
        let (sender, receiver) = watch::channel(None);
        let sender = Arc::new(sender);
        let entry = Entry {
            policy: Arc::clone(policy),
            specs: vec![spec],
            closed: false,
            sender: Arc::clone(&sender),
        };
        entries.insert(source, entry);
        drop(entries);
        let batch = Batch { batches: self.clone(), source };
        let landing = Landing { batches: self.clone(), source, sender };
        self.0.background.spawn(landing.after(make(batch)));
        Joined::Aboard(Waiter(receiver))
    }
}

impl Inner {
    fn entries(&self) -> MutexGuard<'_, HashMap<ContentHash, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    /// What is wanted so far.
    pub(super) fn specs(&self) -> Vec<ThumbnailSpec> {
        self.batches.0.entries().get(&self.source).map(|entry| entry.specs.clone()).unwrap_or_default()
    }

    /// What is wanted; nobody can join any more.
    pub(super) fn close(&self) -> Vec<ThumbnailSpec> {
        let mut entries = self.batches.0.entries();
        let Some(entry) = entries.get_mut(&self.source) else { return Vec::new() };
        entry.closed = true;
        entry.specs.clone()
    }
}

/// Takes the batch out of the table when it ends, however it does.
struct Landing {
    batches: Batches,
    source: ContentHash,
    sender: Sender,
}

impl Landing {
    async fn after(self, work: impl Future<Output = Result<Vec<Ready>>>) {
        let outcome = tokio::select! {
            outcome = work => outcome.map(Arc::from).map_err(Arc::new),
            () = self.abandoned() => return,
        };
        let sender = Arc::clone(&self.sender);
        // Out of the table first, so that nobody joins what is over.
        drop(self);
        sender.send_replace(Some(outcome));
    }

    /// Waits until nobody waits, and has taken the batch out of the table then.
    async fn abandoned(&self) {
        loop {
            self.sender.closed().await;
            let mut entries = self.batches.0.entries();
            // Somebody may have joined meanwhile.
            if self.sender.receiver_count() == 0 {
                entries.remove(&self.source);
                return;
            }
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut entries = self.batches.0.entries();
        // After it was abandoned, another may stand in its place.
        if entries.get(&self.source).is_some_and(|entry| Arc::ptr_eq(&entry.sender, &self.sender)) {
            entries.remove(&self.source);
        }
    }
}

impl Waiter {
    /// The thumbnail that was joined for.
    pub(super) async fn thumbnail(self, spec: &ThumbnailSpec) -> Result<Ready> {
        match self.outcome().await {
            Some(Ok(made)) => {
                let found = made.iter().find(|ready| ready.record.spec == *spec);
                found.cloned().ok_or(Error::Internal("a thumbnail was left out"))
            }
            Some(Err(error)) => Err(Error::Shared(error)),
            None => Err(Error::Internal("a rendering was dropped")),
        }
    }

    /// Waits for the end, whatever it is.
    pub(super) async fn end(self) {
        self.outcome().await;
    }

    async fn outcome(mut self) -> Option<Outcome> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::types::{
        BlobKey, BlobLocation, BlobRecord, ContentType, DatastoreId, Hasher, Method, Timestamp, Variant,
    };

    fn spec(width: u32) -> ThumbnailSpec {
        ThumbnailSpec { width, height: 1, method: Method::Scale, variant: Variant::Still }
    }

    fn source() -> ContentHash {
        Hasher::digest(b"source").hash
    }

    fn ready(spec: ThumbnailSpec) -> Ready {
        let digests = Hasher::digest(b"thumbnail");
        let location = BlobLocation { datastore: DatastoreId::nowhere(), key: BlobKey::generate() };
        let record = ThumbnailRecord {
            source: source(),
            spec,
            blob: BlobRecord { hash: digests.hash, checksum: None, size: 9, location },
            content_type: ContentType::new("image/png"),
            width: spec.width,
            height: 1,
            created: Timestamp::from_millis(0),
        };
        Ready { record: Arc::new(record), bytes: None }
    }

    /// A batch that begins when it is told to.
    struct Bench {
        batches: Batches,
        policy: Arc<ServerPolicy>,
        begin: Option<oneshot::Sender<()>>,
    }

    impl Bench {
        fn new() -> Self {
            Self { batches: Batches::new(Background::new()), policy: Arc::default(), begin: None }
        }

        fn join(&mut self, width: u32) -> Joined {
            let (begin, told) = oneshot::channel();
            let begin_slot = &mut self.begin;
            self.batches.join(source(), spec(width), &self.policy, |batch| {
                *begin_slot = Some(begin);
                async move {
                    let _ = told.await;
                    let specs = batch.close();
                    tokio::task::yield_now().await;
                    Ok(specs.into_iter().map(ready).collect())
                }
            })
        }

        fn begin(&mut self) {
            self.begin.take().unwrap().send(()).unwrap();
        }
    }

    fn aboard(joined: Joined) -> Waiter {
        match joined {
            Joined::Aboard(waiter) => waiter,
            Joined::Missed(_) => panic!("the batch has left"),
        }
    }

    #[tokio::test]
    async fn whoever_joins_before_it_begins_gets_a_thumbnail_of_the_same_batch() {
        let mut bench = Bench::new();
        let (first, second) = (aboard(bench.join(1)), aboard(bench.join(2)));
        bench.begin();
        assert_eq!(first.thumbnail(&spec(1)).await.unwrap().record.spec, spec(1));
        assert_eq!(second.thumbnail(&spec(2)).await.unwrap().record.spec, spec(2));
    }

    #[tokio::test]
    async fn whoever_comes_after_it_has_begun_misses_it_unless_it_makes_the_same() {
        let mut bench = Bench::new();
        let first = aboard(bench.join(1));
        Batch { batches: bench.batches.clone(), source: source() }.close();
        assert!(matches!(bench.join(2), Joined::Missed(_)));
        let same = aboard(bench.join(1));
        bench.begin();
        first.thumbnail(&spec(1)).await.unwrap();
        same.thumbnail(&spec(1)).await.unwrap();
        assert!(matches!(bench.join(2), Joined::Aboard(_)), "the next batch");
    }

    #[tokio::test]
    async fn requests_under_different_policies_do_not_share_a_batch() {
        let mut bench = Bench::new();
        let _first = aboard(bench.join(1));
        bench.policy = Arc::default();
        assert!(matches!(bench.join(1), Joined::Missed(_)));
    }

    #[tokio::test]
    async fn a_batch_that_nobody_waits_for_is_given_up() {
        let mut bench = Bench::new();
        let (first, second) = (bench.join(1), bench.join(2));
        let mut begin = bench.begin.take().unwrap();
        drop(first);
        drop(second);
        begin.closed().await;
        while !bench.batches.0.entries().is_empty() {
            tokio::task::yield_now().await;
        }
        let next = aboard(bench.join(1));
        bench.begin();
        next.thumbnail(&spec(1)).await.unwrap();
    }

    #[tokio::test]
    async fn a_batch_that_panics_fails_those_who_wait_and_makes_room() {
        let mut bench = Bench::new();
        let joined = bench
            .batches
            .join(source(), spec(1), &bench.policy, |_| async { panic!("a panic that the test asked for") });
        assert!(matches!(aboard(joined).thumbnail(&spec(1)).await, Err(Error::Internal(_))));
        assert!(matches!(bench.join(1), Joined::Aboard(_)));
    }
}
