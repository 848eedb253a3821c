//! Promises of [`LeaseIndex`](crate::store::LeaseIndex).

use std::time::Duration;

use super::fixtures::{at, ok};
use crate::store::MediaStore;

async fn take(store: &dyn MediaStore, name: &str, holder: &str, seconds: u64) -> bool {
    ok(store.try_lease(name, holder, Duration::from_secs(10), at(seconds)).await)
}

/// One holder at a time, until the lease runs out.
pub async fn a_lease_has_one_holder_until_it_runs_out(store: &dyn MediaStore) {
    assert!(take(store, "gc", "x", 0).await);
    assert!(!take(store, "gc", "y", 9).await);
    assert!(take(store, "sweep", "y", 9).await);
    assert!(take(store, "gc", "y", 10).await);
    assert!(!take(store, "gc", "x", 11).await);
}

/// The holder renews, from the moment of renewal.
pub async fn a_holder_renews_its_lease(store: &dyn MediaStore) {
    assert!(take(store, "gc", "x", 0).await);
    assert!(take(store, "gc", "x", 8).await);
    assert!(!take(store, "gc", "y", 17).await);
    assert!(take(store, "gc", "y", 18).await);
}

/// A lease that was given back is free at once; others cannot give it back.
pub async fn only_the_holder_gives_a_lease_back(store: &dyn MediaStore) {
    assert!(take(store, "gc", "x", 0).await);
    ok(store.release("gc", "y").await);
    ok(store.release("sweep", "x").await);
    assert!(!take(store, "gc", "y", 1).await);
    ok(store.release("gc", "x").await);
    assert!(take(store, "gc", "y", 1).await);
}
