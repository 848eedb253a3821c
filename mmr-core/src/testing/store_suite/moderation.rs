//! Promises of [`ModerationIndex`](crate::store::ModerationIndex).

use std::slice;

use super::{
    fixtures::{at, hash, link, media, mxc, mxc_of, ok, user},
    media::{only, put, quarantine, stored},
};
use crate::{
    store::{Attributes, Inserted, MediaFilter, MediaStore, NewMedia, Quarantine},
    types::Mxc,
};

fn impose(only_origins: Option<&[&str]>) -> Quarantine {
    let origin = |text: &&str| mxc_of(text, 0).origin().to_owned();
    let only_origins = only_origins.map(|origins| origins.iter().map(origin).collect());
    Quarantine::Impose { by: user(9), at: at(900), only_origins }
}

async fn is_quarantined(store: &dyn MediaStore, mxc: &Mxc) -> bool {
    stored(store, mxc).await.quarantined
}

/// Three names of one picture on two servers, and another picture.
async fn copies(store: &dyn MediaStore) -> [Mxc; 4] {
    let remote = mxc_of("remote.example", 3);
    put(store, media(1, 1)).await;
    put(store, link(2, 1)).await;
    put(store, NewMedia { mxc: remote.clone(), uploader: None, ..link(3, 1) }).await;
    put(store, media(4, 4)).await;
    [mxc(1), mxc(2), remote, mxc(4)]
}

/// A verdict on a picture is one on all its copies, and is told once.
pub async fn quarantine_takes_all_copies(store: &dyn MediaStore) {
    let [first, second, remote, other] = copies(store).await;
    let changed = ok(store.set_quarantine(&only(&second), &impose(None)).await);
    assert_eq!(changed, [first.clone(), second.clone(), remote.clone()]);
    for mxc in [&first, &second, &remote] {
        assert!(is_quarantined(store, mxc).await, "{mxc}");
    }
    assert!(!is_quarantined(store, &other).await);
    assert_eq!(ok(store.set_quarantine(&only(&first), &impose(None)).await), []);
}

/// Operators' pins are stronger than verdicts.
pub async fn quarantine_spares_pinned_media_but_not_its_copies(store: &dyn MediaStore) {
    let [first, second, remote, _] = copies(store).await;
    assert!(ok(store.set_attributes(&first, &Attributes { pinned: true }).await));
    let changed = ok(store.set_quarantine(&only(&first), &impose(None)).await);
    assert_eq!(changed, [second, remote]);
    assert!(!is_quarantined(store, &first).await);
}

/// Moderators of one server touch media of that server only, and judge by it only.
pub async fn quarantine_stays_within_its_origins(store: &dyn MediaStore) {
    let [first, second, remote, _] = copies(store).await;
    assert_eq!(ok(store.set_quarantine(&only(&first), &impose(Some(&["remote.example"]))).await), []);
    assert_eq!(ok(store.set_quarantine(&only(&first), &impose(Some(&[]))).await), []);
    let changed = ok(store.set_quarantine(&only(&first), &impose(Some(&["example.org", "x.example"]))).await);
    assert_eq!(changed, [first, second]);
    assert!(!is_quarantined(store, &remote).await);
}

/// Lifting gives back what was named, pinned or not, and nothing else.
pub async fn lifting_gives_back_what_was_named(store: &dyn MediaStore) {
    let [first, second, remote, other] = copies(store).await;
    ok(store.set_quarantine(&only(&first), &impose(None)).await);
    ok(store.set_attributes(&second, &Attributes { pinned: true }).await);
    let both = MediaFilter { mxcs: Some(vec![other, second.clone()]), ..MediaFilter::default() };
    assert_eq!(ok(store.set_quarantine(&both, &Quarantine::Lift).await), slice::from_ref(&second));
    assert!(!is_quarantined(store, &second).await);
    assert!(is_quarantined(store, &remote).await);
    let rest = MediaFilter { hash: Some(hash(1)), ..MediaFilter::default() };
    assert_eq!(ok(store.set_quarantine(&rest, &Quarantine::Lift).await), [first, remote]);
    assert_eq!(ok(store.insert(&media(9, 1)).await), Inserted::Linked(super::fixtures::blob(1).location));
}

/// A verdict falls with the media that it was on.
pub async fn a_verdict_goes_with_its_media(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    quarantine(store, mxc(1)).await;
    ok(store.remove(&only(&mxc(1)), 1, at(950)).await);
    assert_eq!(ok(store.insert(&media(2, 1)).await), Inserted::Stored);
    assert!(!is_quarantined(store, &mxc(2)).await);
}

/// Attributes are what was last set, on that name alone.
pub async fn attributes_are_what_was_set_last(store: &dyn MediaStore) {
    put(store, media(1, 1)).await;
    put(store, link(2, 1)).await;
    assert_eq!(ok(store.attributes(&mxc(1)).await), Some(Attributes { pinned: false }));
    for pinned in [true, true, false, true] {
        assert!(ok(store.set_attributes(&mxc(1), &Attributes { pinned }).await));
        assert_eq!(ok(store.attributes(&mxc(1)).await), Some(Attributes { pinned }));
    }
    assert_eq!(ok(store.attributes(&mxc(2)).await), Some(Attributes { pinned: false }));
}

/// What is not there has no attributes.
pub async fn unknown_media_has_no_attributes(store: &dyn MediaStore) {
    assert_eq!(ok(store.attributes(&mxc(1)).await), None);
    assert!(!ok(store.set_attributes(&mxc(1), &Attributes { pinned: true }).await));
    put(store, media(1, 1)).await;
    assert_eq!(ok(store.attributes(&mxc(1)).await), Some(Attributes { pinned: false }));
}
