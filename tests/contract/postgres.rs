//! Postgres: what only a server can show. Outages, timeouts, other nodes, other software, poolers.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{fs, process::Command, time::Duration};

use futures_util::{StreamExt as _, future::join_all};
use mmr_core::{
    backend::postgres::{DsnError, PostgresOptions, PostgresStore, SchemaError},
    store::{
        Inserted, MediaFilter, MediaIndex as _, NewMedia, Page, PreviewIndex as _, PreviewRecord, Signal,
        Signals as _, StoreError, ThumbnailIndex as _, UploadIndex as _, UploadProbe, UsageIndex as _,
    },
    testing::store_suite::fixtures::{at, blob, media, mxc, ok, reservation, spec, thumbnail, user},
    types::{ContentType, Lookup, Mxc, Restriction},
};
use mmr_test_support::{Cluster, bare_database_url, connect as raw, database_url};
use ruma::OwnedUserId;
use tokio_postgres::Client;

#[path = "postgres_pooler.rs"]
mod pooler;

#[path = "postgres_plans.rs"]
mod plans;

#[path = "postgres_together.rs"]
mod together;

async fn open(url: &str) -> PostgresStore {
    ok(PostgresStore::connect(PostgresOptions::new(url)).await)
}

async fn is_stored(store: &PostgresStore, mxc: &Mxc) -> bool {
    matches!(ok(store.lookup(mxc).await), Lookup::Stored(_))
}

/// The cause of an error that says more about itself.
fn cause<T: std::error::Error + 'static>(error: &StoreError) -> Option<&T> {
    std::error::Error::source(error)?.downcast_ref()
}

