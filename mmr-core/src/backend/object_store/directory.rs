//! A directory on a local file system.
//!
//! What `LocalFileSystem::with_fsync` of `object_store` 0.14.2 covers, by its source: `put` and `put_multipart` sync the
//! data file (`sync_all`) before they rename it into place, and its parent directory after. Directories that they make
//! on the way are synced too, up to the first one that was there *before*. That leaves two gaps:
//!
//! - When two writers meet in a new directory `xx/`, the second finds it there, and does not sync the root. If it
//!   finishes first, its object is acknowledged while `xx/` itself is not durable. The same happens to every writer
//!   after a process was killed between `mkdir` and sync. [`Directory::prepare`] closes this: no writer starts before
//!   the directory of its key is known to be durable. Not by making all 256 of them at once: that takes a tenth of a
//!   second on ext4, which a start does not have.
//! - When the sync or the rename at the end of a multipart upload fails, its staged file stays behind. The writer
//!   removes it, see [`Directory::staged`].
//!
//! A single `put` that fails removes its own staged file.

use std::{
    collections::HashSet,
    error::Error,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use ::object_store::local::LocalFileSystem;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use rustix::fs::{Access, access};
use tokio::task::spawn_blocking;

use super::{error::classify, walk::walk};
use crate::{
    datastore::{BlobStat, DatastoreError},
    types::{BlobKey, Timestamp},
};

/// How a directory is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryOptions {
    /// Whether a commit returns only when the object would survive a crash of the machine (the default), rather than
    /// just one of the process.
    pub fsync: bool,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        Self { fsync: true }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", .path.display())]
struct CannotUse {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The files behind a `LocalFileSystem`.
#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    fsync: bool,
    // Directories of keys that exist and would survive a crash.
    durable: Arc<Mutex<HashSet<Box<str>>>>,
}

/// Entries of [`Directory::durable`]; the keys that we generate need 256.
const MAX_DURABLE: usize = 4096;

impl Directory {
    pub(super) fn open(
        path: &Path,
        options: DirectoryOptions,
    ) -> Result<(Self, LocalFileSystem), DatastoreError> {
        let DirectoryOptions { fsync } = options;
        make_directory(path, fsync).map_err(cannot("make the directory", path))?;
        let root = path.canonicalize().map_err(cannot("open the directory", path))?;
        let mut durable = HashSet::new();
        for entry in fs::read_dir(&root).map_err(cannot("read the directory", &root))? {
            let entry = entry.map_err(cannot("read the directory", &root))?;
            if let Ok(name) = entry.file_name().into_string()
                && is_fan_out(&name)
            {
                durable.insert(name.into());
            }
        }
        // What an earlier process made may not have been synced any more.
        if fsync {
            sync(&root).map_err(cannot("sync", &root))?;
        }
        if let Err(error) = access(&root, Access::WRITE_OK) {
            tracing::warn!(error = &error as &dyn Error, "datastore {} cannot be written to", root.display());
        }
        let store = LocalFileSystem::new_with_prefix(&root).map_err(classify)?.with_fsync(fsync);
        Ok((Self { root, fsync, durable: Arc::new(Mutex::new(durable)) }, store))
    }

    /// Sees to it that the directory of a new object exists and is durable.
    pub(super) async fn prepare(&self, key: &BlobKey) -> Result<(), DatastoreError> {
        let Some((parent, _)) = key.as_str().rsplit_once('/') else { return Ok(()) };
        if !self.fsync || locked(&self.durable).contains(parent) {
            return Ok(());
        }
        let (root, name, durable) = (self.root.clone(), Box::<str>::from(parent), Arc::clone(&self.durable));
        let make = move || {
            let path = root.join(&*name);
            fs::create_dir_all(&path).map_err(cannot("make the directory", &path))?;
            // Each name on the way lies in the directory above it. Its own content is synced with each commit.
            let mut above = path.ancestors().skip(1).take_while(|above| above.starts_with(&root));
            above.try_for_each(|above| sync(above).map_err(cannot("sync", above)))?;
            let mut durable = locked(&durable);
            if durable.len() < MAX_DURABLE {
                durable.insert(name);
            }
            Ok(())
        };
        spawn_blocking(make).await.map_err(classify)?
    }

    /// Whether commits are made durable.
    pub(super) const fn syncs(&self) -> bool {
        self.fsync
    }

    /// Where an object lies.
    pub(super) fn path(&self, key: &BlobKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    /// Where `LocalFileSystem` collects the bytes of a fresh key before they are renamed into place.
    pub(super) fn staged(&self, key: &BlobKey) -> PathBuf {
        self.root.join(format!("{key}#1"))
    }

    pub(super) fn list(
        &self,
        prefix: Option<&BlobKey>,
    ) -> BoxStream<'static, Result<BlobStat, DatastoreError>> {
        walk(self.root.clone(), prefix)
            .try_filter_map(|found| async move {
                let Ok(key) = BlobKey::parse(&found.name) else { return Ok(None) };
                let modified = timestamp(found.metadata.modified().map_err(classify)?);
                Ok(Some(BlobStat { key, size: found.metadata.len(), modified }))
            })
            .boxed()
    }

    /// Removes staged files that were last written to before `before`.
    pub(super) async fn remove_staged(&self, before: Timestamp) -> Result<u64, DatastoreError> {
        let mut removed = 0;
        let mut files = walk(self.root.clone(), None);
        while let Some(found) = files.try_next().await? {
            if !is_staged(&found.name) || timestamp(found.metadata.modified().map_err(classify)?) >= before {
                continue;
            }
            let path = self.root.join(&found.name);
            match spawn_blocking(move || fs::remove_file(path)).await.map_err(classify)? {
                Ok(()) => removed += 1,
                // Its writer was alive after all.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(cannot("remove", Path::new(&found.name))(error)),
            }
        }
        Ok(removed)
    }
}

/// `key#1`: what `LocalFileSystem` calls a file that is being written.
fn is_staged(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(key, number)| {
        BlobKey::parse(key).is_ok()
            && !number.is_empty()
            && number.bytes().all(|digit| digit.is_ascii_digit())
    })
}

fn is_fan_out(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Makes `path` and what is missing above it; each new name is synced into the directory that holds it.
fn make_directory(path: &Path, fsync: bool) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = match path.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => path,
    };
    if above != path {
        make_directory(above, fsync)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        result => result?,
    }
    if fsync { sync(above) } else { Ok(()) }
}

fn locked(durable: &Mutex<HashSet<Box<str>>>) -> MutexGuard<'_, HashSet<Box<str>>> {
    durable.lock().expect("no panics while it is locked")
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn cannot(what: &'static str, path: &Path) -> impl Fn(io::Error) -> DatastoreError {
    move |source| classify(CannotUse { what, path: path.to_path_buf(), source })
}

fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::EPOCH.plus(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}
