//! What only a directory can show: leftovers of a crash, a full disk, a read-only one, and who shares its threads.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    error::Error as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use mmr_core::{
    backend::object_store::{DirectoryOptions, ObjectStoreDatastore},
    clock::{Clock as _, SystemClock},
    datastore::{BlobStat, Datastore as _, DatastoreError},
    testing::fixtures::bytes,
    types::BlobKey,
};
use tempfile::TempDir;

/// Longer than one part, so that it is written before it is committed.
const LARGE: usize = 3 * ObjectStoreDatastore::LOCAL_PART_BYTES + 5;

fn open(path: &Path) -> ObjectStoreDatastore {
    ObjectStoreDatastore::directory(path, DirectoryOptions::default()).unwrap()
}

async fn try_put(store: &ObjectStoreDatastore, key: &BlobKey, body: Bytes) -> Result<(), DatastoreError> {
    let mut writer = store.create(key).await?;
    for start in (0..body.len()).step_by(100_000) {
        writer.write(body.slice(start..body.len().min(start + 100_000))).await?;
    }
    writer.commit().await
}

async fn put(store: &ObjectStoreDatastore, body: Bytes) -> BlobKey {
    let key = BlobKey::generate();
    try_put(store, &key, body).await.unwrap();
    key
}

async fn get(store: &ObjectStoreDatastore, key: &BlobKey) -> Bytes {
    store.read(key, None).await.unwrap().body.collect_up_to(u64::MAX).await.unwrap()
}

async fn list(store: &ObjectStoreDatastore) -> Vec<BlobKey> {
    store.list(None).map_ok(|stat: BlobStat| stat.key).try_collect().await.unwrap()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.append(&mut files(&path)) } else { found.push(path) }
    }
    found
}

fn staged(directory: &Path) -> Vec<PathBuf> {
    files(directory).into_iter().filter(|path| path.to_str().unwrap().contains('#')).collect()
}

/// Makes a file that was last written to an hour ago.
fn old_file(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the file system goes by the machine's clock")]
    let an_hour_ago = SystemTime::now() - Duration::from_hours(1);
    fs::File::create(path).unwrap().set_modified(an_hour_ago).unwrap();
}

#[tokio::test]
async fn a_missing_directory_is_made_with_all_above_it() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("a/b/c");
    let key = put(&open(&path), bytes(1, 10)).await;
    assert!(path.join(key.as_str()).is_file());
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named_in_the_error() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = ObjectStoreDatastore::directory(&path, DirectoryOptions::default()).unwrap_err();
        let why = error.source().unwrap().to_string();
        assert!(why.contains(path.to_str().unwrap()), "{why}");
    }
}

#[tokio::test]
async fn objects_outlive_the_datastore_that_wrote_them() {
    let root = TempDir::new().unwrap();
    for size in [0, 1000, LARGE] {
        let key = put(&open(root.path()), bytes(1, size)).await;
        assert!(get(&open(root.path()), &key).await == bytes(1, size));
    }
}

#[tokio::test]
async fn what_a_crash_left_behind_is_removed_once_it_is_old() {
    let root = TempDir::new().unwrap();
    let store = open(root.path());
    let committed = put(&store, bytes(1, 1000)).await;
    let left = root.path().join("ab/left#1");
    old_file(&left);
    old_file(&root.path().join("ab/cd/left#23"));
    let young = root.path().join("ab/young#1");
    fs::write(&young, "bytes").unwrap();

    let now = SystemClock.now();
    assert_eq!(store.remove_unfinished(now.minus(Duration::from_hours(2))).await.unwrap(), 0);
    assert_eq!(store.remove_unfinished(now.minus(Duration::from_mins(30))).await.unwrap(), 2);
    assert_eq!(staged(root.path()), [young]);
    assert_eq!(list(&store).await, [committed]);
}

