//! Promises of [`BlobIndex`](crate::store::BlobIndex).

use super::{
    fixtures::{at, blob, blob_at, datastore_id, hash, key_of, location, media, mxc, ok, thumbnail},
    media::{only, put, stored},
};
use crate::{
    store::{DatastoreUsage, MediaFilter, MediaStore, NewMedia, NewThumbnail, StoredBlob},
    types::BlobLocation,
};

async fn drop_media(store: &dyn MediaStore, name: u64, seconds: u64) {
    ok(store.remove(&only(&mxc(name)), 1, at(seconds)).await);
}

/// The collector gets what lies longest, and gets it again until it says that it is deleted.
pub async fn garbage_is_listed_oldest_first_until_forgotten(store: &dyn MediaStore) {
    for (name, seconds) in [(1, 30), (2, 10), (4, 20), (3, 20)] {
        put(store, media(name, name)).await;
        drop_media(store, name, seconds).await;
    }
    let places = |names: &[u64]| names.iter().map(|name| blob(*name).location).collect::<Vec<_>>();
    assert_eq!(ok(store.garbage(9, at(99)).await), places(&[2, 3, 4, 1]));
    assert_eq!(ok(store.garbage(2, at(99)).await), places(&[2, 3]));
    ok(store.forget(&places(&[2, 4, 77])).await);
    assert_eq!(ok(store.garbage(9, at(99)).await), places(&[3, 1]));
    ok(store.forget(&[]).await);
}

/// What became garbage at the given moment is not older than it.
pub async fn young_garbage_is_spared(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    drop_media(store, 1, 30).await;
    assert_eq!(ok(store.garbage(9, at(30)).await), []);
    assert_eq!(ok(store.garbage(9, at(31)).await), [blob(1).location]);
}

/// Whoever stores an object at a place that waits for deletion saves it.
pub async fn a_place_in_use_again_is_no_garbage(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    drop_media(store, 1, 30).await;
    put(store, NewMedia { blob: blob_at(2, blob(1).location), ..media(2, 2) }).await;
    assert_eq!(ok(store.garbage(9, at(99)).await), []);

    put(store, media(3, 3)).await;
    drop_media(store, 3, 40).await;
    assert!(ok(store.relocate(&hash(2), &blob(1).location, &blob(3).location, at(50)).await));
    assert_eq!(ok(store.garbage(9, at(99)).await), [blob(1).location]);
}

/// An orphan is in no row: neither a blob's nor garbage, in that datastore.
pub async fn orphans_are_keys_that_nothing_names(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    put(store, media(2, 2)).await;
    drop_media(store, 2, 30).await;
    let (live, garbage) = (blob(1).location.key, blob(2).location.key);
    let keys = [key_of("zz/orphan"), live.clone(), garbage.clone(), key_of("aa/orphan")];
    let orphans = ok(store.unreferenced(&datastore_id("main"), &keys).await);
    assert_eq!(orphans, [key_of("zz/orphan"), key_of("aa/orphan")]);
    let elsewhere = ok(store.unreferenced(&datastore_id("other"), &[live.clone(), garbage]).await);
    assert_eq!(elsewhere.len(), 2);
    assert_eq!(ok(store.unreferenced(&datastore_id("main"), &[]).await), []);
}

/// A moved blob is found at its new place under every name; the old place is garbage.
pub async fn a_moved_blob_leaves_garbage_behind(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    let (from, to) = (blob(1).location, location("other", "bb/1"));
    assert!(ok(store.relocate(&hash(1), &from, &to, at(30)).await));
    assert_eq!(stored(store, &mxc(1)).await.blob.location, to);
    assert_eq!(ok(store.garbage(9, at(99)).await), [from]);
}

/// Two movers do not undo each other's work.
pub async fn a_blob_moves_only_from_where_it_is(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    let (from, to) = (blob(1).location, location("other", "bb/1"));
    assert!(!ok(store.relocate(&hash(1), &to, &from, at(30)).await));
    assert!(!ok(store.relocate(&hash(2), &from, &to, at(30)).await));
    assert_eq!(stored(store, &mxc(1)).await.blob.location, from);
    assert_eq!(ok(store.garbage(9, at(99)).await), []);
}

/// Moving a blob to where it is must not make its place garbage.
pub async fn moving_a_blob_to_its_own_place_does_nothing(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    let here = blob(1).location;
    assert!(ok(store.relocate(&hash(1), &here, &here, at(30)).await));
    assert_eq!(ok(store.garbage(9, at(99)).await), []);
}

