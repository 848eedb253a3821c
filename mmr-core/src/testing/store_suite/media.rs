//! Promises of [`MediaIndex`](crate::store::MediaIndex).

use std::slice;

use super::fixtures::{at, blob, blob_at, hash, link, location, media, mxc, mxc_of, ok, reservation, user};
use crate::{
    store::{
        Inserted, MediaFilter, MediaStore, MediaUsage, NewBlob, NewMedia, Page, Quarantine, QuotaCap,
        Refusal, Removed, UploadFacts, UploadProbe,
    },
    types::{ContentType, FileName, Lookup, MediaRecord, Mxc, Restriction, Timestamp},
};

pub(super) async fn stored(store: &dyn MediaStore, mxc: &Mxc) -> MediaRecord {
    match ok(store.lookup(mxc).await) {
        Lookup::Stored(record) => MediaRecord::clone(&record),
        other => panic!("{mxc} is {other:?}"),
    }
}

pub(super) async fn put(store: &dyn MediaStore, media: NewMedia) -> NewMedia {
    let inserted = ok(store.insert(&media).await);
    assert!(matches!(inserted, Inserted::Stored | Inserted::Linked(_)), "{inserted:?}");
    media
}

pub(super) async fn quarantine(store: &dyn MediaStore, mxc: Mxc) {
    let verdict = Quarantine::Impose { by: user(9), at: at(900), only_origins: None };
    assert_eq!(ok(store.set_quarantine(&only(&mxc), &verdict).await), [mxc]);
}

pub(super) fn only(mxc: &Mxc) -> MediaFilter {
    MediaFilter { mxcs: Some(vec![mxc.clone()]), ..MediaFilter::default() }
}

pub(super) async fn selected(store: &dyn MediaStore, filter: &MediaFilter) -> Vec<Mxc> {
    ok(store.list(filter, &Page { limit: 100, ..Page::default() }).await)
        .into_iter()
        .map(|record| record.mxc)
        .collect()
}

/// Nothing is known about a name that nobody gave.
pub async fn an_unknown_name_is_unknown(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    assert_eq!(ok(store.lookup(&mxc(2)).await), Lookup::Unknown);
    assert_eq!(ok(store.lookup(&mxc_of("elsewhere.example", 1)).await), Lookup::Unknown);
}

/// Every field of media comes back as it was given.
pub async fn inserted_media_is_looked_up_as_it_was_given(store: &dyn MediaStore) {
    let plain = put(store, media(1, 1)).await;
    let full = NewMedia {
        content_type: ContentType::new("Text/HTML; charset=x"),
        file_name: FileName::new("Übersicht \"1\".html"),
        requires_auth: true,
        restriction: Some(Restriction::new("{\"event\":\"$a\"}")),
        expires: Some(at(100)),
        uploader: None,
        ..media(2, 2)
    };
    put(store, full.clone()).await;
    for given in [plain, full] {
        let NewBlob::Store(blob) = given.blob else { unreachable!("the fixtures store") };
        let expected = MediaRecord {
            mxc: given.mxc.clone(),
            blob,
            content_type: given.content_type,
            file_name: given.file_name,
            uploader: given.uploader,
            created: given.created,
            quarantined: false,
            requires_auth: given.requires_auth,
            restriction: given.restriction,
            expires: given.expires,
        };
        assert_eq!(stored(store, &given.mxc).await, expected);
    }
}

/// A blob without checksum, as adopted ones are, stays without.
pub async fn a_missing_checksum_stays_missing(store: &dyn MediaStore) {
    let mut adopted = blob(1);
    adopted.checksum = None;
    put(store, NewMedia { blob: NewBlob::Store(adopted.clone()), ..media(1, 1) }).await;
    assert_eq!(stored(store, &mxc(1)).await.blob, adopted);
}

