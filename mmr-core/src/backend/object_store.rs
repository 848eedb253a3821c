//! [`Datastore`] over any [`object_store`]: a directory, memory or a bucket ready to use, and whatever the embedder
//! brings.

use std::{ops::Range, path::Path as FsPath, sync::Arc};

use ::object_store::{
    Attributes, GetOptions, GetResultPayload, ObjectStore, ObjectStoreExt as _, memory::InMemory, path::Path,
};
use async_trait::async_trait;
use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use url::Url;

use self::{
    directory::Directory,
    error::Place,
    extension::Extension,
    resume::Resume,
    writer::{Target, Writer},
};
use crate::{
    datastore::{BlobRead, BlobStat, BlobWriter, Datastore, DatastoreError, LinkRequest, OpenObject},
    types::{BlobKey, Timestamp},
};

mod directory;
pub(super) mod error;
pub(super) mod extension;
mod file;
mod open_file;
pub(super) mod probe;
mod reader;
mod resume;
mod sync_ahead;
mod walk;
mod writer;

pub use self::{
    directory::DirectoryOptions,
    probe::{Check, Outcome},
};

/// A [`Datastore`] on an [`ObjectStore`].
///
/// Objects up to one part long are put whole when they are committed; an upload that is abandoned before that, such as
/// a small duplicate, costs no I/O at all. Longer ones are sent as multipart uploads while they come in, with one part
/// on its way, or a few, and one being filled; a writer holds no more than these in memory.
#[derive(Debug)]
pub struct ObjectStoreDatastore {
    store: Arc<dyn ObjectStore>,
    // Set when `store` is a directory that we opened: then files are read, listed and cleaned up without its help.
    directory: Option<Arc<Directory>>,
    // What `store` can do that it has no words for.
    extension: Option<Arc<dyn Extension>>,
    place: Place,
    attributes: Attributes,
    part_bytes: usize,
    parts_in_flight: usize,
    // Commits and clean-ups, which go on when their callers do not.
    tasks: TaskTracker,
}

impl ObjectStoreDatastore {
    /// Part size for stores behind a network: above the 5 MiB that S3 demands, and few enough requests.
    pub const REMOTE_PART_BYTES: usize = 8 << 20;

    /// Part size for a directory or memory: small, because parts cost next to nothing there and memory counts.
    pub const LOCAL_PART_BYTES: usize = 256 << 10;

    /// Wraps any store, with parts of [`Self::REMOTE_PART_BYTES`].
    ///
    /// `object_store` cannot list unfinished multipart uploads, so [`Datastore::remove_unfinished`] does nothing here:
    /// give a bucket a lifecycle rule that aborts them after a day.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            directory: None,
            extension: None,
            place: Place::default(),
            attributes: Attributes::default(),
            part_bytes: Self::REMOTE_PART_BYTES,
            parts_in_flight: 1,
            tasks: TaskTracker::new(),
        }
    }

    /// Keeps everything in memory, for tests and trials.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::new(Arc::new(InMemory::new())).with_part_bytes(Self::LOCAL_PART_BYTES)
    }

    /// Keeps objects as files in the directory `path`, which is made if it is missing. Blocks: meant for start-up.
    ///
    /// A directory that exists but cannot be written to is opened for reading; writers then fail with
    /// [`DatastoreError::Denied`].
    pub fn directory(path: impl AsRef<FsPath>, options: DirectoryOptions) -> Result<Self, DatastoreError> {
        let (directory, store) = Directory::open(path.as_ref(), options)?;
        let mut this = Self::new(Arc::new(store)).with_part_bytes(Self::LOCAL_PART_BYTES);
        this.directory = Some(Arc::new(directory));
        Ok(this)
    }

    /// Wraps a store that we know more about.
    #[cfg_attr(
        not(any(feature = "azure", feature = "gcs", feature = "s3")),
        expect(dead_code, reason = "only stores behind features are extended")
    )]
    pub(super) fn extended(store: Arc<dyn ObjectStore>, extension: Arc<dyn Extension>) -> Self {
        let mut this = Self::new(store);
        this.place = extension.place();
        this.attributes = extension.attributes();
        this.extension = Some(extension);
        this
    }

    /// Uses parts of `part_bytes`, which is also the length up to which an object is buffered and put whole.
    #[must_use]
    pub fn with_part_bytes(mut self, part_bytes: usize) -> Self {
        self.part_bytes = part_bytes.max(1);
        self
    }

    /// Lets each writer have up to `parts` on their way at a time, rather than one.
    #[must_use]
    pub fn with_parts_in_flight(mut self, parts: usize) -> Self {
        self.parts_in_flight = parts.max(1);
        self
    }

    /// Waits until nothing is left of writers that were dropped, and of commits whose callers went away.
    pub async fn settled(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    async fn read_object(&self, path: &Path, range: Option<Range<u64>>) -> Result<BlobRead, DatastoreError> {
        let options = GetOptions { range: range.clone().map(Into::into), ..GetOptions::default() };
        let result = match self.store.get_opts(path, options).await {
            Ok(result) => result,
            Err(error) => return Err(self.explain(path, range, self.place.classify(error)).await),
        };
        let range = reader::check_range(range, result.meta.size)?;
        match result.payload {
            GetResultPayload::File(file, _) => file::read_file(file, range).await,
            GetResultPayload::Stream(stream) => {
                let len = range.end - range.start;
                let resume = Resume::new(self, path.clone(), range, &result.meta);
                reader::read_stream(resume.read(stream), len, &self.place).await
            }
        }
    }

    /// Backends agree neither on how they refuse a range nor on whether they tell the length when they do.
    async fn explain(&self, path: &Path, range: Option<Range<u64>>, error: DatastoreError) -> DatastoreError {
        if range.is_some()
            && matches!(error, DatastoreError::Other(_))
            && let Ok(meta) = self.store.head(path).await
            && let Err(error) = reader::check_range(range, meta.size)
        {
            return error;
        }
        error
    }
}

