//! An object of a directory that is open to readers while it is made: a file under its staged name, written to in place.
//! Committing syncs it and gives it its name.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{runtime::Handle, sync::oneshot, task::spawn_blocking};
use tokio_util::task::TaskTracker;

use super::{directory::Directory, error::classify, sync_ahead::SyncAhead, writer::NoResult};
use crate::{
    datastore::{BlobWriter, DatastoreError, OpenObject},
    types::BlobKey,
};

/// Makes the file of a new object. Its directory is there already where it has to be durable.
pub(super) async fn create(
    directory: &Directory,
    key: &BlobKey,
    tasks: &TaskTracker,
) -> Result<OpenObject, DatastoreError> {
    let fsync = directory.syncs();
    let names = Names { staged: directory.staged(key), path: directory.path(key), fsync };
    let staged = names.staged.clone();
    let file = Arc::new(spawn_blocking(move || open(&staged)).await.map_err(classify)?.map_err(classify)?);
    let writer = Writer {
        file: Arc::clone(&file),
        written: 0,
        synced: fsync.then(SyncAhead::default),
        names: Some(names),
        tasks: tasks.clone(),
        runtime: Handle::current(),
    };
    Ok(OpenObject { file, writer: Box::new(writer) })
}

/// Directories that need not be durable are made by whoever comes first.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    match (options.open(path), path.parent()) {
        (Err(error), Some(above)) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(above)?;
            options.open(path)
        }
        (result, _) => result,
    }
}

struct Writer {
    file: Arc<File>,
    written: u64,
    /// `None` where the commit syncs nothing.
    synced: Option<SyncAhead>,
    /// Until somebody sees to what becomes of the file.
    names: Option<Names>,
    // Commits and clean-ups go on when their callers do not.
    tasks: TaskTracker,
    runtime: Handle,
}

struct Names {
    staged: PathBuf,
    path: PathBuf,
    fsync: bool,
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<(), DatastoreError> {
        self.write_many(vec![chunk]).await
    }

    /// With one hop to another thread.
    async fn write_many(&mut self, chunks: Vec<Bytes>) -> Result<(), DatastoreError> {
        let file = Arc::clone(&self.file);
        if let Some(synced) = &mut self.synced {
            let file = Arc::clone(&file);
            synced.before(chunks.iter().map(Bytes::len).sum(), move || file.sync_data()).await;
        }
        let offset = self.written;
        let write = move || {
            chunks.iter().try_fold(offset, |offset, chunk| {
                file.write_all_at(chunk, offset).map(|()| offset + chunk.len() as u64)
            })
        };
        self.written = spawn_blocking(write).await.map_err(classify)?.map_err(classify)?;
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), DatastoreError> {
        let Some(names) = self.names.take() else { return Err(DatastoreError::Other(NoResult.into())) };
        let file = Arc::clone(&self.file);
        let (answer, answered) = oneshot::channel();
        self.tasks.spawn_blocking(move || {
            let result = names.commit(&file);
            if result.is_err() {
                // It may have its name already.
                forget(&names.staged);
                forget(&names.path);
            }
            // Nobody will ever name an object whose writer went away during the commit.
            if let Err(Ok(())) = answer.send(result) {
                forget(&names.path);
            }
        });
        let result = answered.await.map_err(|_| DatastoreError::Unavailable(NoResult.into()))?;
        result.map_err(classify)
    }

    async fn abort(mut self: Box<Self>) {
        let Some(names) = self.names.take() else { return };
        // It fails only when the runtime shuts down.
        let _ = self.tasks.spawn_blocking(move || forget(&names.staged)).await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Some(names) = self.names.take() else { return };
        self.tasks.spawn_blocking_on(move || forget(&names.staged), &self.runtime);
    }
}

impl Names {
    fn commit(&self, file: &File) -> io::Result<()> {
        if self.fsync {
            file.sync_all()?;
        }
        fs::rename(&self.staged, &self.path)?;
        match self.path.parent() {
            Some(above) if self.fsync => File::open(above)?.sync_all(),
            _ => Ok(()),
        }
    }
}

fn forget(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "{} is left for the sweep", path.display());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ObjectStoreDatastore, *};
    use crate::{backend::object_store::DirectoryOptions, datastore::Datastore as _};

    async fn made(store: &ObjectStoreDatastore, key: &BlobKey) -> OpenObject {
        store.create_open(key).await.unwrap().expect("objects of a directory are files")
    }

    fn store() -> (tempfile::TempDir, ObjectStoreDatastore) {
        store_with(DirectoryOptions::default())
    }

    fn store_with(options: DirectoryOptions) -> (tempfile::TempDir, ObjectStoreDatastore) {
        let directory = tempfile::tempdir().unwrap();
        let store = ObjectStoreDatastore::directory(directory.path(), options).unwrap();
        (directory, store)
    }

    async fn content(store: &ObjectStoreDatastore, key: &BlobKey) -> Result<Bytes, DatastoreError> {
        Ok(store.read(key, None).await?.body.collect_up_to(1000).await.unwrap())
    }

    #[tokio::test]
    async fn what_is_written_is_in_the_file_at_once_and_is_the_object_once_it_is_committed() {
        for fsync in [true, false] {
            let (_directory, store) = store_with(DirectoryOptions { fsync });
            let key = BlobKey::generate();
            let OpenObject { file, mut writer } = made(&store, &key).await;
            writer.write(Bytes::from_static(b"by")).await.unwrap();
            writer.write_many(vec![Bytes::from_static(b"t"), Bytes::from_static(b"es")]).await.unwrap();
            let mut read = [0; 5];
            file.read_exact_at(&mut read, 0).unwrap();
            assert_eq!(&read, b"bytes");
            assert!(matches!(content(&store, &key).await, Err(DatastoreError::NotFound)));
            writer.commit().await.unwrap();
            assert_eq!(content(&store, &key).await.unwrap(), "bytes");
        }
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_full_disk_is_told_as_such() {
        let file = Arc::new(File::options().write(true).open("/dev/full").unwrap());
        let (tasks, runtime) = (TaskTracker::new(), Handle::current());
        let mut writer = Writer { file, written: 0, synced: None, names: None, tasks, runtime };
        let result = writer.write(Bytes::from_static(b"bytes")).await;
        assert!(matches!(result, Err(DatastoreError::Full(_))), "{result:?}");
    }

    #[tokio::test]
    async fn a_writer_that_is_dropped_or_aborted_leaves_no_file() {
        let (directory, store) = store();
        let key = BlobKey::generate();
        for abort in [true, false] {
            let OpenObject { mut writer, .. } = made(&store, &key).await;
            writer.write(Bytes::from_static(b"bytes")).await.unwrap();
            if abort {
                writer.abort().await;
            } else {
                drop(writer);
                store.settled().await;
            }
            let above = directory.path().join(key.as_str());
            assert_eq!(fs::read_dir(above.parent().unwrap()).unwrap().count(), 0);
        }
    }

    #[tokio::test]
    async fn a_commit_that_fails_leaves_no_file() {
        let (directory, store) = store();
        let key = BlobKey::generate();
        let path = directory.path().join(key.as_str());
        let OpenObject { writer, .. } = made(&store, &key).await;
        fs::create_dir(&path).unwrap();
        assert!(writer.commit().await.is_err());
        store.settled().await;
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