/// Names that differ in the case of a letter, or in the server, are different names.
pub async fn names_are_compared_exactly(store: &dyn MediaStore) {
    for (bytes, (origin, id)) in (1..).zip([
        ("example.org", "abc"),
        ("example.org", "ABC"),
        ("Example.org", "abc"),
        ("a.example.org", "abc"),
    ]) {
        let mxc = Mxc::from_parts(origin, id).expect("the name is inside the grammar");
        put(store, NewMedia { mxc: mxc.clone(), ..media(1, bytes) }).await;
        assert_eq!(stored(store, &mxc).await.blob, blob(bytes));
    }
}

/// Media never replaces media.
pub async fn a_name_is_given_once(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    assert_eq!(ok(store.insert(&media(1, 2)).await), Inserted::Refused(Refusal::Taken));
    assert_eq!(ok(store.insert(&media(1, 1)).await), Inserted::Refused(Refusal::Taken));
    assert_eq!(stored(store, &mxc(1)).await.blob, blob(1));
    assert_eq!(ok(store.datastore_usage(&blob(1).location.datastore).await).blobs, 1);
}

/// The second media with the same bytes refers to the object that is there, wherever its own lies.
pub async fn the_same_bytes_are_stored_once(store: &dyn MediaStore) {
    assert_eq!(ok(store.insert(&media(1, 1)).await), Inserted::Stored);
    let elsewhere = NewMedia { blob: blob_at(1, location("main", "other")), ..media(2, 1) };
    assert_eq!(ok(store.insert(&elsewhere).await), Inserted::Linked(blob(1).location));
    assert_eq!(ok(store.insert(&link(3, 1)).await), Inserted::Linked(blob(1).location));
    for name in 1..=3 {
        assert_eq!(stored(store, &mxc(name)).await.blob, blob(1));
    }
}

/// A link needs something to link to.
pub async fn a_link_to_bytes_that_are_gone_records_nothing(store: &dyn MediaStore) {
    assert_eq!(ok(store.insert(&link(1, 1)).await), Inserted::BlobGone);
    put(store, media(2, 1)).await;
    ok(store.remove(&only(&mxc(2)), 1, at(9)).await);
    assert_eq!(ok(store.insert(&link(1, 1)).await), Inserted::BlobGone);
    assert_eq!(ok(store.lookup(&mxc(1)).await), Lookup::Unknown);
    assert_eq!(ok(store.usage_of_user(&user(0)).await), MediaUsage::default());
}

/// Different bytes in one object would be nonsense.
pub async fn two_blobs_never_lie_in_one_place(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    let intruder = NewMedia { blob: blob_at(2, blob(1).location), ..media(2, 2) };
    assert!(store.insert(&intruder).await.is_err());
    assert_eq!(ok(store.lookup(&mxc(2)).await), Lookup::Unknown);
}

/// Quarantined bytes come back under no name, neither stored nor linked.
pub async fn quarantined_bytes_are_refused_under_any_name(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    quarantine(store, mxc(1)).await;
    for again in [media(2, 1), link(2, 1), NewMedia { mxc: mxc_of("elsewhere.example", 2), ..media(2, 1) }] {
        assert_eq!(ok(store.insert(&again).await), Inserted::Refused(Refusal::Quarantined));
    }
    put(store, media(2, 2)).await;
}

/// The first check that fails gives the answer.
pub async fn refusals_come_in_the_promised_order(store: &dyn MediaStore) {
    let broke = QuotaCap { max_files: Some(0), max_bytes: Some(0) };
    put(store, media(1, 1)).await;
    quarantine(store, mxc(1)).await;
    let mut new = NewMedia { fills_reservation: true, quota: broke, ..media(1, 1) };
    assert_eq!(ok(store.insert(&new).await), Inserted::Refused(Refusal::Taken));
    new.mxc = mxc(2);
    assert_eq!(ok(store.insert(&new).await), Inserted::Refused(Refusal::NotReserved));
    new.fills_reservation = false;
    assert_eq!(ok(store.insert(&new).await), Inserted::Refused(Refusal::Quarantined));
    new.blob = link(2, 2).blob;
    assert_eq!(ok(store.insert(&new).await), Inserted::BlobGone);
    new.blob = media(2, 2).blob;
    assert_eq!(ok(store.insert(&new).await), Inserted::Refused(Refusal::QuotaExceeded));
    new.quota = QuotaCap::default();
    assert_eq!(ok(store.insert(&new).await), Inserted::Stored);
}

