//! What the stores cost: lookups beside few and many rows, inserts alone and in company.
//!
//! `cargo bench -p mmr-benches --bench store`. The first run fills a database of a million media under
//! `target/bench-store` (a minute or two, 600 MB) and keeps it; delete the directory to have it made anew. Run lookups
//! twice: the first time reads the file from the disk. Inserts are synced to the disk that `target` lies on.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use divan::{Bencher, counter::ItemsCount};
use futures_util::{StreamExt as _, future::join_all, stream};
use mmr_core::{
    backend::{
        memory::MemoryStore,
        sqlite::{SqliteOptions, SqliteStore},
    },
    store::{Inserted, MediaIndex as _, MediaStore, NewBlob, NewMedia, StoreError},
    testing::store_suite::fixtures::{at, key_of, location, media, user},
    types::{BlobRecord, Digests, Hasher, Lookup, MediaId, Mxc},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

/// The fixture's media under names, keys and hashes as scattered as real ones, all of which follow from `number`.
fn scattered(number: u64) -> NewMedia {
    let Digests { hash, checksum, len: _ } = Hasher::digest(&number.to_le_bytes());
    let digits = hash.to_string();
    let location = location("main", key_of(&format!("{}/{}", &digits[..2], &digits[24..])).as_str());
    let blob = BlobRecord { hash, checksum: Some(checksum), size: 1000 + number % 100_000, location };
    NewMedia {
        mxc: name(&digits),
        blob: NewBlob::Store(blob),
        uploader: Some(user(number % 1000)),
        created: at(number),
        ..media(0, 0)
    }
}

fn name(digits: &str) -> Mxc {
    let id = MediaId::parse(&digits[..40]).expect("hexadecimal digits are fine");
    Mxc::new("example.org".try_into().expect("a valid name"), id)
}

fn name_of(number: u64) -> Mxc {
    name(&Hasher::digest(&number.to_le_bytes()).hash.to_string())
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be had")
}

fn directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-store");
    fs::create_dir_all(&directory).expect("the target directory is writable");
    directory
}

/// A database with so many media, from an earlier run or made now.
fn filled(runtime: &Runtime, rows: u64) -> SqliteStore {
    let path = directory().join(format!("media-{rows}.db"));
    if !path.exists() {
        let unfinished = path.with_extension("unfinished");
        // Of a run that was broken off.
        let _ = fs::remove_file(&unfinished);
        let options = SqliteOptions { sync: false, cache_kib: 256 << 10, ..SqliteOptions::default() };
        runtime.block_on(async {
            let store = SqliteStore::open(&unfinished, options).expect("the file can be made");
            fill(&store, rows).await;
            store.close().await;
        });
        fs::rename(&unfinished, &path).expect("the file is there");
    }
    SqliteStore::open(&path, SqliteOptions::default()).expect("the file was made by an earlier run")
}

async fn fill(store: &dyn MediaStore, rows: u64) {
    let inserts = stream::iter(0..rows).map(async |number| {
        let inserted = store.insert(&scattered(number)).await;
        assert!(matches!(inserted, Ok(Inserted::Stored)), "{inserted:?}");
    });
    inserts.buffer_unordered(512).collect::<()>().await;
}

/// Numbers below `rows` in an order that no cache likes.
fn hopping(rows: u64) -> impl FnMut() -> u64 {
    let mut step = 0_u64;
    move || {
        step = step.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (step >> 20) % rows
    }
}

fn bench_lookup(bencher: Bencher<'_, '_>, runtime: &Runtime, store: &dyn MediaStore, rows: u64) {
    let mut next = hopping(rows);
    bencher.with_inputs(|| name_of(next())).bench_local_values(|mxc| {
        let answer = runtime.block_on(store.lookup(&mxc));
        assert!(matches!(answer, Ok(Lookup::Stored(_))), "{answer:?}");
    });
}

#[divan::bench]
fn lookup_in_memory(bencher: Bencher<'_, '_>) {
    let (runtime, store) = (runtime(), MemoryStore::new());
    runtime.block_on(fill(&store, 1000));
    bench_lookup(bencher, &runtime, &store, 1000);
}

#[divan::bench(args = [1000, 1_000_000], sample_count = 1000, sample_size = 20)]
fn lookup_in_sqlite(bencher: Bencher<'_, '_>, rows: u64) {
    let runtime = runtime();
    let store = filled(&runtime, rows);
    bench_lookup(bencher, &runtime, &store, rows);
}

#[divan::bench(args = [1000, 1_000_000], sample_count = 500)]
fn lookup_in_sqlite_64_at_once(bencher: Bencher<'_, '_>, rows: u64) {
    let runtime = runtime();
    let store = filled(&runtime, rows);
    let mut next = hopping(rows);
    let names = || (0..64).map(|_| name_of(next())).collect::<Vec<_>>();
    bencher.counter(ItemsCount::new(64_u32)).with_inputs(names).bench_local_values(|names| {
        let answers = runtime.block_on(join_all(names.iter().map(|mxc| store.lookup(mxc))));
        assert!(answers.iter().all(|answer| matches!(answer, Ok(Lookup::Stored(_)))));
    });
}

static INSERTED: AtomicU64 = AtomicU64::new(0);

/// Inserts by so many callers at once, each waiting for its answer.
fn bench_insert(bencher: Bencher<'_, '_>, store: &dyn MediaStore, callers: u64) {
    let runtime = runtime();
    let batch = || {
        let first = INSERTED.fetch_add(callers, Ordering::Relaxed);
        (first..first + callers).map(scattered).collect::<Vec<_>>()
    };
    bencher.counter(ItemsCount::new(callers)).with_inputs(batch).bench_local_values(|batch| {
        let answers: Vec<Result<Inserted, StoreError>> =
            runtime.block_on(join_all(batch.iter().map(|media| store.insert(media))));
        assert!(answers.iter().all(|answer| matches!(answer, Ok(Inserted::Stored))), "{answers:?}");
    });
}

/// The oracle counts everything anew each time, so this is about a store of a few thousand rows.
#[divan::bench(sample_count = 100, sample_size = 10)]
fn insert_in_memory(bencher: Bencher<'_, '_>) {
    bench_insert(bencher, &MemoryStore::new(), 1);
}

#[divan::bench(args = [1, 16, 64], sample_count = 300, sample_size = 1)]
fn insert_in_sqlite_synced(bencher: Bencher<'_, '_>, callers: u64) {
    let scratch = TempDir::new_in(directory()).expect("the target directory is writable");
    let store = SqliteStore::open(&scratch.path().join("db"), SqliteOptions::default()).expect("a new file");
    bench_insert(bencher, &store, callers);
}
