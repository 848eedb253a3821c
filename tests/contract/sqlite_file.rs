//! SQLite in a file: what survives closing, killing and other processes, and what is refused.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use futures_util::future::join_all;
use mmr_core::{
    backend::sqlite::{SchemaError, SqliteOptions, SqliteStore},
    store::{BlobIndex as _, Inserted, MediaFilter, MediaIndex as _, Page, StoreError, UsageIndex as _},
    testing::store_suite::fixtures::{at, blob, blob_at, datastore_id, location, media, mxc, ok, user},
    types::{Lookup, Mxc},
};
use rusqlite::Connection;
use tempfile::TempDir;

fn directory() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("mmr.db");
    (directory, path)
}

fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, SqliteOptions::default())
}

async fn is_stored(store: &SqliteStore, mxc: &Mxc) -> bool {
    matches!(ok(store.lookup(mxc).await), Lookup::Stored(_))
}

/// The whole chain of messages, as an operator would see it.
fn message(error: &StoreError) -> String {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn what_was_stored_is_there_after_opening_again() {
    let (_directory, path) = directory();
    let store = open(&path).unwrap();
    ok(store.insert(&media(1, 1)).await);
    drop(store);
    assert!(is_stored(&open(&path).unwrap(), &mxc(1)).await);
}

#[tokio::test]
async fn a_closed_store_leaves_one_file_and_takes_no_calls() {
    let (directory, path) = directory();
    let store = open(&path).unwrap();
    ok(store.insert(&media(1, 1)).await);
    assert!(is_stored(&store, &mxc(1)).await);
    store.close().await;
    assert!(matches!(store.lookup(&mxc(1)).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.insert(&media(2, 2)).await, Err(StoreError::Unavailable(_))));
    let files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files, [path]);
}

#[tokio::test]
async fn two_stores_on_one_file_decide_races_together() {
    let (_directory, path) = directory();
    let stores = [open(&path).unwrap(), open(&path).unwrap()];
    for round in 0..20 {
        let inserts = (0..16).map(|caller| {
            let place = location("main", &format!("{round}/{caller}"));
            let mut new = media(16 * round + caller, round);
            new.blob = blob_at(round, place);
            let store = &stores[usize::from(caller % 2 == 0)];
            async move { ok(store.insert(&new).await) }
        });
        let answers = join_all(inserts).await;
        assert_eq!(answers.iter().filter(|answer| **answer == Inserted::Stored).count(), 1, "{answers:?}");
    }
    for store in &stores {
        assert_eq!(ok(store.datastore_usage(&datastore_id("main")).await).blobs, 20);
        assert_eq!(ok(store.usage_of_user(&user(0)).await).files, 320);
    }
}

#[tokio::test]
async fn a_schema_of_a_newer_version_is_refused_by_name() {
    let (_directory, path) = directory();
    drop(open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 9_999).unwrap();
    let error = open(&path).unwrap_err();
    assert!(message(&error).contains("schema version 9999"), "{}", message(&error));
}

#[tokio::test]
async fn migrations_can_be_looked_at_before_they_run() {
    let (_directory, path) = directory();
    let pending = SqliteStore::pending_migrations(&path).unwrap();
    assert!(!path.exists(), "looking makes no file");
    assert_eq!(SqliteStore::migrate(&path).unwrap(), pending);
    assert_eq!(SqliteStore::pending_migrations(&path).unwrap(), []);
    assert_eq!(SqliteStore::migrate(&path).unwrap(), []);
}

