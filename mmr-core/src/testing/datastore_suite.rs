//! The promises of [`Datastore`] as tests.
//!
//! ```
//! # #[cfg(feature = "fs")]
//! mod my_datastore {
//!     use mmr_core::backend::object_store::ObjectStoreDatastore;
//!
//!     mmr_core::testing::datastore_suite!(ObjectStoreDatastore::in_memory());
//! }
//! # fn main() {}
//! ```

use std::{collections::BTreeMap, ops::Range, task::Poll, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};

use super::fixtures::{self, bytes};
use crate::{
    clock::{Clock as _, SystemClock},
    datastore::{BlobRead, BlobStat, BlobWriter, Datastore, DatastoreError},
    types::{BlobKey, Timestamp},
};

/// Makes one test of every promise. The expression gives a fresh, empty [`Datastore`], or a [`DatastoreUnderTest`]; it
/// is evaluated in an async block, once per test. `ignore = "why",` before it has the
/// tests ignored, for whatever needs more than `cargo test` has.
#[macro_export]
macro_rules! datastore_suite {
    (ignore = $why:literal, $make:expr) => {
        $crate::datastore_suite!(@with (#[ignore = $why]), $make);
    };
    ($make:expr) => {
        $crate::datastore_suite!(@with (), $make);
    };
    (@with $attributes:tt, $make:expr) => {
        $crate::__contract!(
            @all
            $crate::testing::datastore_suite,
            $attributes,
            $make,
            [
                a_committed_object_reads_back_whole,
                an_object_is_invisible_until_it_is_committed,
                an_empty_object_is_an_object,
                chunks_of_any_size_make_one_object,
                every_range_gives_its_bytes,
                a_range_behind_the_end_tells_the_length,
                a_missing_object_is_not_found,
                an_aborted_writer_leaves_nothing,
                a_dropped_writer_leaves_nothing,
                a_dropped_commit_leaves_all_or_nothing,
                deleting_twice_is_fine,
                a_deleted_object_is_gone,
                a_read_that_a_delete_overtakes_is_whole_or_fails,
                a_truncated_object_fails_its_readers,
                a_listing_shows_every_object,
                a_listing_below_a_prefix_goes_by_segments,
                writers_do_not_disturb_each_other,
                readers_do_not_disturb_each_other,
                a_reader_that_goes_away_harms_nobody,
                any_valid_key_will_do,
                cleaning_up_spares_objects_and_young_writers
            ]
        );
    };
}

/// A datastore, and what a test can do behind its back.
///
/// Every [`Datastore`] is one already. Implement this for a type of your own to have the rest tested too.
#[async_trait]
pub trait DatastoreUnderTest: Send + Sync {
    /// The datastore.
    fn datastore(&self) -> &dyn Datastore;

    /// Cuts an object to its first `len` bytes. False where that cannot be done.
    async fn truncate(&self, _key: &BlobKey, _len: u64) -> bool {
        false
    }

    /// Number of staged files, unfinished uploads and the like that exist right now, where that can be told.
    async fn unfinished(&self) -> Option<u64> {
        None
    }
}

impl<T: Datastore> DatastoreUnderTest for T {
    fn datastore(&self) -> &dyn Datastore {
        self
    }
}

/// Sizes that lie around the thresholds of the ready backends, and of S3.
const SIZES: [usize; 8] =
    [1, 4095, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 1 << 20, (1 << 20) + 1, (9 << 20) + 4321];

/// Larger than any buffer: a writer that is given so much has begun to write.
const LARGE: usize = (9 << 20) + 9;

async fn begin(store: &dyn Datastore, key: &BlobKey, body: Bytes) -> Box<dyn BlobWriter> {
    let mut writer = store.create(key).await.expect("create works");
    for chunk in fixtures::cut(body) {
        writer.write(chunk).await.expect("write works");
    }
    writer
}

async fn put_at(store: &dyn Datastore, key: &BlobKey, body: Bytes) {
    begin(store, key, body).await.commit().await.expect("commit works");
}

async fn put(store: &dyn Datastore, body: Bytes) -> BlobKey {
    let key = BlobKey::generate();
    put_at(store, &key, body).await;
    key
}

async fn collect(read: BlobRead) -> Bytes {
    let BlobRead { len, body } = read;
    let bytes = body.collect_up_to(len).await.expect("the body comes whole");
    assert_eq!(bytes.len() as u64, len, "`len` tells how much comes");
    bytes
}

async fn get(store: &dyn Datastore, key: &BlobKey) -> Bytes {
    collect(store.read(key, None).await.expect("the object is there")).await
}

async fn list(store: &dyn Datastore, prefix: Option<&BlobKey>) -> BTreeMap<BlobKey, BlobStat> {
    let stats: Vec<BlobStat> = store.list(prefix).try_collect().await.expect("listing works");
    let count = stats.len();
    let by_key: BTreeMap<_, _> = stats.into_iter().map(|stat| (stat.key.clone(), stat)).collect();
    assert_eq!(by_key.len(), count, "no key is listed twice");
    by_key
}

async fn assert_absent(store: &dyn Datastore, key: &BlobKey) {
    let read = store.read(key, None).await;
    assert!(matches!(read, Err(DatastoreError::NotFound)), "{read:?}");
    let read = store.read(key, Some(0..1)).await;
    assert!(matches!(read, Err(DatastoreError::NotFound)), "{read:?}");
    assert!(!list(store, None).await.contains_key(key));
}

// `assert_eq!` would print megabytes.
fn assert_same(got: &Bytes, expected: &Bytes) {
    assert_eq!(got.len(), expected.len());
    if got != expected {
        let differ = got.iter().zip(expected).position(|(got, expected)| got != expected);
        panic!("wrong bytes, the first at {differ:?}");
    }
}

/// What was written comes back, and its length with it.
pub async fn a_committed_object_reads_back_whole(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    for (seed, size) in (1..).zip(SIZES) {
        let body = bytes(seed, size);
        let key = put(store, body.clone()).await;
        assert_same(&get(store, &key).await, &body);
    }
}

/// Neither reads nor listings see an object that is being written, however much of it was.
pub async fn an_object_is_invisible_until_it_is_committed(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    for size in [0, 1000, LARGE] {
        let (key, body) = (BlobKey::generate(), bytes(1, size));
        let writer = begin(store, &key, body.clone()).await;
        assert_absent(store, &key).await;
        writer.commit().await.expect("commit works");
        assert_same(&get(store, &key).await, &body);
        assert_eq!(list(store, None).await[&key].size, size as u64);
    }
}

/// No bytes are bytes too.
pub async fn an_empty_object_is_an_object(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    for chunks in [vec![], vec![Bytes::new()]] {
        let key = BlobKey::generate();
        let mut writer = store.create(&key).await.expect("create works");
        for chunk in chunks {
            writer.write(chunk).await.expect("write works");
        }
        writer.commit().await.expect("commit works");
        assert_eq!(get(store, &key).await, "");
        assert_eq!(list(store, None).await[&key].size, 0);
        let read = store.read(&key, Some(0..1)).await;
        assert!(matches!(read, Err(DatastoreError::Range { len: 0 })), "{read:?}");
    }
}

/// One byte at a time, all at once, or anything between.
pub async fn chunks_of_any_size_make_one_object(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    let body = bytes(3, (2 << 20) + 77);
    for size in [97, 65_536, 1 << 20, body.len()] {
        let key = BlobKey::generate();
        let mut writer = store.create(&key).await.expect("create works");
        for start in (0..body.len()).step_by(size) {
            let chunk = body.slice(start..body.len().min(start + size));
            writer.write(chunk).await.expect("write works");
        }
        writer.commit().await.expect("commit works");
        assert_same(&get(store, &key).await, &body);
    }
}

/// Ranges at both ends, of one byte, of everything, and across whatever blocks the backend thinks in.
pub async fn every_range_gives_its_bytes(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    for size in [1_u64, 1000, (9 << 20) + 4321] {
        let key = put(store, fixtures::slice(5, 0..size)).await;
        let mut ranges: Vec<Range<u64>> =
            vec![0..1, size - 1..size, 0..size, size / 2..size, 0..size.div_ceil(2)];
        if size > 1000 {
            ranges.extend([262_143..262_145, 1..524_290, 1_048_575..8_388_609, 4096..266_240]);
        }
        for range in ranges {
            let read = store.read(&key, Some(range.clone())).await.expect("the range lies inside");
            assert_eq!(read.len, range.end - range.start);
            assert_same(&collect(read).await, &fixtures::slice(5, range));
        }
    }
}

/// The error carries what an answer to the client needs.
pub async fn a_range_behind_the_end_tells_the_length(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    for size in [1000_u64, 300_000] {
        let key = put(store, fixtures::slice(6, 0..size)).await;
        for range in [0..size + 1, size - 1..size + 1, size..size + 1, size + 5..size + 6, 0..u64::MAX] {
            let read = store.read(&key, Some(range)).await;
            assert!(matches!(read, Err(DatastoreError::Range { len }) if len == size), "{read:?}");
        }
    }
}

/// Also when other objects lie next to it or below it.
pub async fn a_missing_object_is_not_found(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    assert_absent(store, &BlobKey::generate()).await;
    let key = put(store, bytes(1, 10)).await;
    assert_absent(store, &BlobKey::generate()).await;
    let (above, _) = key.as_str().split_once('/').expect("generated keys have two segments");
    assert_absent(store, &BlobKey::parse(above).expect("a segment is a key")).await;
}

/// When `abort` returns, nothing is left.
pub async fn an_aborted_writer_leaves_nothing(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    for size in [0, 1000, LARGE] {
        let key = BlobKey::generate();
        begin(store, &key, bytes(1, size)).await.abort().await;
        assert_absent(store, &key).await;
        assert!(matches!(under_test.unfinished().await, None | Some(0)));
    }
}

/// Dropping may take a while to clean up, but it does.
pub async fn a_dropped_writer_leaves_nothing(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    for size in [0, 1000, LARGE] {
        let key = BlobKey::generate();
        drop(begin(store, &key, bytes(1, size)).await);
        until_finished(under_test).await;
        assert_absent(store, &key).await;
    }
}

/// A commit whose caller goes away, as it does when a client disconnects, may still succeed; what it leaves is whole.
pub async fn a_dropped_commit_leaves_all_or_nothing(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    for size in [1000, LARGE] {
        for polls in 0..4 {
            let (key, body) = (BlobKey::generate(), bytes(1, size));
            let mut commit = begin(store, &key, body.clone()).await.commit();
            let mut committed = false;
            for _ in 0..polls {
                if let Poll::Ready(result) = futures_util::poll!(&mut commit) {
                    result.expect("commit works");
                    committed = true;
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(commit);
            until_finished(under_test).await;
            match store.read(&key, None).await {
                Ok(read) => assert_same(&collect(read).await, &body),
                Err(error) => assert!(!committed && matches!(error, DatastoreError::NotFound), "{error:?}"),
            }
        }
    }
}

async fn until_finished(under_test: &dyn DatastoreUnderTest) {
    while under_test.unfinished().await.is_some_and(|unfinished| unfinished > 0) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Deleting is repeated after crashes, so it has to be repeatable.
pub async fn deleting_twice_is_fine(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    store.delete(&BlobKey::generate()).await.expect("a missing object is as good as deleted");
    let key = put(store, bytes(1, 10)).await;
    for _ in 0..2 {
        store.delete(&key).await.expect("delete works");
    }
}

/// And its neighbours are not.
pub async fn a_deleted_object_is_gone(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    for size in [0, 1000, LARGE] {
        let (key, neighbour) = (put(store, bytes(1, size)).await, put(store, bytes(2, 5)).await);
        store.delete(&key).await.expect("delete works");
        assert_absent(store, &key).await;
        assert_same(&get(store, &neighbour).await, &bytes(2, 5));
    }
}

/// Never a short body that looks like a whole one.
pub async fn a_read_that_a_delete_overtakes_is_whole_or_fails(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    for size in [1000, LARGE] {
        let body = bytes(1, size);
        let key = put(store, body.clone()).await;
        let mut read = store.read(&key, None).await.expect("the object is there");
        let mut got = read.body.next().await.expect("some bytes come").map(Vec::from);
        store.delete(&key).await.expect("delete works");
        if let Ok(first) = &mut got {
            while let Some(chunk) = read.body.next().await {
                match chunk {
                    Ok(chunk) => first.extend_from_slice(&chunk),
                    Err(_) => return,
                }
            }
            assert_same(&std::mem::take(first).into(), &body);
        }
    }
}

/// What a disk check or a careless operator cut short ends in an error, whether it is cut before or while it is read.
pub async fn a_truncated_object_fails_its_readers(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    let size = LARGE as u64;
    let key = put(store, bytes(1, LARGE)).await;
    let mut read = store.read(&key, None).await.expect("the object is there");
    read.body.next().await.expect("some bytes come").expect("they are whole");
    if !under_test.truncate(&key, size / 2).await {
        return;
    }
    let rest: Result<Vec<Bytes>, _> = read.body.try_collect().await;
    assert!(rest.is_err(), "a body ended early without an error");
    let read = store.read(&key, Some(0..size)).await;
    assert!(matches!(read, Err(DatastoreError::Range { len }) if len == size / 2), "{read:?}");
}

/// With its size, and a time that a sweep can go by.
pub async fn a_listing_shows_every_object(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    assert!(list(store, None).await.is_empty(), "a fresh datastore is empty");
    let puts = (0..600).map(|size| async move { (put(store, bytes(1, size)).await, size as u64) });
    let sizes: BTreeMap<_, _> = stream::iter(puts).buffer_unordered(32).collect().await;
    let listed = list(store, None).await;
    let day = Duration::from_hours(24);
    let now = SystemClock.now();
    for stat in listed.values() {
        let known = now.minus(day)..now.plus(day);
        assert!(known.contains(&stat.modified), "{stat:?} was made today");
    }
    assert_eq!(listed.into_values().map(|stat| (stat.key, stat.size)).collect::<BTreeMap<_, _>>(), sizes);
}

/// `ab` has `ab/x` below it, but neither `abc/x` nor itself.
pub async fn a_listing_below_a_prefix_goes_by_segments(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    let key = |text: &str| BlobKey::parse(text).expect("valid");
    for text in ["ab/x", "ab/y/z", "abc/x", "a/b", "b"] {
        put_at(store, &key(text), bytes(1, 1)).await;
    }
    for (prefix, expected) in [
        ("ab", vec!["ab/x", "ab/y/z"]),
        ("ab/y", vec!["ab/y/z"]),
        ("a", vec!["a/b"]),
        ("ab/x", vec![]),
        ("c", vec![]),
    ] {
        let listed = list(store, Some(&key(prefix))).await;
        assert_eq!(listed.keys().map(BlobKey::as_str).collect::<Vec<_>>(), expected, "below {prefix}");
    }
}

/// Many at once, of which every third gives up.
pub async fn writers_do_not_disturb_each_other(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    let writers = (0..24).map(|seed: u64| async move {
        let (key, body) = (BlobKey::generate(), bytes(seed, 250_000 * usize::try_from(seed).unwrap_or(0)));
        let writer = begin(store, &key, body.clone()).await;
        if seed.is_multiple_of(3) {
            writer.abort().await;
            return Ok((key, None));
        }
        writer.commit().await.map(|()| (key, Some(body)))
    });
    for (key, body) in try_join_all(writers).await.expect("commits work") {
        match body {
            Some(body) => assert_same(&get(store, &key).await, &body),
            None => assert_absent(store, &key).await,
        }
    }
}

/// Many at once, of one object, at offsets of their own.
pub async fn readers_do_not_disturb_each_other(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    let size = LARGE as u64;
    let key = put(store, bytes(1, LARGE)).await;
    let readers = (0..16).map(|reader| {
        let (start, key) = (reader * 555_555, &key);
        async move {
            let part = collect(store.read(key, Some(start..size)).await?).await;
            assert_same(&part, &fixtures::slice(1, start..size));
            Ok::<_, DatastoreError>(())
        }
    });
    try_join_all(readers).await.expect("reads work");
}

/// Clients come and go.
pub async fn a_reader_that_goes_away_harms_nobody(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    let body = bytes(1, LARGE);
    let key = put(store, body.clone()).await;
    for _ in 0..50 {
        let mut read = store.read(&key, None).await.expect("the object is there");
        read.body.next().await.expect("some bytes come").expect("they are whole");
        drop(read);
        drop(store.read(&key, None).await.expect("the object is there"));
    }
    assert_same(&get(store, &key).await, &body);
}

/// Adopted objects have keys that other software chose.
pub async fn any_valid_key_will_do(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    let deep = ["a"; 100].join("/");
    let long = "k".repeat(200);
    for text in ["plain", "A.b/C-d/E_f.jpg", "00/11/22/33", &deep, &long, "-", "..."] {
        let (key, body) = (BlobKey::parse(text).expect("valid"), bytes(1, 300_000));
        put_at(store, &key, body.clone()).await;
        assert_same(&get(store, &key).await, &body);
        assert!(list(store, None).await.contains_key(&key), "{text} is listed");
        store.delete(&key).await.expect("delete works");
        assert_absent(store, &key).await;
    }
}

/// Only what is older than asked for, and nothing that was committed.
pub async fn cleaning_up_spares_objects_and_young_writers(under_test: &dyn DatastoreUnderTest) {
    let store = under_test.datastore();
    let (key, body) = (BlobKey::generate(), bytes(1, LARGE));
    let old = put(store, body.clone()).await;
    let writer = begin(store, &key, body.clone()).await;
    let an_hour_ago = SystemClock.now().minus(Duration::from_hours(1));
    for before in [Timestamp::EPOCH, an_hour_ago] {
        assert_eq!(store.remove_unfinished(before).await.expect("it works"), 0);
    }
    writer.commit().await.expect("the writer was young");
    let tomorrow = SystemClock.now().plus(Duration::from_hours(24));
    store.remove_unfinished(tomorrow).await.expect("it works");
    assert_same(&get(store, &key).await, &body);
    assert_same(&get(store, &old).await, &body);
}
