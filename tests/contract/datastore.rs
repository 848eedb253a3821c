//! The datastore contract, held by every ready backend, and what only a directory can show.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use mmr_core::{
    backend::object_store::{DirectoryOptions, ObjectStoreDatastore},
    datastore::{CachedDatastore, Datastore, TieredDatastore},
    testing::{datastore_suite, datastore_suite::DatastoreUnderTest},
    types::BlobKey,
};
use object_store::{local::LocalFileSystem, memory::InMemory};
use tempfile::TempDir;

/// A directory that vanishes with the test.
struct InDirectory {
    root: TempDir,
    datastore: Arc<dyn Datastore>,
}

impl InDirectory {
    fn new(fsync: bool) -> Self {
        let root = TempDir::new().unwrap();
        let datastore = ObjectStoreDatastore::directory(root.path(), DirectoryOptions { fsync }).unwrap();
        Self { root, datastore: Arc::new(datastore) }
    }

    /// As a store that we know nothing about.
    fn foreign() -> Self {
        let root = TempDir::new().unwrap();
        let store = LocalFileSystem::new_with_prefix(root.path()).unwrap();
        let datastore = ObjectStoreDatastore::new(Arc::new(store)).with_part_bytes(1 << 20);
        Self { root, datastore: Arc::new(datastore) }
    }

    fn cached() -> Self {
        let Self { root, datastore } = Self::new(false);
        Self { root, datastore: Arc::new(CachedDatastore::new(datastore, 4 << 20, 1 << 20)) }
    }

    async fn tiered() -> Self {
        let Self { root, datastore } = Self::new(false);
        let near = Arc::new(ObjectStoreDatastore::in_memory());
        let tiered = TieredDatastore::new(datastore, near, 64 << 20, true).await.unwrap();
        Self { root, datastore: Arc::new(tiered) }
    }
}

#[async_trait]
impl DatastoreUnderTest for InDirectory {
    fn datastore(&self) -> &dyn Datastore {
        &*self.datastore
    }

    async fn truncate(&self, key: &BlobKey, len: u64) -> bool {
        let file = fs::OpenOptions::new().write(true).open(self.root.path().join(key.as_str())).unwrap();
        file.set_len(len).unwrap();
        true
    }

    async fn unfinished(&self) -> Option<u64> {
        Some(files(self.root.path()).iter().filter(|path| path.to_str().unwrap().contains('#')).count() as u64)
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.append(&mut files(&path)) } else { found.push(path) }
    }
    found
}

mod in_memory {
    use super::*;
    datastore_suite!(ObjectStoreDatastore::in_memory());
}

mod in_memory_behind_a_network {
    use super::*;
    datastore_suite!(ObjectStoreDatastore::new(Arc::new(InMemory::new())));
}

mod in_somebodys_object_store {
    use super::*;
    datastore_suite!(InDirectory::foreign());
}

mod in_a_directory {
    use super::*;
    datastore_suite!(InDirectory::new(true));
}

mod in_a_directory_without_sync {
    use super::*;
    datastore_suite!(InDirectory::new(false));
}

mod cached_in_front_of_a_directory {
    use super::*;
    datastore_suite!(InDirectory::cached());
}

mod tiered_over_a_directory {
    use super::*;
    datastore_suite!(InDirectory::tiered().await);
}
