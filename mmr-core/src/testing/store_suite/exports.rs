//! Promises of [`ExportIndex`](crate::store::ExportIndex).

use super::{
    fixtures::{at, blob, blob_at, hash, location, media, mxc, ok},
    media::{only, put, quarantine, stored},
};
use crate::store::{DatastoreUsage, ExportPart, Inserted, MediaStore, NewBlob, Refusal};

async fn create(store: &dyn MediaStore, id: &str) {
    ok(store.create_export(id, "@a:example.org", at(0)).await);
}

async fn add(store: &dyn MediaStore, id: &str, index: u32, blob: &NewBlob) -> Inserted {
    ok(store.add_part(id, index, &format!("{id}-{index}.tgz"), blob).await)
}

/// An export begins empty, and lists its parts by number.
pub async fn an_export_lists_its_parts_by_number(store: &dyn MediaStore) {
    assert_eq!(ok(store.export("e").await), None);
    create(store, "e").await;
    create(store, "f").await;
    assert_eq!(ok(store.export("e").await), Some(("@a:example.org".to_owned(), vec![])));
    for index in [10, 2] {
        let part = NewBlob::Store(blob(u64::from(index)));
        assert_eq!(add(store, "e", index, &part).await, Inserted::Stored);
    }
    let part = |index| ExportPart { index, name: format!("e-{index}.tgz"), blob: blob(u64::from(index)) };
    assert_eq!(ok(store.export("e").await), Some(("@a:example.org".to_owned(), vec![part(2), part(10)])));
    assert_eq!(ok(store.export("f").await), Some(("@a:example.org".to_owned(), vec![])));
}

/// An ID means one export.
pub async fn an_export_is_created_once(store: &dyn MediaStore) {
    create(store, "e").await;
    assert!(store.create_export("e", "@b:example.org", at(0)).await.is_err());
    assert_eq!(ok(store.export("e").await), Some(("@a:example.org".to_owned(), vec![])));
}

/// Parts need an export, a number of their own, and bytes.
pub async fn a_part_needs_an_export_a_free_number_and_bytes(store: &dyn MediaStore) {
    let part = NewBlob::Store(blob(1));
    assert_eq!(add(store, "e", 1, &part).await, Inserted::BlobGone);
    create(store, "e").await;
    assert_eq!(add(store, "e", 1, &NewBlob::Link(hash(1))).await, Inserted::BlobGone);
    assert_eq!(add(store, "e", 1, &part).await, Inserted::Stored);
    assert_eq!(add(store, "e", 1, &NewBlob::Store(blob(2))).await, Inserted::Refused(Refusal::Taken));
    assert_eq!(ok(store.datastore_usage(&blob(1).location.datastore).await).blobs, 1);
}

/// Parts share bytes with media, verdict or not.
pub async fn parts_share_stored_bytes(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    quarantine(store, mxc(1)).await;
    create(store, "e").await;
    for (index, part) in (1..).zip([NewBlob::Link(hash(1)), blob_at(1, location("main", "raced"))]) {
        assert_eq!(add(store, "e", index, &part).await, Inserted::Linked(blob(1).location));
    }
    ok(store.remove(&only(&mxc(1)), 1, at(50)).await);
    assert_eq!(ok(store.garbage(9, at(99)).await), []);
}

/// A removed export leaves garbage, but nothing that others use.
pub async fn a_removed_export_frees_its_parts(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    create(store, "e").await;
    create(store, "f").await;
    for (id, index, bytes) in [("e", 0, 1), ("e", 1, 2), ("e", 2, 2), ("e", 3, 3), ("f", 0, 3)] {
        add(store, id, index, &NewBlob::Store(blob(bytes))).await;
    }
    assert!(ok(store.remove_export("e", at(50)).await));
    assert_eq!(ok(store.export("e").await), None);
    assert_eq!(ok(store.garbage(9, at(99)).await), [blob(2).location]);
    assert_eq!(stored(store, &mxc(1)).await.blob, blob(1));
    assert!(!ok(store.remove_export("e", at(60)).await));
    assert!(ok(store.remove_export("f", at(60)).await));
    let left = DatastoreUsage { blobs: 1, bytes: blob(1).size };
    assert_eq!(ok(store.datastore_usage(&blob(1).location.datastore).await), left);
}