/// The limit is what a user may have, not what they may have before.
pub async fn the_quota_counts_the_new_media(store: &dyn MediaStore) {
    let files = |n| QuotaCap { max_files: Some(n), max_bytes: None };
    let bytes = |n| QuotaCap { max_files: None, max_bytes: Some(n) };
    let with = |name, quota| NewMedia { quota, ..media(name, 1) };
    let refused = Inserted::Refused(Refusal::QuotaExceeded);
    let size = blob(1).size;

    assert_eq!(ok(store.insert(&with(1, files(0))).await), refused);
    assert_eq!(ok(store.insert(&with(1, bytes(size - 1))).await), refused);
    assert_eq!(ok(store.insert(&with(1, bytes(size))).await), Inserted::Stored);
    assert_eq!(ok(store.insert(&with(2, files(1))).await), refused);
    // Sharing a blob saves the operator space, not the user quota.
    assert_eq!(ok(store.insert(&NewMedia { quota: bytes(2 * size - 1), ..link(2, 1) }).await), refused);
    let both = QuotaCap { max_files: Some(2), max_bytes: Some(2 * size) };
    assert_eq!(ok(store.insert(&with(2, both)).await), Inserted::Linked(blob(1).location));
}

/// What others have does not count, nor do media of nobody.
pub async fn the_quota_of_a_user_is_their_own(store: &dyn MediaStore) {
    let quota = QuotaCap { max_files: Some(1), max_bytes: None };
    for (name, uploader) in (1..).zip([Some(user(0)), Some(user(1)), None, None]) {
        let new = NewMedia { uploader, quota, ..media(name, name) };
        assert_eq!(ok(store.insert(&new).await), Inserted::Stored);
    }
    let second = NewMedia { quota, ..media(9, 9) };
    assert_eq!(ok(store.insert(&second).await), Inserted::Refused(Refusal::QuotaExceeded));
}

fn probe(media: &NewMedia) -> UploadProbe {
    UploadProbe {
        hash: *media.blob.hash(),
        origin: media.mxc.origin().to_owned(),
        uploader: media.uploader.clone(),
        content_type: media.content_type.clone(),
        file_name: media.file_name.clone(),
    }
}

/// Of bytes that nobody stored, only the uploader is known.
pub async fn the_facts_about_new_bytes_are_the_uploaders_sums(store: &dyn MediaStore) {
    assert_eq!(ok(store.upload_facts(&probe(&media(1, 1))).await), UploadFacts::default());
    put(store, media(1, 1)).await;
    let usage = MediaUsage { files: 1, bytes: blob(1).size };
    let expected = UploadFacts { usage, ..UploadFacts::default() };
    assert_eq!(ok(store.upload_facts(&probe(&media(2, 2))).await), expected);
}

/// Of stored bytes, blob, verdict and the same upload are known.
pub async fn the_facts_about_stored_bytes_are_blob_verdict_and_same_upload(store: &dyn MediaStore) {
    let first = put(store, media(1, 1)).await;
    let mut expected = UploadFacts {
        quarantined: false,
        blob: Some(blob(1)),
        same: Some(stored(store, &first.mxc).await),
        usage: MediaUsage { files: 1, bytes: blob(1).size },
    };
    assert_eq!(ok(store.upload_facts(&probe(&first)).await), expected);

    quarantine(store, mxc(1)).await;
    expected.quarantined = true;
    expected.same = Some(stored(store, &first.mxc).await);
    assert_eq!(ok(store.upload_facts(&probe(&first)).await), expected);

    let by_another = UploadProbe { uploader: Some(user(1)), ..probe(&first) };
    expected.same = None;
    expected.usage = MediaUsage::default();
    assert_eq!(ok(store.upload_facts(&by_another).await), expected);
}

