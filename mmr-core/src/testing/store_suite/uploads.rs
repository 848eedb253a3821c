//! Promises of [`UploadIndex`](crate::store::UploadIndex).

use super::{
    fixtures::{at, media, mxc, mxc_of, ok, reservation, user},
    media::{put, stored},
};
use crate::{
    store::{Inserted, MediaStore, NewMedia, Refusal, Reserved},
    types::{Lookup, Reservation},
};

async fn reserve(store: &dyn MediaStore, reservation: Reservation) -> Reservation {
    assert_eq!(ok(store.reserve(&reservation, None).await), Reserved::Reserved);
    reservation
}

fn fill(name: u64, owner: u64, seconds: u64) -> NewMedia {
    NewMedia {
        uploader: Some(user(owner)),
        created: at(seconds),
        fills_reservation: true,
        ..media(name, name)
    }
}

/// A name that waits for its bytes says whose it is and how long.
pub async fn a_reserved_name_is_looked_up_as_reserved(store: &dyn MediaStore) {
    let given = reserve(store, reservation(1, 3, 60)).await;
    assert_eq!(ok(store.lookup(&mxc(1)).await), Lookup::Reserved(given));
    assert_eq!(ok(store.lookup(&mxc_of("elsewhere.example", 1)).await), Lookup::Unknown);
}

/// A name is handed out once, whatever became of it.
pub async fn a_name_is_reserved_once(store: &dyn MediaStore) {
    reserve(store, reservation(1, 0, 60)).await;
    put(store, media(2, 2)).await;
    let late = Reservation { created: at(1000), ..reservation(1, 0, 2000) };
    for taken in [reservation(1, 0, 60), reservation(1, 1, 60), late, reservation(2, 0, 60)] {
        assert_eq!(ok(store.reserve(&taken, None).await), Reserved::Taken);
    }
}

/// Filling a name makes it media, and uses the reservation up.
pub async fn a_filled_name_is_media(store: &dyn MediaStore) {
    reserve(store, reservation(1, 0, 60)).await;
    assert_eq!(ok(store.insert(&fill(1, 0, 10)).await), Inserted::Stored);
    assert_eq!(stored(store, &mxc(1)).await.created, at(10));
    assert_eq!(ok(store.pending(&user(0), at(10)).await), 0);
    assert_eq!(ok(store.insert(&fill(1, 0, 11)).await), Inserted::Refused(Refusal::Taken));
}

/// A name is its owner's.
pub async fn only_the_owner_fills_a_name(store: &dyn MediaStore) {
    let given = reserve(store, reservation(1, 0, 60)).await;
    let by_nobody = NewMedia { uploader: None, ..fill(1, 0, 10) };
    for stranger in [fill(1, 1, 10), by_nobody] {
        assert_eq!(ok(store.insert(&stranger).await), Inserted::Refused(Refusal::NotReserved));
    }
    assert_eq!(ok(store.lookup(&mxc(1)).await), Lookup::Reserved(given));
}

/// The last moment counts, the next one does not.
pub async fn a_name_is_filled_before_it_expires(store: &dyn MediaStore) {
    for name in 1..=2 {
        reserve(store, reservation(name, 0, 60)).await;
    }
    assert_eq!(ok(store.insert(&fill(1, 0, 60)).await), Inserted::Stored);
    assert_eq!(ok(store.insert(&fill(2, 0, 61)).await), Inserted::Refused(Refusal::NotReserved));
}

/// Nobody fills what was not handed out.
pub async fn a_name_that_was_not_reserved_cannot_be_filled(store: &dyn MediaStore) {
    assert_eq!(ok(store.insert(&fill(1, 0, 10)).await), Inserted::Refused(Refusal::NotReserved));
}

/// A reserved name is out of reach of media that does not fill it.
pub async fn a_reserved_name_is_taken(store: &dyn MediaStore) {
    let given = reserve(store, reservation(1, 0, 60)).await;
    assert_eq!(ok(store.insert(&media(1, 1)).await), Inserted::Refused(Refusal::Taken));
    assert_eq!(ok(store.lookup(&mxc(1)).await), Lookup::Reserved(given));
}

/// A refused fill leaves the reservation for another try.
pub async fn a_refused_fill_keeps_the_reservation(store: &dyn MediaStore) {
    reserve(store, reservation(1, 0, 60)).await;
    let quota = crate::store::QuotaCap { max_files: Some(0), max_bytes: None };
    let broke = NewMedia { quota, ..fill(1, 0, 10) };
    assert_eq!(ok(store.insert(&broke).await), Inserted::Refused(Refusal::QuotaExceeded));
    assert_eq!(ok(store.insert(&fill(1, 0, 11)).await), Inserted::Stored);
}

/// Only an owner's own, unexpired names count against their limit.
pub async fn the_limit_counts_unexpired_names_of_the_owner(store: &dyn MediaStore) {
    reserve(store, reservation(1, 0, 60)).await;
    reserve(store, reservation(2, 0, 70)).await;
    reserve(store, reservation(3, 1, 60)).await;
    let another = |seconds| Reservation { created: at(seconds), ..reservation(4, 0, 200) };
    assert_eq!(ok(store.reserve(&another(60), Some(2)).await), Reserved::TooManyPending);
    assert_eq!(ok(store.reserve(&another(61), Some(0)).await), Reserved::TooManyPending);
    assert_eq!(ok(store.reserve(&another(61), Some(2)).await), Reserved::Reserved);
}

/// Counting follows expiry.
pub async fn pending_names_are_counted_until_they_expire(store: &dyn MediaStore) {
    reserve(store, reservation(1, 0, 60)).await;
    reserve(store, reservation(2, 0, 70)).await;
    reserve(store, reservation(3, 1, 60)).await;
    for (seconds, expected) in [(0, 2), (60, 2), (61, 1), (70, 1), (71, 0)] {
        assert_eq!(ok(store.pending(&user(0), at(seconds)).await), expected, "after {seconds} s");
    }
}

/// Expired names go, first those that expired first, and are unknown then.
pub async fn expired_names_are_forgotten_oldest_first(store: &dyn MediaStore) {
    for (name, expires) in [(1, 30), (2, 10), (4, 20), (3, 20), (5, 40)] {
        reserve(store, reservation(name, 0, expires)).await;
    }
    assert_eq!(ok(store.expire(at(10), 9).await), 0);
    assert_eq!(ok(store.expire(at(31), 2).await), 2);
    for (name, known) in [(2, false), (3, false), (4, true), (1, true), (5, true)] {
        assert_eq!(ok(store.lookup(&mxc(name)).await) != Lookup::Unknown, known, "{name}");
    }
    assert_eq!(ok(store.expire(at(31), 9).await), 2);
    assert_eq!(ok(store.expire(at(31), 9).await), 0);
    assert_eq!(ok(store.pending(&user(0), at(31)).await), 1);
}
