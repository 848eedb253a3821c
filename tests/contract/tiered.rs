//! What copies nearby add to the contract that they keep.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use mmr_core::{
    backend::object_store::{DirectoryOptions, ObjectStoreDatastore},
    datastore::{Datastore, TieredDatastore},
    testing::{
        fault::{Fault, FaultPlan, FaultyDatastore},
        fixtures::bytes,
    },
    types::BlobKey,
};
use tempfile::TempDir;

/// Eight objects of `SIZE` fit.
const SIZE: usize = 100_000;
const CAPACITY: u64 = 8 * SIZE as u64;

struct Setup {
    far: Arc<dyn Datastore>,
    far_calls: FaultPlan,
    near: Arc<dyn Datastore>,
    near_root: TempDir,
    tiered: TieredDatastore,
}

impl Setup {
    async fn new() -> Self {
        Self::with_faults(FaultPlan::counting()).await
    }

    /// Calls of the nearer one may fail, listing it at the start included.
    async fn with_faults(near_faults: FaultPlan) -> Self {
        let (far, far_calls): (Arc<dyn Datastore>, _) =
            (Arc::new(ObjectStoreDatastore::in_memory()), FaultPlan::counting());
        let near_root = TempDir::new().unwrap();
        let options = DirectoryOptions { fsync: false };
        let near: Arc<dyn Datastore> =
            Arc::new(ObjectStoreDatastore::directory(near_root.path(), options).unwrap());
        let counted = Arc::new(FaultyDatastore::new(Arc::clone(&far), far_calls.clone()));
        let faulty = Arc::new(FaultyDatastore::new(Arc::clone(&near), near_faults));
        let tiered = TieredDatastore::new(counted, faulty, CAPACITY, true).await.unwrap();
        Self { far, far_calls, near, near_root, tiered }
    }

    async fn restarted(&self, trusted: bool) -> TieredDatastore {
        let counted = Arc::new(FaultyDatastore::new(Arc::clone(&self.far), self.far_calls.clone()));
        TieredDatastore::new(counted, Arc::clone(&self.near), CAPACITY, trusted).await.unwrap()
    }

    async fn put(&self, body: Bytes) -> BlobKey {
        let key = BlobKey::generate();
        let mut writer = self.far.create(&key).await.unwrap();
        writer.write(body).await.unwrap();
        writer.commit().await.unwrap();
        key
    }

    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Bytes {
        read(&self.tiered, key, range).await
    }

    fn reads_of_far(&self) -> usize {
        self.far_calls.log().into_iter().filter(|name| *name == "Datastore::read").count()
    }

    async fn copies(&self) -> usize {
        self.near.list(None).try_collect::<Vec<_>>().await.unwrap().len()
    }
}

async fn read(datastore: &dyn Datastore, key: &BlobKey, range: Option<Range<u64>>) -> Bytes {
    let read = datastore.read(key, range).await.unwrap();
    read.body.collect_up_to(read.len).await.unwrap()
}

#[tokio::test]
async fn what_was_read_once_is_read_nearby_ranges_too() {
    let setup = Setup::new().await;
    let (body, key) = (bytes(1, SIZE), setup.put(bytes(1, SIZE)).await);
    assert!(setup.read(&key, None).await == body);
    assert!(setup.read(&key, None).await == body);
    assert!(setup.read(&key, Some(5..50_000)).await == body[5..50_000]);
    assert_eq!(setup.reads_of_far(), 1);
}

#[tokio::test]
async fn a_range_alone_makes_no_copy() {
    let setup = Setup::new().await;
    let key = setup.put(bytes(1, SIZE)).await;
    assert!(setup.read(&key, Some(0..10)).await == bytes(1, SIZE)[..10]);
    assert_eq!(setup.copies().await, 0);
}

#[tokio::test]
async fn what_was_used_least_recently_makes_room() {
    let setup = Setup::new().await;
    let mut keys = vec![];
    for seed in 0..8 {
        keys.push(setup.put(bytes(seed, SIZE)).await);
    }
    for key in &keys {
        setup.read(key, None).await;
    }
    setup.read(&keys[0], None).await;
    let late = setup.put(bytes(99, SIZE)).await;
    setup.read(&late, None).await;
    let before = setup.reads_of_far();
    setup.read(&keys[0], None).await;
    assert_eq!(setup.reads_of_far(), before, "it was used last but one");
    setup.read(&keys[1], None).await;
    assert_eq!(setup.reads_of_far(), before + 1, "it had to make room");
    assert_eq!((setup.copies().await, setup.tiered.weight()), (8, CAPACITY));
}

#[tokio::test]
async fn what_is_large_is_not_copied() {
    let setup = Setup::new().await;
    let key = setup.put(bytes(1, SIZE + 1)).await;
    setup.read(&key, None).await;
    assert_eq!(setup.copies().await, 0);
}

#[tokio::test]
async fn a_reader_who_leaves_makes_no_copy_and_the_next_one_does() {
    let setup = Setup::new().await;
    let key = setup.put(bytes(1, SIZE)).await;
    drop(setup.tiered.read(&key, None).await.unwrap().body);
    assert_eq!(setup.tiered.weight(), 0);
    setup.read(&key, None).await;
    assert_eq!(setup.tiered.weight(), SIZE as u64);
}

#[tokio::test]
async fn whatever_fails_nearby_the_bytes_come_from_afar() {
    let calls = FaultPlan::counting();
    let journey = async |plan: FaultPlan| {
        let setup = Setup::with_faults(plan).await;
        let key = setup.put(bytes(1, SIZE)).await;
        for _ in 0..4 {
            assert!(setup.read(&key, None).await == bytes(1, SIZE));
        }
    };
    journey(calls.clone()).await;
    assert!(calls.calls() > 5);
    // Listing happens at the start, where failing is allowed.
    let log = calls.log();
    let struck = (1..).zip(&log).filter(|(_, name)| **name != "Datastore::list").map(|(k, _)| k);
    for k in struck {
        for fault in [Fault::Before, Fault::After] {
            journey(FaultPlan::fail(k, fault)).await;
        }
    }
}

#[tokio::test]
async fn a_copy_that_was_cut_short_is_given_up() {
    let setup = Setup::new().await;
    let key = setup.put(bytes(1, SIZE)).await;
    setup.read(&key, None).await;
    let file = setup.near_root.path().join(key.as_str());
    std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(10).unwrap();
    assert!(setup.read(&key, None).await == bytes(1, SIZE));
    assert_eq!(setup.reads_of_far(), 2);
}

#[tokio::test]
async fn what_is_deleted_is_deleted_nearby_too() {
    let setup = Setup::new().await;
    let key = setup.put(bytes(1, SIZE)).await;
    setup.read(&key, None).await;
    setup.tiered.delete(&key).await.unwrap();
    assert!(setup.tiered.read(&key, None).await.is_err());
    assert_eq!((setup.copies().await, setup.tiered.weight()), (0, 0));
}

#[tokio::test]
async fn copies_outlive_a_restart_unless_they_cannot_be_trusted() {
    let setup = Setup::new().await;
    let key = setup.put(bytes(1, SIZE)).await;
    setup.read(&key, None).await;
    let trusting = setup.restarted(true).await;
    assert!(read(&trusting, &key, None).await == bytes(1, SIZE));
    assert_eq!((setup.reads_of_far(), trusting.weight()), (1, SIZE as u64));
    let wary = setup.restarted(false).await;
    assert_eq!((setup.copies().await, wary.weight()), (0, 0));
    assert!(read(&wary, &key, None).await == bytes(1, SIZE));
    assert_eq!(setup.reads_of_far(), 2);
}
