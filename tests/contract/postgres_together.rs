//! Media that arrives at the same time is recorded together, and each as if it had come alone.

use std::collections::BTreeSet;

use super::{is_stored, join_all, ok, open, raw, statements};
use mmr_core::{
    backend::postgres::PostgresStore,
    store::{
        BlobIndex as _, Inserted, MediaIndex as _, NewBlob, NewMedia, Refusal, StoreError, UploadIndex as _,
        UsageIndex as _,
    },
    testing::store_suite::fixtures::{at, blob, blob_at, location, media, mxc, reservation, user},
    types::BlobRecord,
};
use mmr_test_support::{Cluster, database_url};

/// The outcomes, in order. The first of them takes the turn; the rest waits for it, and goes together.
async fn at_once(store: &PostgresStore, all: &[NewMedia]) -> Vec<Result<Inserted, StoreError>> {
    join_all(all.iter().map(|media| store.insert(media))).await
}

#[tokio::test]
async fn what_arrives_at_once_is_recorded_in_few_transactions() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = open(&format!("{url}&options=-c%20log_statement%3Dall")).await;
    let told = || statements(cluster, &url);
    ok(store.lookup(&mxc(0)).await);
    // Nobody waits long for a machine that is busy: then everybody goes alone, and another round tells.
    for round in 0..50 {
        let before = told();
        let all: Vec<_> = (0..40).map(|number| 100 * round + number).map(|name| media(name, name)).collect();
        for outcome in at_once(&store, &all).await {
            assert_eq!(ok(outcome), Inserted::Stored);
        }
        assert_eq!(ok(store.usage_of_user(&user(0)).await).files, 40 * (round + 1));
        if told() - before <= 3 {
            return;
        }
    }
    panic!("each was recorded alone");
}

#[tokio::test]
async fn only_what_is_plain_is_recorded_with_others() {
    let url = database_url().await;
    let (store, admin) = (open(&url).await, raw(&url).await);
    ok(store.insert(&media(1, 1)).await);
    ok(store.reserve(&reservation(2, 0, 60), None).await);
    let sql = "SELECT mmr.insert_plain_media(array_agg(origin), array_agg(name), array_agg(hash), array_agg(hash),
            array_agg(7::bigint), 'main', array_agg('k/' || name), array_agg('image/png'::text),
            array_agg(NULL::text), array_agg(NULL::text), array_agg(0::bigint), array_agg(true))
        FROM (VALUES ('example.org', 'new', sha256('new')), ('example.org', 'same', sha256('new')),
            ('example.org', 'media0001', sha256('taken')), ('example.org', 'media0002', sha256('reserved')),
            ('example.org', 'known', (SELECT hash FROM mmr.blobs)), ('other.org', 'media0001', sha256('other')))
            AS given (origin, name, hash)";
    let recorded: Vec<i64> = admin.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(recorded.into_iter().collect::<BTreeSet<_>>(), [1, 6].into());
    let rows = "SELECT count(*) FROM mmr.media";
    assert_eq!(admin.query_one(rows, &[]).await.unwrap().get::<_, i64>(0), 3);
}

#[tokio::test]
async fn each_has_the_outcome_that_it_would_have_alone() {
    let store = open(&database_url().await).await;
    ok(store.insert(&media(1, 1)).await);
    ok(store.reserve(&reservation(2, 0, 60), None).await);
    let elsewhere = location("main", "zz/elsewhere");
    let all = [
        media(10, 10),
        media(11, 11),
        // The bytes of the one before, of one that was there, and two names that are in use.
        NewMedia { blob: blob_at(11, elsewhere.clone()), ..media(12, 11) },
        NewMedia { blob: blob_at(1, elsewhere), ..media(13, 1) },
        media(1, 14),
        media(2, 15),
        media(16, 16),
    ];
    let outcomes: Vec<_> = at_once(&store, &all).await.into_iter().map(ok).collect();
    assert_eq!(
        outcomes,
        [
            Inserted::Stored,
            Inserted::Stored,
            Inserted::Linked(blob(11).location),
            Inserted::Linked(blob(1).location),
            Inserted::Refused(Refusal::Taken),
            Inserted::Refused(Refusal::Taken),
            Inserted::Stored,
        ]
    );
    for (number, recorded) in [(10, true), (11, true), (12, true), (13, true), (2, false), (16, true)] {
        assert_eq!(is_stored(&store, &mxc(number)).await, recorded, "{number}");
    }
    let usage = ok(store.usage_of_user(&user(0)).await);
    assert_eq!((usage.files, usage.bytes), (6, 2 * 1001 + 1010 + 2 * 1011 + 1016));
}

#[tokio::test]
async fn one_that_cannot_be_recorded_spoils_no_other() {
    let store = open(&database_url().await).await;
    ok(store.insert(&media(1, 1)).await);
    let taken = BlobRecord { location: blob(1).location, ..blob(3) };
    let all = [media(2, 2), NewMedia { blob: NewBlob::Store(taken), ..media(3, 3) }, media(4, 4)];
    let outcomes = at_once(&store, &all).await;
    assert!(matches!(&outcomes[1], Err(StoreError::Conflict { .. })), "{outcomes:?}");
    for (number, recorded) in [(2, true), (3, false), (4, true)] {
        assert_eq!(is_stored(&store, &mxc(number)).await, recorded, "{number}");
    }
}

#[tokio::test]
async fn one_that_waits_for_a_lock_does_not_keep_the_others() {
    let url = database_url().await;
    let (store, admin) = (open(&url).await, raw(&url).await);
    ok(store.insert(&media(1, 1)).await);
    // As a purge does to the bytes of the first.
    admin.batch_execute("BEGIN; SELECT FROM mmr.blobs FOR UPDATE").await.unwrap();
    let held = NewMedia { blob: blob_at(1, location("main", "zz/elsewhere")), ..media(2, 1) };
    let others = [media(3, 3), media(4, 4)];
    let held = async { ok(store.insert(&held).await) };
    let others = async {
        for outcome in at_once(&store, &others).await {
            assert_eq!(ok(outcome), Inserted::Stored);
        }
        admin.batch_execute("COMMIT").await.unwrap();
    };
    let (held, ()) = tokio::join!(held, others);
    assert_eq!(held, Inserted::Linked(blob(1).location));
}

#[tokio::test]
async fn an_object_that_is_recorded_with_others_is_garbage_no_more() {
    let url = database_url().await;
    let store = open(&url).await;
    let doom = "INSERT INTO mmr.garbage SELECT 'main', 'aa/' || n, 0 FROM generate_series(1, 4) n";
    raw(&url).await.batch_execute(doom).await.unwrap();
    for outcome in at_once(&store, &[media(1, 1), media(2, 2), media(3, 3)]).await {
        assert_eq!(ok(outcome), Inserted::Stored);
    }
    assert_eq!(ok(store.garbage(10, at(0)).await), [blob(4).location]);
}