/// The whole chain of messages, as an operator would see it.
fn message(error: &StoreError) -> String {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Tries until the store answers again; it promises to, and not when.
async fn recovered<T>(mut call: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    let attempts = async {
        loop {
            match call().await {
                Ok(answer) => return answer,
                Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), attempts).await.expect("the store recovers")
}

// Outages ------------------------------------------------------------------------------------------------------------

async fn terminate_others(admin: &Client) {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    admin.query(sql, &[]).await.unwrap();
}

#[tokio::test]
async fn a_read_survives_the_loss_of_its_connection() {
    let url = database_url().await;
    let (store, admin) = (open(&url).await, raw(&url).await);
    ok(store.insert(&media(1, 1)).await);
    for _ in 0..10 {
        terminate_others(&admin).await;
        assert!(is_stored(&store, &mxc(1)).await);
    }
}

#[tokio::test]
async fn a_store_outlives_a_crash_of_the_server() {
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let store = open(&cluster.url()).await;
    ok(store.insert(&media(1, 1)).await);
    cluster.stop();
    let error = store.lookup(&mxc(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let error = store.insert(&media(2, 2)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    cluster.restart();
    assert!(matches!(recovered(async || store.lookup(&mxc(1)).await).await, Lookup::Stored(_)));
    assert_eq!(recovered(async || store.insert(&media(3, 3)).await).await, Inserted::Stored);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let url = "postgres://postgres@127.0.0.1:1/nothing?sslmode=disable";
    let error = PostgresStore::connect(PostgresOptions::new(url)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_named() {
    let url = database_url().await.replace("mmr_test", "mmr_nowhere");
    let error = PostgresStore::connect(PostgresOptions::new(&url)).await.unwrap_err();
    assert!(matches!(error, StoreError::Other(_)), "{error:?}");
    assert!(message(&error).contains("mmr_nowhere"), "{}", message(&error));
}

#[tokio::test]
async fn a_bad_connection_string_is_an_error_of_its_own() {
    let options = PostgresOptions::new("postgres://a:secret@b/c?sslmode=nonsense");
    let error = PostgresStore::connect(options).await.unwrap_err();
    assert!(cause::<DsnError>(&error).is_some(), "{error:?}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_required() {
    let url = database_url().await.replace("sslmode=disable", "sslmode=require");
    let error = PostgresStore::connect(PostgresOptions::new(&url)).await.unwrap_err();
    assert!(message(&error).contains("TLS"), "{}", message(&error));
    let url = url.replace("sslmode=require", "sslmode=prefer");
    ok(PostgresStore::connect(PostgresOptions::new(&url)).await);
}

// Timeouts -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_lock_that_is_never_released_is_unavailable() {
    let url = database_url().await;
    let options = PostgresOptions { lock_timeout: Duration::from_millis(50), ..PostgresOptions::new(&url) };
    let (store, mut other) = (ok(PostgresStore::connect(options).await), raw(&url).await);
    let holder = other.transaction().await.unwrap();
    holder.batch_execute("LOCK TABLE mmr.blobs").await.unwrap();
    let error = store.insert(&media(1, 1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    holder.rollback().await.unwrap();
    assert_eq!(ok(store.insert(&media(1, 1)).await), Inserted::Stored);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_unavailable() {
    let url = database_url().await;
    let options =
        PostgresOptions { statement_timeout: Duration::from_millis(50), ..PostgresOptions::new(&url) };
    let (store, mut other) = (ok(PostgresStore::connect(options).await), raw(&url).await);
    let holder = other.transaction().await.unwrap();
    holder.batch_execute("LOCK TABLE mmr.media").await.unwrap();
    let error = store.lookup(&mxc(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    holder.rollback().await.unwrap();
    assert_eq!(ok(store.lookup(&mxc(1)).await), Lookup::Unknown);
}

#[tokio::test]
async fn a_server_that_falls_silent_is_unavailable() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let options =
        PostgresOptions { statement_timeout: Duration::from_millis(50), ..PostgresOptions::new(&url) };
    let store = ok(PostgresStore::connect(options).await);
    ok(store.lookup(&mxc(1)).await);
    let signal = |name: &str, pids: &[i32]| {
        let pids = pids.iter().map(ToString::to_string);
        assert!(Command::new("kill").arg(name).args(pids).status().unwrap().success());
    };
    let sql =
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'mmr'";
    let pids: Vec<i32> =
        raw(&url).await.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    signal("-STOP", &pids);
    let error = store.lookup(&mxc(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    // The silent connection is not used again.
    assert_eq!(ok(store.lookup(&mxc(1)).await), Lookup::Unknown);
    signal("-CONT", &pids);
}

#[tokio::test]
async fn a_pool_without_a_free_connection_is_unavailable() {
    let url = database_url().await;
    let options = PostgresOptions {
        max_connections: 1,
        acquire_timeout: Duration::from_millis(50),
        ..PostgresOptions::new(&url)
    };
    let (store, mut other) = (ok(PostgresStore::connect(options).await), raw(&url).await);
    let holder = other.transaction().await.unwrap();
    holder.batch_execute("LOCK TABLE mmr.media").await.unwrap();
    let (name, second) = (mxc(1), async {
        let error = store.lookup(&mxc(2)).await.unwrap_err();
        holder.rollback().await.unwrap();
        error
    });
    let (first, second) = tokio::join!(store.lookup(&name), second);
    assert_eq!(ok(first), Lookup::Unknown);
    assert!(matches!(second, StoreError::Unavailable(_)), "{second:?}");
}

#[tokio::test]
async fn a_closed_store_takes_no_calls() {
    let store = open(&database_url().await).await;
    store.close().await;
    assert!(matches!(store.lookup(&mxc(1)).await, Err(StoreError::Unavailable(_))));
}

// Schema -------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn migrating_twice_does_nothing_the_second_time() {
    let options = PostgresOptions::new(&bare_database_url().await);
    let pending = ok(PostgresStore::pending_migrations(&options).await);
    assert_eq!(pending[0].version, 1);
    assert_eq!(ok(PostgresStore::migrate(&options).await), pending);
    assert_eq!(ok(PostgresStore::migrate(&options).await), []);
    assert_eq!(ok(PostgresStore::pending_migrations(&options).await), []);
}

#[tokio::test]
async fn nodes_that_migrate_at_the_same_time_share_the_work() {
    let options = PostgresOptions::new(&bare_database_url().await);
    let done = join_all((0..4).map(|_| PostgresStore::migrate(&options))).await;
    assert_eq!(done.into_iter().map(|done| ok(done).len()).sum::<usize>(), 1);
    ok(open(&options.url).await.insert(&media(1, 1)).await);
}

#[tokio::test]
async fn an_older_schema_is_refused_where_migrating_is_not_allowed() {
    let url = bare_database_url().await;
    let options = PostgresOptions { migrate: false, ..PostgresOptions::new(&url) };
    let error = PostgresStore::connect(options).await.unwrap_err();
    assert_eq!(cause(&error), Some(&SchemaError::Older { found: 0, known: 1 }));
}

async fn pretend_version(url: &str, version: i64, oldest_reader: i64) {
    let sql = "INSERT INTO mmr.migrations (version, name, oldest_reader, parts, finished) VALUES ($1, 'x', $2, 1, now())";
    raw(url).await.execute(sql, &[&version, &oldest_reader]).await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_that_this_version_can_use_is_used() {
    let url = database_url().await;
    pretend_version(&url, 2, 1).await;
    ok(open(&url).await.insert(&media(1, 1)).await);
}

#[tokio::test]
async fn a_newer_schema_that_this_version_cannot_use_is_refused() {
    let url = database_url().await;
    pretend_version(&url, 9, 9).await;
    let error = PostgresStore::connect(PostgresOptions::new(&url)).await.unwrap_err();
    assert_eq!(cause(&error), Some(&SchemaError::Newer { found: 9, known: 1 }));
}

#[tokio::test]
async fn a_schema_of_our_name_that_is_not_ours_is_refused() {
    let url = bare_database_url().await;
    raw(&url).await.batch_execute("CREATE SCHEMA mmr; CREATE TABLE mmr.rooms (id text)").await.unwrap();
    let error = PostgresStore::connect(PostgresOptions::new(&url)).await.unwrap_err();
    assert_eq!(cause(&error), Some(&SchemaError::Foreign));
}

#[tokio::test]
async fn a_schema_that_an_operator_made_for_us_is_used() {
    let url = bare_database_url().await;
    raw(&url).await.batch_execute("CREATE SCHEMA mmr").await.unwrap();
    ok(open(&url).await.insert(&media(1, 1)).await);
}

#[tokio::test]
async fn tables_of_other_software_are_left_alone() {
    let url = bare_database_url().await;
    let other = raw(&url).await;
    let theirs = "CREATE TABLE public.media (origin text, media_id text); INSERT INTO public.media VALUES ('a', 'b');
        CREATE TABLE public.blobs (x int); CREATE TABLE public.tasks (id int); CREATE TABLE public.reservations (y int)";
    other.batch_execute(theirs).await.unwrap();
    let store = open(&url).await;
    ok(store.insert(&media(1, 1)).await);
    assert!(is_stored(&store, &mxc(1)).await);
    ok(store.remove(&MediaFilter::default(), 9, at(1)).await);
    let rows = other.query("SELECT * FROM public.media", &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn the_search_path_does_not_matter() {
    let url = database_url().await;
    let store = open(&format!("{url}&options=-c%20search_path%3Dnowhere")).await;
    ok(store.insert(&media(1, 1)).await);
    ok(store.remove(&MediaFilter::default(), 9, at(1)).await);
}

#[tokio::test]
async fn a_row_that_we_would_not_have_written_is_corrupt() {
    let url = database_url().await;
    let store = open(&url).await;
    ok(store.insert(&media(1, 1)).await);
    raw(&url).await.batch_execute("UPDATE mmr.blobs SET key = '../../etc/passwd'").await.unwrap();
    let error = store.lookup(&mxc(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { table: "media", .. }), "{error:?}");
    assert!(!is_stored(&store, &mxc(2)).await, "the store goes on");
}

#[tokio::test]
async fn columns_that_sums_hang_on_never_change() {
    let url = database_url().await;
    ok(open(&url).await.insert(&media(1, 1)).await);
    let other = raw(&url).await;
    for sql in ["UPDATE mmr.blobs SET size = 1", "UPDATE mmr.media SET uploader = NULL"] {
        other.batch_execute(sql).await.unwrap_err();
    }
}

// Values -------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_nul_in_free_text_is_stored_as_a_replacement_character() {
    let store = open(&database_url().await).await;
    let restricted = NewMedia { restriction: Some(Restriction::new("{\"a\0\"}")), ..media(1, 1) };
    ok(store.insert(&restricted).await);
    let Lookup::Stored(record) = ok(store.lookup(&mxc(1)).await) else { panic!("it was stored") };
    assert_eq!(record.restriction, Some(Restriction::new("{\"a\u{fffd}\"}")));
    let preview = PreviewRecord {
        url: "http://a/\0".to_owned(),
        language: String::new(),
        taken: at(0),
        outcome: Err("bad\0".to_owned()),
    };
    ok(store.put_preview(&preview).await);
    let found = ok(store.preview(&preview.url, "", at(0)).await);
    assert_eq!(found.map(|found| found.outcome), Some(Err("bad\u{fffd}".to_owned())));
}

#[tokio::test]
async fn a_preview_of_a_very_long_url_is_found() {
    let store = open(&database_url().await).await;
    // More than an entry of an index holds, and nothing that could be compressed.
    let url: String = (0..2000).map(|number: u64| blob(number).hash.to_string()).collect();
    let preview =
        PreviewRecord { url, language: "en".to_owned(), taken: at(0), outcome: Ok("{}".to_owned()) };
    ok(store.put_preview(&preview).await);
    assert_eq!(ok(store.preview(&preview.url, "en", at(0)).await), Some(preview));
}

// Several nodes ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_signal_reaches_other_nodes_in_order() {
    let url = database_url().await;
    let (one, other) = (open(&url).await, open(&url).await);
    let heard = other.subscribe();
    let signals: Vec<_> = (0..50).map(|name| Signal::Uploaded(mxc(name))).collect();
    for (index, signal) in signals.iter().enumerate() {
        let publisher = if index % 3 == 0 { &other } else { &one };
        ok(publisher.publish(signal).await);
    }
    assert_eq!(heard.take(signals.len()).collect::<Vec<_>>().await, signals);
}

#[tokio::test]
async fn nodes_hear_concurrent_signals_in_the_same_order() {
    let url = database_url().await;
    let (one, other) = (open(&url).await, open(&url).await);
    let (first, second) = (one.subscribe(), other.subscribe());
    let publish = |name: u64| {
        let store = if name.is_multiple_of(2) { &one } else { &other };
        async move { ok(store.publish(&Signal::Uploaded(mxc(name))).await) }
    };
    join_all((0..100).map(publish)).await;
    let first: Vec<_> = first.take(100).collect().await;
    assert!(!first.contains(&Signal::Lost), "{first:?}");
    assert_eq!(second.take(100).collect::<Vec<_>>().await, first);
}

#[tokio::test]
async fn who_lost_the_connection_is_told_when_it_is_back_and_hears_what_comes_then() {
    let url = database_url().await;
    let (store, admin) = (open(&url).await, raw(&url).await);
    let mut heard = store.subscribe();
    terminate_others(&admin).await;
    assert_eq!(heard.next().await, Some(Signal::Lost));
    recovered(async || store.publish(&Signal::Uploaded(mxc(1))).await).await;
    assert_eq!(heard.next().await, Some(Signal::Uploaded(mxc(1))));
}

#[tokio::test]
async fn old_signals_are_forgotten() {
    let url = database_url().await;
    let admin = raw(&url).await;
    admin
        .batch_execute(
            "INSERT INTO mmr.signals SELECT id, 'changed' FROM generate_series(1, 20479) AS s (id)",
        )
        .await
        .unwrap();
    ok(open(&url).await.publish(&Signal::AllMediaChanged).await);
    let row = admin.query_one("SELECT min(id), max(id) FROM mmr.signals", &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (4097, 20480));
}

#[tokio::test]
async fn uploads_of_one_user_do_not_wait_for_each_other() {
    let url = database_url().await;
    let (store, mut other) = (open(&url).await, raw(&url).await);
    ok(store.insert(&media(1, 1)).await);
    // Another node's upload that is not committed yet: it holds the rows that it counts in.
    let upload = other.transaction().await.unwrap();
    upload
        .batch_execute(
            "SELECT mmr.insert_media('example.org', 'slow', sha256('x'), true, NULL, 5, 'main', 'slow', 'image/png',
                NULL, '@slow:example.org', 0, false, NULL, NULL, false, NULL, NULL);
             SET CONSTRAINTS ALL IMMEDIATE",
        )
        .await
        .unwrap();
    let slow: OwnedUserId = "@slow:example.org".try_into().unwrap();
    let fast = NewMedia { uploader: Some(slow.clone()), ..media(2, 2) };
    // The two count in the same row only if their sessions fall on the same of 16.
    let attempts = async {
        loop {
            let options =
                PostgresOptions { lock_timeout: Duration::from_millis(500), ..PostgresOptions::new(&url) };
            let node = ok(PostgresStore::connect(options).await);
            match node.insert(&fast).await {
                Ok(inserted) => return inserted,
                Err(StoreError::Unavailable(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    let inserted = tokio::time::timeout(Duration::from_secs(30), attempts).await.expect("it does not wait");
    assert_eq!(inserted, Inserted::Stored);
    upload.commit().await.unwrap();
    let page = Page { limit: u32::MAX, ..Page::default() };
    let records = ok(store.list(&MediaFilter::default(), &page).await);
    let usage = ok(store.usage_of_server(mxc(0).origin()).await);
    let bytes: u64 = records.iter().map(|record| record.blob.size).sum();
    assert_eq!((usage.files, usage.bytes), (3, bytes));
    assert_eq!(ok(store.usage_of_user(&slow).await).files, 2);
}

#[tokio::test]
async fn the_planner_hears_of_a_table_that_grew_from_nothing_before_autovacuum_comes_by() {
    let url = database_url().await;
    let (store, admin) = (open(&url).await, raw(&url).await);
    for first in (0..4096).step_by(64) {
        let rows: Vec<_> = (first..first + 64).map(|number| media(number, number)).collect();
        let stored = join_all(rows.iter().map(|row| store.insert(row))).await;
        assert!(stored.into_iter().all(|outcome| matches!(outcome, Ok(Inserted::Stored))));
    }
    let known = async || {
        let sql = "SELECT reltuples FROM pg_class WHERE oid = 'mmr.media'::regclass";
        admin.query_one(sql, &[]).await.unwrap().get::<_, f32>(0)
    };
    let analyzed = async {
        while known().await < 1000.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), analyzed).await.expect("the store has it analyzed");
    let plan = "EXPLAIN SELECT FROM mmr.media WHERE origin = 'example.org' AND media_id = 'media0001'";
    let rows = admin.query(plan, &[]).await.unwrap();
    let plan: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert!(plan[0].contains("media_origin_media_id_key"), "{plan:?}");
}

/// How many statements the server has told of that ran in this database.
fn statements(cluster: &Cluster, url: &str) -> usize {
    let (_, database) = url.split_once('?').unwrap().0.rsplit_once('/').unwrap();
    let log = fs::read_to_string(cluster.directory().join("log")).unwrap();
    let of_this = |line: &&str| line.split_once(' ').is_some_and(|(name, _)| name == database);
    let runs = |line: &&str| line.contains("LOG:  execute") || line.contains("LOG:  statement:");
    log.lines().filter(of_this).filter(runs).count()
}

#[tokio::test]
async fn a_hot_call_is_one_statement() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = open(&format!("{url}&options=-c%20log_statement%3Dall%20-c%20log_duration%3Don")).await;
    let told = || statements(cluster, &url);
    // Opens the connection.
    ok(store.lookup(&mxc(0)).await);
    let before = told();
    for name in 0..5 {
        ok(store.lookup(&mxc(name)).await);
        let probe = UploadProbe {
            hash: blob(name).hash,
            origin: mxc(0).origin().to_owned(),
            uploader: Some(user(0)),
            content_type: ContentType::default(),
            file_name: None,
        };
        ok(store.upload_facts(&probe).await);
        ok(store.insert(&media(name, name)).await);
        ok(store.thumbnail(&mxc(name), &spec(32, 32)).await);
        ok(store.insert_thumbnail(&thumbnail(name, 100 + name)).await);
        ok(store.reserve(&reservation(100 + name, 0, 60), Some(9)).await);
        ok(store.touch(&[(blob(0).hash, at(name)), (blob(1).hash, at(name))]).await);
        ok(store.publish(&Signal::AllMediaChanged).await);
    }
    assert_eq!(told() - before, 5 * 8);
}
