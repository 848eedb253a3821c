//! Promises of [`ThumbnailIndex`](crate::store::ThumbnailIndex).

use super::{
    fixtures::{at, blob, blob_at, hash, link, location, media, mxc, ok, reservation, spec, thumbnail, user},
    media::{only, put, quarantine, stored},
};
use crate::{
    store::{
        DatastoreUsage, Inserted, MediaFilter, MediaStore, NewBlob, NewMedia, NewThumbnail, Refusal, Removed,
        RemovedThumbnails, ThumbnailLookup,
    },
    types::{Lookup, Method, ThumbnailRecord, ThumbnailSpec, Timestamp, Variant},
};

async fn render(store: &dyn MediaStore, thumbnail: NewThumbnail) -> NewThumbnail {
    let inserted = ok(store.insert_thumbnail(&thumbnail).await);
    assert!(matches!(inserted, Inserted::Stored | Inserted::Linked(_)), "{inserted:?}");
    thumbnail
}

async fn found(store: &dyn MediaStore, name: u64, spec: ThumbnailSpec) -> Option<ThumbnailRecord> {
    ok(store.thumbnail(&mxc(name), &spec).await).thumbnail
}

/// Every field comes back as it was given, together with the picture.
pub async fn a_thumbnail_is_looked_up_with_its_picture(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    let given = render(store, thumbnail(1, 2)).await;
    let expected = ThumbnailRecord {
        source: given.source,
        spec: given.spec,
        blob: blob(2),
        content_type: given.content_type,
        width: given.width,
        height: given.height,
        created: given.created,
    };
    let lookup = ok(store.thumbnail(&mxc(1), &given.spec).await);
    assert_eq!(lookup, ThumbnailLookup { media: ok(store.lookup(&mxc(1)).await), thumbnail: Some(expected) });
}

/// Copies of a picture share its thumbnails.
pub async fn every_name_of_a_picture_has_its_thumbnails(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    let given = render(store, thumbnail(1, 2)).await;
    put(store, link(3, 1)).await;
    assert_eq!(found(store, 3, given.spec).await, found(store, 1, given.spec).await);
    assert!(found(store, 3, given.spec).await.is_some());
}

/// A name without bytes has no thumbnail.
pub async fn no_picture_has_no_thumbnail(store: &dyn MediaStore) {
    let reservation = reservation(1, 0, 60);
    ok(store.reserve(&reservation, None).await);
    let (reserved, unknown) = (Lookup::Reserved(reservation), Lookup::Unknown);
    for (name, media) in [(1, reserved), (2, unknown)] {
        let lookup = ok(store.thumbnail(&mxc(name), &spec(32, 32)).await);
        assert_eq!(lookup, ThumbnailLookup { media, thumbnail: None });
    }
}

/// Each part of the request has thumbnails of its own.
pub async fn thumbnails_differ_by_every_part_of_the_request(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    let base = spec(32, 32);
    let specs = [
        base,
        spec(33, 32),
        spec(32, 33),
        ThumbnailSpec { method: Method::Crop, ..base },
        ThumbnailSpec { variant: Variant::Animated, ..base },
        ThumbnailSpec { variant: Variant::WebP, ..base },
    ];
    for (bytes, spec) in (10..).zip(specs) {
        assert_eq!(found(store, 1, spec).await, None);
        render(store, NewThumbnail { spec, ..thumbnail(1, bytes) }).await;
    }
    for (bytes, spec) in (10..).zip(specs) {
        assert_eq!(found(store, 1, spec).await.map(|thumbnail| thumbnail.blob), Some(blob(bytes)));
    }
}

/// Thumbnails of bytes that no media has would never go.
pub async fn a_thumbnail_needs_media_with_its_source(store: &dyn MediaStore) {
    assert_eq!(ok(store.insert_thumbnail(&thumbnail(1, 2)).await), Inserted::BlobGone);
    put(store, media(1, 1)).await;
    render(store, thumbnail(1, 2)).await;
    // A thumbnail's own bytes are no media.
    assert_eq!(ok(store.insert_thumbnail(&thumbnail(2, 3)).await), Inserted::BlobGone);
    ok(store.remove(&only(&mxc(1)), 1, at(9)).await);
    assert_eq!(ok(store.insert_thumbnail(&thumbnail(1, 2)).await), Inserted::BlobGone);
    assert_eq!(ok(store.datastore_usage(&blob(1).location.datastore).await), DatastoreUsage::default());
}