/// The same upload is the oldest by the same user, on the same server, of the same bytes, type and name, without
/// conditions attached.
pub async fn the_same_upload_is_the_same_in_every_respect(store: &dyn MediaStore) {
    let name = FileName::new("a.png");
    let wanted = NewMedia { file_name: name.clone(), ..media(50, 1) };
    let near_misses = [
        NewMedia { uploader: Some(user(1)), ..wanted.clone() },
        NewMedia { uploader: None, ..wanted.clone() },
        NewMedia { content_type: ContentType::new("image/jpeg"), ..wanted.clone() },
        NewMedia { file_name: None, ..wanted.clone() },
        NewMedia { file_name: FileName::new("A.png"), ..wanted.clone() },
        NewMedia { restriction: Some(Restriction::new("{}")), ..wanted.clone() },
        NewMedia { expires: Some(Timestamp::from_millis(u64::MAX)), ..wanted.clone() },
        NewMedia { blob: media(0, 2).blob, ..wanted.clone() },
    ];
    for (number, miss) in (1..).zip(near_misses) {
        put(store, NewMedia { mxc: mxc(number), created: at(number), ..miss }).await;
    }
    let elsewhere = mxc_of("elsewhere.example", 1);
    put(store, NewMedia { mxc: elsewhere, created: at(0), ..wanted.clone() }).await;
    assert_eq!(ok(store.upload_facts(&probe(&wanted)).await).same, None);

    for (number, created) in [(53, 60), (52, 51), (51, 51)] {
        put(store, NewMedia { mxc: mxc(number), created: at(created), ..wanted.clone() }).await;
    }
    let same = ok(store.upload_facts(&probe(&wanted)).await).same;
    assert_eq!(same.map(|record| record.mxc), Some(mxc(51)));
    let by_nobody = UploadProbe { uploader: None, ..probe(&wanted) };
    assert_eq!(ok(store.upload_facts(&by_nobody).await).same, None);
}

/// A removed record is gone from everywhere, and the name is free.
pub async fn removed_media_is_unknown(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    put(store, media(2, 2)).await;
    let removed = ok(store.remove(&only(&mxc(1)), 10, at(50)).await);
    assert_eq!(removed, Removed { mxcs: vec![mxc(1)], blobs: 1, bytes: blob(1).size });
    assert_eq!(ok(store.lookup(&mxc(1)).await), Lookup::Unknown);
    assert_eq!(selected(store, &MediaFilter::default()).await, [mxc(2)]);
    assert_eq!(ok(store.upload_facts(&probe(&media(1, 1))).await).blob, None);
    assert_eq!(ok(store.remove(&only(&mxc(1)), 10, at(51)).await), Removed::default());
}

/// Batches go from the oldest to the newest, and end by themselves.
pub async fn removal_goes_from_the_oldest_up_to_the_limit(store: &dyn MediaStore) {
    for (name, created) in [(1, 30), (2, 10), (4, 20), (3, 20)] {
        put(store, NewMedia { created: at(created), ..media(name, name) }).await;
    }
    let everything = MediaFilter::default();
    for expected in [vec![mxc(2), mxc(3)], vec![mxc(4), mxc(1)], vec![]] {
        assert_eq!(ok(store.remove(&everything, 2, at(50)).await).mxcs, expected);
    }
    assert_eq!(ok(store.remove(&everything, 0, at(50)).await), Removed::default());
}

/// What is removed because it has expired goes in the order in which it did.
pub async fn removal_of_expired_media_goes_by_expiry(store: &dyn MediaStore) {
    for (name, expires) in [(1, 30), (2, 10), (4, 20), (3, 20), (5, 41)] {
        put(store, NewMedia { expires: Some(at(expires)), ..media(name, name) }).await;
    }
    put(store, media(6, 6)).await;
    let expired = MediaFilter { expired_at: Some(at(40)), ..MediaFilter::default() };
    for expected in [vec![mxc(2), mxc(3), mxc(4)], vec![mxc(1)], vec![]] {
        assert_eq!(ok(store.remove(&expired, 3, at(50)).await).mxcs, expected);
    }
}