#[async_trait]
impl Datastore for ObjectStoreDatastore {
    async fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, DatastoreError> {
        if let Some(directory) = &self.directory {
            directory.prepare(key).await?;
        }
        if let Some(extension) = &self.extension
            && let Some(writer) = Arc::clone(extension).writer(key, &self.tasks)
        {
            return Ok(writer);
        }
        let target = Target {
            store: Arc::clone(&self.store),
            path: Path::from(key.as_str()),
            staged: self.directory.as_ref().map(|directory| directory.staged(key)),
            fsync: self.directory.as_ref().is_some_and(|directory| directory.syncs()),
            attributes: self.attributes.clone(),
            place: self.place.clone(),
            parts_in_flight: self.parts_in_flight,
            tasks: self.tasks.clone(),
            runtime: Handle::current(),
        };
        Ok(Box::new(Writer::new(target, self.part_bytes)))
    }

    async fn create_open(&self, key: &BlobKey) -> Result<Option<OpenObject>, DatastoreError> {
        let Some(directory) = &self.directory else { return Ok(None) };
        directory.prepare(key).await?;
        open_file::create(directory, key, &self.tasks).await.map(Some)
    }

    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobRead, DatastoreError> {
        match &self.directory {
            // None or one trip to a blocking thread for a small object, where `get_opts` and a read would take two.
            Some(directory) => file::read_path(directory.path(key), range).await,
            None => self.read_object(&Path::from(key.as_str()), range).await,
        }
    }

    // Not synced in a directory: a deletion that a crash undoes leaves an object without a row, and sweeps are for that.
    async fn delete(&self, key: &BlobKey) -> Result<(), DatastoreError> {
        if let Some(extension) = &self.extension {
            return extension.delete(key).await;
        }
        match self.store.delete(&Path::from(key.as_str())).await {
            Ok(()) | Err(::object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.place.classify(error)),
        }
    }

    fn list(&self, prefix: Option<&BlobKey>) -> BoxStream<'static, Result<BlobStat, DatastoreError>> {
        if let Some(directory) = &self.directory {
            return directory.list(prefix);
        }
        if let Some(extension) = &self.extension {
            return Arc::clone(extension).list(prefix);
        }
        let prefix = prefix.map(|prefix| Path::from(prefix.as_str()));
        let stat = |meta: ::object_store::ObjectMeta| {
            let key = BlobKey::parse(meta.location.as_ref()).ok()?;
            let modified = u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or_default();
            Some(BlobStat { key, size: meta.size, modified: Timestamp::from_millis(modified) })
        };
        self.store
            .list(prefix.as_ref())
            .filter_map(move |meta| std::future::ready(meta.map_err(error::classify).map(stat).transpose()))
            .boxed()
    }

    async fn link(&self, key: &BlobKey, request: &LinkRequest<'_>) -> Result<Option<Url>, DatastoreError> {
        match &self.extension {
            Some(extension) => extension.link(key, request).await,
            None => Ok(None),
        }
    }

    async fn remove_unfinished(&self, before: Timestamp) -> Result<u64, DatastoreError> {
        if let Some(extension) = &self.extension {
            return extension.remove_unfinished(before).await;
        }
        match &self.directory {
            Some(directory) => directory.remove_staged(before).await,
            None => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    async fn round_trip(store: &ObjectStoreDatastore, len: usize) {
        let bytes = Bytes::from((0..=250).cycle().take(len).collect::<Vec<u8>>());
        let key = BlobKey::generate();
        let mut writer = store.create(&key).await.unwrap();
        for chunk in bytes.chunks(70_001) {
            writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        writer.commit().await.unwrap();
        let read = store.read(&key, None).await.unwrap();
        assert_eq!(read.len, len as u64);
        assert!(read.body.collect_up_to(u64::MAX).await.unwrap() == bytes);
    }

    #[tokio::test]
    async fn objects_around_one_part_and_one_chunk_round_trip() {
        let directory = tempfile::tempdir().unwrap();
        let options = DirectoryOptions::default();
        for store in [
            ObjectStoreDatastore::in_memory(),
            ObjectStoreDatastore::directory(directory.path(), options).unwrap(),
        ] {
            let part = ObjectStoreDatastore::LOCAL_PART_BYTES;
            for len in [0, 1, 256 * 1024, 256 * 1024 + 1, part - 1, part, part + 1, 3 * part, 3 * part + 7] {
                round_trip(&store, len).await;
            }
        }
    }
}