#[tokio::test]
async fn files_that_are_not_ours_are_neither_listed_nor_removed() {
    let root = TempDir::new().unwrap();
    let store = open(root.path());
    let foreign = ["no key.txt", "lost+found/#1234", "ab/ümlaut", "#1", "ab/name#1x", "ab/#1"];
    for name in foreign {
        old_file(&root.path().join(name));
    }
    std::os::unix::fs::symlink(root.path(), root.path().join("loop")).unwrap();
    std::os::unix::fs::symlink("/nowhere", root.path().join("dangling")).unwrap();
    assert_eq!(list(&store).await, []);
    assert_eq!(store.remove_unfinished(SystemClock.now()).await.unwrap(), 0);
    for name in foreign {
        assert!(root.path().join(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn a_writer_whose_staged_file_was_removed_fails_to_commit() {
    let root = TempDir::new().unwrap();
    let store = open(root.path());
    let key = BlobKey::generate();
    let mut writer = store.create(&key).await.unwrap();
    writer.write(bytes(1, LARGE)).await.unwrap();
    while staged(root.path()).is_empty() {
        tokio::task::yield_now().await;
    }
    let tomorrow = SystemClock.now().plus(Duration::from_hours(24));
    assert_eq!(store.remove_unfinished(tomorrow).await.unwrap(), 1);
    writer.commit().await.unwrap_err();
    assert_eq!(files(root.path()), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn a_failed_commit_leaves_no_staged_file() {
    let root = TempDir::new().unwrap();
    let store = open(root.path());
    for size in [1000, LARGE] {
        let key = BlobKey::generate();
        // In the way of the rename.
        fs::create_dir_all(root.path().join(key.as_str()).join("directory")).unwrap();
        try_put(&store, &key, bytes(1, size)).await.unwrap_err();
        assert_eq!(files(root.path()), [] as [PathBuf; 0]);
    }
}

#[test]
fn stalled_readers_occupy_no_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(2).build().unwrap();
    runtime.block_on(async {
        let root = TempDir::new().unwrap();
        let store = open(root.path());
        let body = bytes(1, LARGE);
        let key = put(&store, body.clone()).await;
        let mut stalled = vec![];
        for _ in 0..32 {
            let mut read = store.read(&key, None).await.unwrap();
            read.body.next().await.unwrap().unwrap();
            stalled.push(read);
        }
        assert!(get(&store, &key).await == body);
        for read in stalled {
            let rest: Vec<Bytes> = read.body.try_collect().await.unwrap();
            assert!(body.ends_with(&rest.concat()));
        }
    });
}

#[tokio::test]
async fn a_full_disk_says_so_and_loses_nothing() {
    let Some(disk) = Disk::mount("size=4m") else { return };
    let store = open(disk.0.path());
    let kept = put(&store, bytes(1, 1_000_000)).await;
    // The large one fails while it is written, the small ones when they are committed.
    let error = try_put(&store, &BlobKey::generate(), bytes(2, 8 << 20)).await.unwrap_err();
    assert!(matches!(error, DatastoreError::Full(_)), "{error:?}");
    store.settled().await;
    let mut small = vec![];
    let error = loop {
        let key = BlobKey::generate();
        match try_put(&store, &key, bytes(3, 500_000)).await {
            Ok(()) => small.push(key),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, DatastoreError::Full(_)), "{error:?}");
    assert!(!small.is_empty(), "what the large one took was given back");
    store.settled().await;
    assert_eq!(staged(disk.0.path()), [] as [PathBuf; 0]);
    assert_eq!(list(&store).await.len(), small.len() + 1);
    assert!(get(&store, &kept).await == bytes(1, 1_000_000));

    store.delete(&small[0]).await.unwrap();
    assert!(get(&store, &put(&store, bytes(4, 400_000)).await).await == bytes(4, 400_000));
}

#[tokio::test]
async fn a_writer_that_failed_does_not_commit_what_it_has() {
    let Some(disk) = Disk::mount("size=1m") else { return };
    let store = open(disk.0.path());
    let key = BlobKey::generate();
    let mut writer = store.create(&key).await.unwrap();
    while writer.write(bytes(1, 100_000)).await.is_ok() {}
    writer.write(bytes(2, 1)).await.unwrap_err();
    writer.commit().await.unwrap_err();
    assert_eq!(files(disk.0.path()), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn a_read_only_directory_can_be_read_and_denies_the_rest() {
    let Some(disk) = Disk::mount("size=8m") else { return };
    let key = put(&open(disk.0.path()), bytes(1, 1000)).await;
    disk.remount_read_only();
    let store = open(disk.0.path());
    assert!(get(&store, &key).await == bytes(1, 1000));
    // Into the directory that is there and into one that is not, at once and at commit.
    let beside = BlobKey::parse(&format!("{}x", key.as_str())).unwrap();
    for key in [beside, BlobKey::parse("new/key").unwrap()] {
        for size in [1000, LARGE] {
            let error = try_put(&store, &key, bytes(1, size)).await.unwrap_err();
            assert!(matches!(error, DatastoreError::Denied(_)), "{error:?}");
        }
    }
    let error = store.delete(&key).await.unwrap_err();
    assert!(matches!(error, DatastoreError::Denied(_)), "{error:?}");
    let below = disk.0.path().join("below");
    let error = ObjectStoreDatastore::directory(below, DirectoryOptions::default()).unwrap_err();
    assert!(matches!(error, DatastoreError::Denied(_)), "{error:?}");
}

/// A small file system of its own.
struct Disk(TempDir);

impl Disk {
    fn mount(options: &str) -> Option<Self> {
        let root = TempDir::new().unwrap();
        let mount = Command::new("mount")
            .args(["-n", "-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(root.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => return Some(Self(root)),
            Ok(output) => eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr).trim()),
            Err(error) => eprintln!("skipped: mount cannot be run: {error}"),
        }
        None
    }

    fn remount_read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(self.0.path()).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let output = Command::new("umount").args(["-n", "-l"]).arg(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
