//! What the cache in front of a datastore adds to the contract that it keeps.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::join_all};
use mmr_core::{
    backend::object_store::ObjectStoreDatastore,
    datastore::{CachedDatastore, Datastore, DatastoreError},
    testing::{
        fault::{Fault, FaultPlan, FaultyDatastore},
        fixtures::bytes,
    },
    types::BlobKey,
};

const CAPACITY: u64 = 1 << 20;
const MAX_OBJECT: usize = 200_000;

/// A cache in front of a datastore in memory that counts, or fails, what goes through to it.
struct Setup {
    inner: Arc<dyn Datastore>,
    plan: FaultPlan,
    cached: CachedDatastore,
}

impl Setup {
    fn new(plan: FaultPlan) -> Self {
        Self::sized(plan, CAPACITY, MAX_OBJECT as u64)
    }

    fn sized(plan: FaultPlan, capacity: u64, max_object: u64) -> Self {
        let inner: Arc<dyn Datastore> = Arc::new(ObjectStoreDatastore::in_memory());
        let faulty = Arc::new(FaultyDatastore::new(Arc::clone(&inner), plan.clone()));
        Self { inner, plan, cached: CachedDatastore::new(faulty, capacity, max_object) }
    }

    /// Past the cache and past the plan.
    async fn put(&self, body: Bytes) -> BlobKey {
        let key = BlobKey::generate();
        let mut writer = self.inner.create(&key).await.unwrap();
        writer.write(body).await.unwrap();
        writer.commit().await.unwrap();
        key
    }

    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<Bytes, DatastoreError> {
        let read = self.cached.read(key, range).await?;
        read.body.collect_up_to(read.len).await.map_err(|error| DatastoreError::Other(error.into()))
    }

    fn reads_of_inner(&self) -> usize {
        self.plan.log().into_iter().filter(|name| *name == "Datastore::read").count()
    }
}

#[tokio::test]
async fn a_second_read_does_not_reach_the_datastore() {
    let setup = Setup::new(FaultPlan::counting());
    let key = setup.put(bytes(1, MAX_OBJECT)).await;
    for _ in 0..2 {
        assert!(setup.read(&key, None).await.unwrap() == bytes(1, MAX_OBJECT));
    }
    assert_eq!(setup.reads_of_inner(), 1);
}

#[tokio::test]
async fn concurrent_misses_of_one_object_share_a_read() {
    let setup = Setup::new(FaultPlan::fail(1, Fault::Delay));
    let key = setup.put(bytes(1, 1000)).await;
    let release = async {
        setup.plan.delayed().await;
        setup.plan.release();
    };
    let (reads, ()) = tokio::join!(join_all((0..32).map(|_| setup.read(&key, None))), release);
    assert!(reads.into_iter().all(|read| read.unwrap() == bytes(1, 1000)));
    assert_eq!(setup.reads_of_inner(), 1);
}

#[tokio::test]
async fn a_reader_that_goes_away_while_loading_leaves_the_others_served() {
    let setup = Setup::new(FaultPlan::fail(1, Fault::Delay));
    let key = setup.put(bytes(1, 1000)).await;
    let mut first = Box::pin(setup.read(&key, None));
    assert!((&mut first).now_or_never().is_none());
    let mut second = Box::pin(setup.read(&key, None));
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    setup.plan.release();
    assert!(second.await.unwrap() == bytes(1, 1000));
}

#[tokio::test]
async fn objects_above_the_limit_stream_past() {
    let setup = Setup::new(FaultPlan::counting());
    let body = bytes(1, MAX_OBJECT + 1);
    let key = setup.put(body.clone()).await;
    let reads = join_all((0..8).map(|_| setup.read(&key, None))).await;
    assert!(reads.into_iter().all(|read| read.unwrap() == body));
    assert_eq!(setup.cached.weight().await, 0);
}

#[tokio::test]
async fn objects_that_would_load_too_much_at_once_stream_past() {
    // The first load waits for its body and holds the whole allowance for loading.
    let setup = Setup::sized(FaultPlan::fail(2, Fault::Delay), 1000, 1000);
    let (first, second) = (setup.put(bytes(1, 600)).await, setup.put(bytes(2, 600)).await);
    let mut loading = Box::pin(setup.read(&first, None));
    assert!((&mut loading).now_or_never().is_none());
    assert!(setup.read(&second, None).await.unwrap() == bytes(2, 600));
    setup.plan.release();
    loading.await.unwrap();
    let before = setup.reads_of_inner();
    setup.read(&first, None).await.unwrap();
    assert_eq!(setup.reads_of_inner(), before, "the first was kept");
    setup.read(&second, None).await.unwrap();
    assert_eq!(setup.reads_of_inner(), before + 1, "the second was not");
}