/// Shared bytes stay until the last name goes.
pub async fn a_shared_blob_goes_with_its_last_name(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    put(store, link(2, 1)).await;
    let first = ok(store.remove(&only(&mxc(1)), 1, at(50)).await);
    assert_eq!(first, Removed { mxcs: vec![mxc(1)], blobs: 0, bytes: 0 });
    assert_eq!(ok(store.garbage(9, at(99)).await), []);
    assert_eq!(stored(store, &mxc(2)).await.blob, blob(1));

    let last = ok(store.remove(&only(&mxc(2)), 1, at(60)).await);
    assert_eq!(last, Removed { mxcs: vec![mxc(2)], blobs: 1, bytes: blob(1).size });
    assert_eq!(ok(store.garbage(9, at(99)).await), [blob(1).location]);
}

/// Two names of one blob in one batch free it once.
pub async fn a_batch_frees_a_shared_blob_once(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    put(store, link(2, 1)).await;
    let removed = ok(store.remove(&MediaFilter::default(), 10, at(50)).await);
    assert_eq!(removed, Removed { mxcs: vec![mxc(1), mxc(2)], blobs: 1, bytes: blob(1).size });
}

/// Reservations are no media: removing media spares them.
pub async fn removal_spares_reservations(store: &dyn MediaStore) {
    ok(store.reserve(&reservation(1, 0, 10), None).await);
    ok(store.remove(&MediaFilter::default(), 10, at(50)).await);
    assert!(matches!(ok(store.lookup(&mxc(1)).await), Lookup::Reserved(_)));
}

/// Reading is noted for every name of the bytes, and never moves back.
pub async fn reading_is_noted_by_bytes_and_never_moves_back(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    put(store, link(2, 1)).await;
    put(store, media(3, 3)).await;
    let unused_since = |time| MediaFilter { unused_since: Some(time), ..MediaFilter::default() };
    assert_eq!(selected(store, &unused_since(at(2))).await, [mxc(1)]);

    ok(store.touch(&[(hash(1), at(50)), (hash(77), at(60)), (hash(1), at(40))]).await);
    ok(store.touch(&[(hash(1), at(45))]).await);
    ok(store.touch(&[]).await);
    assert_eq!(selected(store, &unused_since(at(50))).await, [mxc(3)]);
    assert_eq!(selected(store, &unused_since(at(51))).await, [mxc(1), mxc(2), mxc(3)]);
}

/// Storing more media of bytes that were read before counts as reading for the new name only.
pub async fn storing_counts_as_reading(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    ok(store.touch(&[(hash(1), at(5))]).await);
    put(store, link(20, 1)).await;
    let filter = MediaFilter { unused_since: Some(at(10)), ..MediaFilter::default() };
    assert_eq!(selected(store, &filter).await, [mxc(1)]);
}

/// A call whose future is dropped takes effect wholly or not at all.
pub async fn a_dropped_insert_happens_wholly_or_not_at_all(store: &dyn MediaStore) {
    for name in 0..20 {
        let new = media(name, name);
        let mut insert = Box::pin(store.insert(&new));
        let answered = futures_util::poll!(insert.as_mut()).is_ready();
        drop(insert);
        // What comes later is decided later.
        let again = ok(store.insert(&new).await);
        let recorded = again == Inserted::Refused(Refusal::Taken);
        assert!(recorded || (!answered && again == Inserted::Stored), "{again:?}");
        assert_eq!(stored(store, &new.mxc).await.blob, blob(name));
        let filter = MediaFilter { hash: Some(hash(name)), ..MediaFilter::default() };
        assert_eq!(selected(store, &filter).await, slice::from_ref(&new.mxc));
    }
    let usage = ok(store.datastore_usage(&blob(0).location.datastore).await);
    assert_eq!((usage.blobs, usage.bytes), (20, (0..20).map(|name| blob(name).size).sum()));
}
