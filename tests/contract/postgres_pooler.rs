//! The whole contract through `PgBouncer` in transaction mode.

use std::sync::OnceLock;

use futures_util::StreamExt as _;
use mmr_core::{
    backend::postgres::{PostgresOptions, PostgresStore},
    store::{MediaIndex as _, Signal, Signals as _},
    testing::store_suite::fixtures::{media, mxc, ok},
};
use mmr_test_support::{Cluster, PgBouncer, connect, database_url};

/// The pooler in front of the cluster of this process.
fn bouncer() -> &'static PgBouncer {
    static BOUNCER: OnceLock<PgBouncer> = OnceLock::new();
    BOUNCER.get_or_init(|| PgBouncer::start(Cluster::shared()))
}

/// A store on a fresh database, through the pooler.
async fn pooled() -> PostgresStore {
    let url = bouncer().through(&Cluster::shared().database().await);
    PostgresStore::connect(PostgresOptions::new(&url)).await.unwrap()
}

mod suite {
    use mmr_core::testing::media_store_suite;

    media_store_suite!(super::pooled().await);
}

#[tokio::test]
async fn a_pooler_is_noticed() {
    let store = pooled().await;
    // Prepared statements and settings would be somebody else's now and then.
    for name in 0..20 {
        ok(store.insert(&media(name, name)).await);
    }
    assert!(format!("{store:?}").contains("pooled: true"), "{store:?}");
}

#[tokio::test]
async fn a_server_is_not_taken_for_a_pooler() {
    let store = ok(PostgresStore::connect(PostgresOptions::new(&database_url().await)).await);
    assert!(format!("{store:?}").contains("pooled: false"), "{store:?}");
}

#[tokio::test]
async fn signals_reach_other_nodes_through_and_beside_the_pooler() {
    let direct = Cluster::shared().database().await;
    let beside = ok(PostgresStore::connect(PostgresOptions::new(&direct)).await);
    let through = ok(PostgresStore::connect(PostgresOptions::new(&bouncer().through(&direct))).await);
    let (mut one, mut other) = (beside.subscribe(), through.subscribe());
    for (name, store) in [(1, &beside), (2, &through)] {
        ok(store.publish(&Signal::Uploaded(mxc(name))).await);
        assert_eq!(one.next().await, Some(Signal::Uploaded(mxc(name))));
        assert_eq!(other.next().await, Some(Signal::Uploaded(mxc(name))));
    }
}

#[tokio::test]
async fn numbers_that_a_crash_has_lost_are_heard_when_they_are_given_again() {
    let direct = Cluster::shared().database().await;
    let through = ok(PostgresStore::connect(PostgresOptions::new(&bouncer().through(&direct))).await);
    let other = ok(PostgresStore::connect(PostgresOptions::new(&bouncer().through(&direct))).await);
    let mut heard = through.subscribe();
    for name in 1..=3 {
        ok(other.publish(&Signal::Uploaded(mxc(name))).await);
        assert_eq!(heard.next().await, Some(Signal::Uploaded(mxc(name))));
    }
    // What is left after a crash right behind the first, which the pooler hides.
    connect(&direct).await.batch_execute("DELETE FROM mmr.signals WHERE id > 1").await.unwrap();
    assert_eq!(heard.next().await, Some(Signal::Lost));
    for name in 4..=5 {
        ok(other.publish(&Signal::Uploaded(mxc(name))).await);
        assert_eq!(heard.next().await, Some(Signal::Uploaded(mxc(name))));
    }
}
