//! The datastores that the settings name.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use mmr_core::{
    backend::{
        object_store::{DirectoryOptions, ObjectStoreDatastore},
        s3::Secret,
    },
    datastore::{CachedDatastore, Datastore, Datastores, TieredDatastore},
    types::{DatastoreId, MediaKind},
};

use super::{BucketSettings, BucketStore, CacheSettings, DatastoreSettings, StorageSettings};
use crate::service::DatastoreSummary;

/// Opens all of them, with caches in front.
pub(super) async fn open_all(
    settings: &[DatastoreSettings],
    cache: &CacheSettings,
) -> anyhow::Result<Datastores> {
    let mut builder = Datastores::builder();
    let share = cache.memory_bytes / settings.len().max(1) as u64;
    let buckets = settings.iter().filter(|datastore| matches!(datastore.storage, StorageSettings::Bucket(_)));
    let disk_share = cache.disk.as_ref().map_or(0, |(_, bytes)| bytes / buckets.count().max(1) as u64);
    for DatastoreSettings { id, kinds, storage } in settings {
        let mut links_to_cached = false;
        let mut datastore = open(id, storage)?;
        if let (StorageSettings::Bucket(bucket), Some((path, _))) = (storage, &cache.disk) {
            let near = near(path, id).await.with_context(|| {
                format!("the directory {} cannot be used (downloads.cache.diskPath)", path.display())
            })?;
            let tiered = TieredDatastore::new(datastore, near.datastore, disk_share, near.trusted).await;
            let tiered = tiered.with_context(|| format!("{} cannot be listed", path.display()))?;
            // Only now is there nothing left from before.
            fs::write(&near.note, near.boot)
                .with_context(|| format!("{} cannot be written", near.note.display()))?;
            datastore = Arc::new(tiered.with_links_to_copied(bucket.redirect_when_cached));
        }
        if let StorageSettings::Bucket(bucket) = storage {
            links_to_cached = bucket.redirect_when_cached;
        }
        builder = builder.add(DatastoreId::parse(id)?, cached(datastore, share, links_to_cached), kinds);
    }
    Ok(builder.build())
}

/// Puts hot media in memory, up to `bytes` altogether.
pub(crate) fn cached(datastore: Arc<dyn Datastore>, bytes: u64, links_to_cached: bool) -> Arc<dyn Datastore> {
    if bytes == 0 {
        return datastore;
    }
    // No object may push out more than an eighth of the others.
    let cached = CachedDatastore::new(datastore, bytes, bytes / 8);
    Arc::new(cached.with_links_to_cached(links_to_cached))
}

fn open(id: &str, storage: &StorageSettings) -> anyhow::Result<Arc<dyn Datastore>> {
    let datastore = match storage {
        StorageSettings::Directory { path, fsync } => {
            let directory = ObjectStoreDatastore::directory(path, DirectoryOptions { fsync: *fsync });
            directory.with_context(|| {
                format!("datastore {id}: the directory {} cannot be used (opts.path)", path.display())
            })?
        }
        StorageSettings::Bucket(settings) => open_bucket(id, settings)?,
    };
    Ok(Arc::new(datastore))
}

/// Reads the files that the settings name. Nothing is asked of the store yet.
pub(crate) fn open_bucket(id: &str, settings: &BucketSettings) -> anyhow::Result<ObjectStoreDatastore> {
    let read = |key: &str, path: &Path| {
        fs::read(path).with_context(|| format!("datastore {id}: opts.{key}: {}", path.display()))
    };
    let ca = settings.ca_file.as_ref().map_or(Ok(Vec::new()), |path| read("caFile", path))?;
    let opened = match settings.store.clone() {
        BucketStore::S3(mut options) => {
            options.network.ca = ca;
            ObjectStoreDatastore::s3(options)
        }
        BucketStore::Gcs { mut options, credentials_file } => {
            let key = String::from_utf8(read("credentialsFile", &credentials_file)?);
            let key =
                key.map_err(|_| anyhow::anyhow!("datastore {id}: opts.credentialsFile is not UTF-8"))?;
            options.service_account_key = Secret::new(key);
            options.network.ca = ca;
            ObjectStoreDatastore::gcs(options)
        }
        BucketStore::Azure(mut options) => {
            options.network.ca = ca;
            ObjectStoreDatastore::azure(options)
        }
    };
    opened.with_context(|| format!("datastore {id}: its opts cannot be used"))
}

/// A place for copies.
struct Near {
    datastore: Arc<dyn Datastore>,
    trusted: bool,
    note: PathBuf,
    boot: String,
}

/// A directory of its own for each datastore, and beside it a note of when the machine was started: copies are not synced, so
/// that those from before may be of the right length and hold nothing.
async fn near(root: &Path, id: &str) -> anyhow::Result<Near> {
    let (name, root) = (blake3::hash(id.as_bytes()).to_hex(), root.to_path_buf());
    tokio::task::spawn_blocking(move || {
        let directory = root.join(&name[..16]);
        fs::create_dir_all(&directory)?;
        let datastore = ObjectStoreDatastore::directory(&directory, DirectoryOptions { fsync: false })?;
        let (note, boot) = (directory.with_extension("boot"), boot_id());
        let trusted = boot.is_some() && fs::read_to_string(&note).ok() == boot;
        Ok(Near { datastore: Arc::new(datastore), trusted, note, boot: boot.unwrap_or_default() })
    })
    .await?
}

/// Different after each start of the machine, where the system says.
fn boot_id() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().filter(|id| !id.is_empty())
}

/// Files without a name lie beside those that are kept: temporary directories are often memory.
pub(super) fn spool_directory(settings: &[DatastoreSettings]) -> Option<PathBuf> {
    let mut takes_remote = settings.iter().filter(|datastore| datastore.kinds.contains(&MediaKind::Remote));
    takes_remote.find_map(|datastore| match &datastore.storage {
        StorageSettings::Directory { path, .. } => Some(path.clone()),
        StorageSettings::Bucket(bucket) => bucket.temp_dir.clone(),
    })
}

/// What administrators are told.
pub(super) fn summary(datastore: &DatastoreSettings) -> DatastoreSummary {
    let kind = match &datastore.storage {
        StorageSettings::Directory { .. } => "file",
        StorageSettings::Bucket(bucket) => bucket.store.kind(),
    };
    DatastoreSummary { id: datastore.id.clone(), kind, uri: datastore.storage.to_string() }
}