/// A thumbnail links bytes that are stored, whatever they are stored for.
pub async fn a_thumbnail_shares_stored_bytes(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    put(store, media(2, 2)).await;
    let gone = NewThumbnail { blob: NewBlob::Link(hash(77)), ..thumbnail(1, 77) };
    assert_eq!(ok(store.insert_thumbnail(&gone).await), Inserted::BlobGone);
    let linked = NewThumbnail { blob: NewBlob::Link(hash(2)), ..thumbnail(1, 2) };
    assert_eq!(ok(store.insert_thumbnail(&linked).await), Inserted::Linked(blob(2).location));
    let raced =
        NewThumbnail { blob: blob_at(2, location("main", "raced")), spec: spec(64, 64), ..thumbnail(1, 2) };
    assert_eq!(ok(store.insert_thumbnail(&raced).await), Inserted::Linked(blob(2).location));
}

/// Whoever renders second keeps what the first rendered.
pub async fn a_thumbnail_is_rendered_once(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    render(store, thumbnail(1, 2)).await;
    assert_eq!(ok(store.insert_thumbnail(&thumbnail(1, 3)).await), Inserted::Refused(Refusal::Taken));
    assert_eq!(found(store, 1, spec(32, 32)).await.map(|thumbnail| thumbnail.blob), Some(blob(2)));
}

/// Neither verdict nor quota of the source concerns its thumbnail.
pub async fn quarantine_does_not_stop_a_thumbnail(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    put(store, media(2, 2)).await;
    quarantine(store, mxc(1)).await;
    quarantine(store, mxc(2)).await;
    assert_eq!(ok(store.insert_thumbnail(&thumbnail(1, 2)).await), Inserted::Linked(blob(2).location));
}

/// Removing the last media with the source removes its thumbnails, and their bytes.
pub async fn thumbnails_go_with_the_last_name_of_their_picture(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    put(store, link(2, 1)).await;
    render(store, thumbnail(1, 10)).await;
    render(store, NewThumbnail { spec: spec(64, 64), ..thumbnail(1, 11) }).await;
    let first = ok(store.remove(&only(&mxc(1)), 1, at(50)).await);
    assert_eq!((first.blobs, first.bytes), (0, 0));
    assert!(found(store, 2, spec(32, 32)).await.is_some());

    let last = ok(store.remove(&only(&mxc(2)), 1, at(60)).await);
    let bytes = [1, 10, 11].map(|bytes| blob(bytes).size).iter().sum();
    assert_eq!(last, Removed { mxcs: vec![mxc(2)], blobs: 3, bytes });
    let mut garbage = ok(store.garbage(9, at(99)).await);
    garbage.sort();
    assert_eq!(garbage, [1, 10, 11].map(|bytes| blob(bytes).location));
    put(store, media(3, 1)).await;
    assert_eq!(found(store, 3, spec(32, 32)).await, None);
}

/// Thumbnails go also when the bytes of the picture stay for another purpose.
pub async fn thumbnails_go_although_an_export_keeps_their_picture(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    render(store, thumbnail(1, 10)).await;
    ok(store.create_export("e", "@a:example.org", at(0)).await);
    ok(store.add_part("e", 0, "part", &NewBlob::Link(hash(1))).await);
    let removed = ok(store.remove(&only(&mxc(1)), 1, at(50)).await);
    assert_eq!(removed, Removed { mxcs: vec![mxc(1)], blobs: 1, bytes: blob(10).size });
    assert_eq!(ok(store.garbage(9, at(99)).await), [blob(10).location]);
}

/// Bytes shared by thumbnails, or by a thumbnail and media, stay until the last of them goes.
pub async fn bytes_shared_with_a_thumbnail_stay(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    put(store, media(2, 2)).await;
    put(store, media(3, 10)).await;
    render(store, thumbnail(1, 10)).await;
    render(store, thumbnail(2, 10)).await;
    for (name, freed) in [(3, 0), (1, 1), (2, 2)] {
        let removed = ok(store.remove(&only(&mxc(name)), 1, at(50)).await);
        assert_eq!(removed.blobs, freed, "{name}");
    }
}