#[tokio::test]
async fn a_store_that_may_not_migrate_says_that_it_must() {
    let (_directory, path) = directory();
    let options = SqliteOptions { migrate: false, ..SqliteOptions::default() };
    let error = SqliteStore::open(&path, options.clone()).unwrap_err();
    let StoreError::Other(cause) = error else { panic!("{error:?}") };
    assert!(matches!(cause.downcast_ref(), Some(SchemaError::Older { found: 0, .. })), "{cause:?}");
    SqliteStore::migrate(&path).unwrap();
    SqliteStore::open(&path, options).unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_kept() {
    let (_directory, path) = directory();
    let text = "not a database at all, whatever its name says. ".repeat(100);
    fs::write(&path, &text).unwrap();
    assert!(matches!(open(&path), Err(StoreError::Other(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_directory_that_is_missing_is_named_in_the_error() {
    let (directory, _) = directory();
    let path = directory.path().join("missing/mmr.db");
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(message(&error).contains("missing/mmr.db"), "{}", message(&error));
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_corrupt() {
    let (_directory, path) = directory();
    let store = open(&path).unwrap();
    ok(store.insert(&media(1, 1)).await);
    Connection::open(&path).unwrap().execute("UPDATE blobs SET key = '../../etc/passwd'", []).unwrap();
    let error = store.lookup(&mxc(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { table: "media", .. }), "{error:?}");
    assert!(!is_stored(&store, &mxc(2)).await, "the store goes on");
}

#[tokio::test]
async fn a_lock_that_is_never_released_is_unavailable() {
    let (_directory, path) = directory();
    let options = SqliteOptions { busy_timeout: std::time::Duration::ZERO, ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, options).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(store.insert(&media(1, 1)).await, Err(StoreError::Unavailable(_))));
    assert!(!is_stored(&store, &mxc(1)).await, "readers wait for nobody");
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(ok(store.insert(&media(1, 1)).await), Inserted::Stored);
}

const VICTIM_WRITES_TO: &str = "MMR_TEST_VICTIM_WRITES_TO";
const VICTIM_BEGINS_AT: &str = "MMR_TEST_VICTIM_BEGINS_AT";

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let (_directory, path) = directory();
    let mut acknowledged: Vec<u64> = Vec::new();
    for round in 0..5 {
        let mut child = victim(&path, round * 1_000_000);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = 0;
        while let Some(Ok(line)) = lines.next() {
            if let Some(name) = line.strip_prefix("acknowledged ") {
                acknowledged.push(name.parse().unwrap());
                told += 1;
                // In the middle of groups: the child never stops by itself.
                if told == 300 {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(told >= 300, "the child wrote {told} media only");
        check_after_crash(&path, &acknowledged).await;
    }
}

async fn check_after_crash(path: &Path, acknowledged: &[u64]) {
    let store = open(path).unwrap();
    for name in acknowledged {
        assert!(is_stored(&store, &mxc(*name)).await, "{name} was acknowledged and is lost");
    }
    let page = Page { limit: u32::MAX, ..Page::default() };
    let records = ok(store.list(&MediaFilter::default(), &page).await);
    let bytes: u64 = records.iter().map(|record| record.blob.size).sum();
    let usage = ok(store.usage_of_user(&user(0)).await);
    assert_eq!((usage.files, usage.bytes), (records.len() as u64, bytes), "no insert is there by half");
    assert_eq!(ok(store.datastore_usage(&blob(0).location.datastore).await).blobs, records.len() as u64);
    store.close().await;

    let conn = Connection::open(path).unwrap();
    let verdict: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    assert!(!conn.prepare("PRAGMA foreign_key_check").unwrap().exists([]).unwrap());
}

/// This test binary as a process of its own, running the one "test" below.
fn victim(path: &Path, first: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["sqlite_file::the_victim_writes_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
        .env(VICTIM_WRITES_TO, path)
        .env(VICTIM_BEGINS_AT, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run as a process of its own by what_was_acknowledged_survives_a_kill"]
async fn the_victim_writes_until_it_is_killed() {
    let Some(path) = env::var_os(VICTIM_WRITES_TO) else { return };
    let first: u64 = env::var_os(VICTIM_BEGINS_AT).unwrap().into_string().unwrap().parse().unwrap();
    let store = open(Path::new(&path)).unwrap();
    let write = async |caller: u64| {
        for name in (first + caller..).step_by(16) {
            let mut new = media(name, name);
            new.created = at(0);
            assert_eq!(ok(store.insert(&new).await), Inserted::Stored);
            // One write call per line: a line is told wholly or not at all.
            std::io::stdout().write_all(format!("acknowledged {name}\n").as_bytes()).unwrap();
        }
    };
    join_all((0..16).map(write)).await;
}