/// A place holds one blob, also after a move.
pub async fn a_blob_never_moves_onto_another(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    put(store, media(2, 2)).await;
    let (from, taken) = (blob(1).location, blob(2).location);
    assert!(store.relocate(&hash(1), &from, &taken, at(30)).await.is_err());
    assert_eq!(stored(store, &mxc(1)).await.blob.location, from);
    assert_eq!(ok(store.garbage(9, at(99)).await), []);
}

/// Sums of a datastore count each blob once, where it lies now.
pub async fn the_sums_of_a_datastore_follow_what_lies_in_it(store: &dyn MediaStore) {
    let usage = async |id: &str| ok(store.datastore_usage(&datastore_id(id)).await);
    let sum = |names: &[u64]| DatastoreUsage {
        blobs: names.len() as u64,
        bytes: names.iter().map(|name| blob(*name).size).sum(),
    };
    assert_eq!(usage("main").await, sum(&[]));
    for (name, bytes) in [(1, 1), (2, 2), (3, 1)] {
        put(store, media(name, bytes)).await;
    }
    assert_eq!(usage("main").await, sum(&[1, 2]));
    let (from, to): (BlobLocation, _) = (blob(1).location, location("other", "bb/1"));
    ok(store.relocate(&hash(1), &from, &to, at(30)).await);
    assert_eq!((usage("main").await, usage("other").await), (sum(&[2]), sum(&[1])));
    ok(store.relocate(&hash(1), &to, &location("other", "cc/1"), at(31)).await);
    assert_eq!(usage("other").await, sum(&[1]));
    drop_media(store, 1, 40).await;
    assert_eq!(usage("other").await, sum(&[1]));
    ok(store.remove(&MediaFilter::default(), 9, at(41)).await);
    assert_eq!((usage("main").await, usage("other").await), (sum(&[]), sum(&[])));
}

/// A datastore counts while a blob lies in it; garbage does not count.
pub async fn datastores_in_use_are_listed_in_order(store: &dyn MediaStore) {
    assert_eq!(ok(store.datastores().await), []);
    for (name, datastore) in [(1, "b"), (2, "a"), (3, "b")] {
        let place = location(datastore, &format!("key{name}"));
        put(store, NewMedia { blob: blob_at(name, place), ..media(name, name) }).await;
    }
    assert_eq!(ok(store.datastores().await), ["a", "b"].map(datastore_id));
    drop_media(store, 2, 30).await;
    assert_eq!(ok(store.datastores().await), [datastore_id("b")]);
}

/// Whoever walks through a datastore meets each blob once, in the bytewise order of keys.
pub async fn the_blobs_of_a_datastore_are_paged_by_key(store: &dyn MediaStore) {
    let keys = ["A/1", "Z/1", "a/1", "a/10", "a/2", "aa/1"].map(key_of);
    for (name, key) in (1..).zip([3, 0, 5, 2, 1, 4]) {
        let place = BlobLocation { datastore: datastore_id("main"), key: keys[key].clone() };
        put(store, NewMedia { blob: blob_at(name, place), ..media(name, name) }).await;
    }
    let place = location("other", "b/1");
    put(store, NewMedia { blob: blob_at(9, place), ..media(9, 9) }).await;
    let mut walked = vec![];
    loop {
        let page = ok(store.blobs_in(&datastore_id("main"), walked.last(), 4).await);
        assert!(page.len() <= 4);
        walked.extend(page.iter().map(|stored| stored.blob.location.key.clone()));
        if page.len() < 4 {
            break;
        }
    }
    assert_eq!(walked, keys);
    assert_eq!(ok(store.blobs_in(&datastore_id("nowhere"), None, 9).await), []);
}

/// What is moved or estimated by age is chosen by this.
pub async fn a_blob_tells_what_it_is_for_and_when_it_was_used(store: &dyn MediaStore) {
    let walk = async || ok(store.blobs_in(&datastore_id("main"), None, 9).await);
    put(store, NewMedia { created: at(10), ..media(1, 1) }).await;
    put(store, NewMedia { created: at(20), ..media(2, 1) }).await;
    let picture = StoredBlob { blob: blob(1), last_used: at(20), media: 2, thumbnails: 0 };
    assert_eq!(walk().await, std::slice::from_ref(&picture));

    let made = NewThumbnail { created: at(30), ..thumbnail(1, 2) };
    ok(store.insert_thumbnail(&made).await);
    let small = StoredBlob { blob: blob(2), last_used: at(30), media: 0, thumbnails: 1 };
    let mut both = [picture, small];
    both.sort_by(|a, b| a.blob.location.key.cmp(&b.blob.location.key));
    assert_eq!(walk().await, both);

    ok(store.touch(&[(hash(1), at(50))]).await);
    let used = walk().await.into_iter().find(|stored| stored.blob == blob(1)).map(|stored| stored.last_used);
    assert_eq!(used, Some(at(50)));
}