/// A picture that is its own thumbnail keeps nobody alive.
pub async fn a_picture_may_be_its_own_thumbnail(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    render(store, NewThumbnail { blob: NewBlob::Link(hash(1)), ..thumbnail(1, 1) }).await;
    let kept = ok(store.remove_thumbnails(&MediaFilter::default(), at(1), 9, at(50)).await);
    assert_eq!(kept, RemovedThumbnails { thumbnails: 1, blobs: 0, bytes: 0 });
    assert_eq!(stored(store, &mxc(1)).await.blob, blob(1));

    render(store, NewThumbnail { blob: NewBlob::Link(hash(1)), ..thumbnail(1, 1) }).await;
    let removed = ok(store.remove(&MediaFilter::default(), 9, at(50)).await);
    assert_eq!(removed, Removed { mxcs: vec![mxc(1)], blobs: 1, bytes: blob(1).size });
}

/// Thumbnails can be dropped alone, by age and by what is known of their pictures.
pub async fn old_thumbnails_are_removed_by_filter(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    put(store, NewMedia { uploader: Some(user(1)), ..link(2, 1) }).await;
    put(store, media(3, 3)).await;
    for (source, created) in [(1, 10), (3, 20)] {
        for (index, size) in (0..).zip([32, 64]) {
            let spec = spec(size, size);
            render(
                store,
                NewThumbnail { spec, created: at(created), ..thumbnail(source, 100 * source + index) },
            )
            .await;
        }
    }
    let everything = MediaFilter::default();
    let remove = async |filter: &MediaFilter, before: Timestamp, limit| {
        let removed = ok(store.remove_thumbnails(filter, before, limit, at(50)).await);
        assert_eq!(u64::from(removed.thumbnails), removed.blobs, "each has bytes of its own");
        (removed.blobs, removed.bytes)
    };
    assert_eq!(remove(&everything, at(10), 9).await, (0, 0));
    // One of the names of the source has to match.
    let of_user = MediaFilter { uploader: Some(user(1)), ..MediaFilter::default() };
    assert_eq!(remove(&of_user, at(99), 1).await, (1, blob(100).size));
    assert_eq!(found(store, 1, spec(32, 32)).await, None);
    let not_there = MediaFilter { larger_than: Some(blob(3).size), ..MediaFilter::default() };
    assert_eq!(remove(&not_there, at(99), 9).await, (0, 0));
    assert_eq!(remove(&everything, at(99), 2).await, (2, blob(101).size + blob(300).size));
    assert_eq!(remove(&everything, at(99), 9).await, (1, blob(301).size));
    assert_eq!(ok(store.garbage(9, at(99)).await).len(), 4);
    assert_eq!(stored(store, &mxc(1)).await.blob, blob(1));
}

/// What is removed is counted also where its bytes are used elsewhere, so that whoever removes in batches knows the last.
pub async fn a_batch_counts_thumbnails_whose_bytes_stay(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    put(store, media(2, 2)).await;
    for size in [32, 64, 96] {
        render(
            store,
            NewThumbnail { spec: spec(size, size), blob: NewBlob::Link(hash(2)), ..thumbnail(1, 2) },
        )
        .await;
    }
    for left in [2, 1, 0] {
        let removed = ok(store.remove_thumbnails(&MediaFilter::default(), at(99), 2, at(50)).await);
        let thumbnails = if left == 2 { 2 } else { left };
        assert_eq!(removed, RemovedThumbnails { thumbnails, blobs: 0, bytes: 0 });
    }
    assert_eq!(stored(store, &mxc(2)).await.blob, blob(2));
}

/// The thumbnails of some bytes are listed by their boxes, and nobody else's with them.
pub async fn the_thumbnails_of_a_picture_are_listed_in_order(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    put(store, media(2, 2)).await;
    let crop = ThumbnailSpec { method: Method::Crop, ..spec(32, 32) };
    let moving = ThumbnailSpec { variant: Variant::Animated, ..spec(32, 32) };
    for (bytes, spec) in (10..).zip([spec(64, 64), spec(32, 32), spec(32, 16), crop, moving]) {
        render(store, NewThumbnail { spec, ..thumbnail(1, bytes) }).await;
    }
    render(store, thumbnail(2, 20)).await;
    let list = async |source, limit| ok(store.thumbnails_of(&hash(source), limit).await);
    let mut expected = Vec::new();
    for spec in [spec(32, 16), crop, moving, spec(32, 32), spec(64, 64)] {
        expected.extend(found(store, 1, spec).await);
    }
    assert_eq!(list(1, 9).await, expected);
    assert_eq!(list(1, 2).await, expected[..2]);
    assert_eq!(list(77, 9).await, []);
}