#[tokio::test]
async fn capacity_holds() {
    let setup = Setup::new(FaultPlan::counting());
    for seed in 0..100 {
        let key = setup.put(bytes(seed, 100_000)).await;
        setup.read(&key, None).await.unwrap();
        let weight = setup.cached.weight().await;
        assert!(weight <= CAPACITY, "{weight} bytes after {seed} objects");
    }
    assert!(setup.cached.weight().await > CAPACITY / 2, "it is used");
}

#[tokio::test]
async fn a_deleted_object_is_dropped() {
    let setup = Setup::new(FaultPlan::counting());
    let key = setup.put(bytes(1, 1000)).await;
    setup.read(&key, None).await.unwrap();
    setup.cached.delete(&key).await.unwrap();
    assert!(matches!(setup.read(&key, None).await, Err(DatastoreError::NotFound)));
    assert!(matches!(setup.read(&key, Some(0..1)).await, Err(DatastoreError::NotFound)));
    assert_eq!(setup.cached.weight().await, 0);
}

#[tokio::test]
async fn a_load_that_a_deletion_overtakes_is_not_kept() {
    // Calls: read, first chunk, delete.
    let setup = Setup::new(FaultPlan::fail(2, Fault::Delay));
    let key = setup.put(bytes(1, 1000)).await;
    let mut loading = Box::pin(setup.read(&key, None));
    assert!((&mut loading).now_or_never().is_none());
    setup.cached.delete(&key).await.unwrap();
    let mut later = Box::pin(setup.read(&key, None));
    assert!((&mut later).now_or_never().is_none(), "it joins the load");
    setup.plan.release();
    let (_, later) = tokio::join!(loading, later);
    assert!(matches!(later, Err(DatastoreError::NotFound)), "{later:?}");
    assert!(matches!(setup.read(&key, None).await, Err(DatastoreError::NotFound)));
    assert_eq!(setup.cached.weight().await, 0);
}

#[tokio::test]
async fn errors_are_not_kept() {
    // Calls: read, chunk, end of the body.
    for k in 1..=3 {
        let setup = Setup::new(FaultPlan::fail(k, Fault::Before));
        let key = setup.put(bytes(1, 1000)).await;
        setup.read(&key, None).await.unwrap_err();
        assert!(setup.read(&key, None).await.unwrap() == bytes(1, 1000), "after call {k} failed");
    }
}

#[tokio::test]
async fn a_body_that_ends_early_is_an_error_and_not_kept() {
    let setup = Setup::new(FaultPlan::fail(2, Fault::Truncate));
    let key = setup.put(bytes(1, 1000)).await;
    setup.read(&key, None).await.unwrap_err();
    assert!(setup.read(&key, None).await.unwrap() == bytes(1, 1000));
}

#[tokio::test]
async fn a_failed_load_fails_or_serves_everybody_who_waited() {
    let setup = Setup::new(FaultPlan::fail(2, Fault::Before));
    let key = setup.put(bytes(1, 1000)).await;
    let reads = join_all((0..8).map(|_| setup.read(&key, None))).await;
    let served = reads.into_iter().flatten().filter(|body| *body == bytes(1, 1000)).count();
    assert_eq!(served, 7, "one got the error, the others tried again");
}

#[tokio::test]
async fn a_missing_object_is_not_remembered_as_missing() {
    let setup = Setup::new(FaultPlan::counting());
    let key = BlobKey::generate();
    assert!(matches!(setup.read(&key, None).await, Err(DatastoreError::NotFound)));
    let mut writer = setup.cached.create(&key).await.unwrap();
    writer.write(bytes(1, 10)).await.unwrap();
    writer.commit().await.unwrap();
    assert!(setup.read(&key, None).await.unwrap() == bytes(1, 10));
}

#[tokio::test]
async fn ranges_of_a_kept_object_come_from_memory() {
    let setup = Setup::new(FaultPlan::counting());
    let key = setup.put(bytes(1, 1000)).await;
    setup.read(&key, None).await.unwrap();
    let read = setup.cached.read(&key, Some(100..900)).await.unwrap();
    assert!(read.body.try_into_bytes().unwrap() == bytes(1, 1000).slice(100..900));
    let read = setup.read(&key, Some(0..1001)).await;
    assert!(matches!(read, Err(DatastoreError::Range { len: 1000 })), "{read:?}");
    assert_eq!(setup.reads_of_inner(), 1);
}

#[tokio::test]
async fn a_range_of_an_object_that_is_not_kept_is_not_taken_for_the_whole() {
    let setup = Setup::new(FaultPlan::counting());
    let key = setup.put(bytes(1, 1000)).await;
    assert!(setup.read(&key, Some(0..10)).await.unwrap() == bytes(1, 10));
    assert!(setup.read(&key, None).await.unwrap() == bytes(1, 1000));
}
