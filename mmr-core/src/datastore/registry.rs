//! The configured datastores, and which of them takes what.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use url::Url;

use crate::{
    datastore::{BlobRead, Datastore, DatastoreError, LinkRequest},
    types::{BlobLocation, DatastoreId, MediaKind},
};

/// All datastores by ID. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Datastores(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    by_id: HashMap<DatastoreId, Entry>,
    everywhere: Placement,
}

#[derive(Debug)]
struct Entry {
    datastore: Arc<dyn Datastore>,
    // Bytes that lie there, as far as this process knows.
    level: AtomicU64,
}

/// Collects datastores, see [`Datastores::builder`].
#[derive(Debug, Default)]
pub struct DatastoresBuilder {
    by_id: HashMap<DatastoreId, Entry>,
    everywhere: Placement,
}

/// Which datastores take new objects of which kind, in the order they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement(BTreeMap<MediaKind, Vec<DatastoreId>>);

impl Placement {
    /// Adds a datastore that takes new objects of `kinds`.
    #[must_use]
    pub fn with(mut self, id: &DatastoreId, kinds: &[MediaKind]) -> Self {
        for kind in kinds {
            self.0.entry(*kind).or_default().push(id.clone());
        }
        self
    }
}

/// No datastore takes new objects of this kind, or a record names a datastore that is not configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDatastore {
    /// `datastores[].forKinds` of no datastore names the kind.
    #[error("no datastore accepts new {0:?} objects")]
    ForKind(MediaKind),
    /// The ID stands in a record but not in the configuration.
    #[error("datastore {0} is not configured")]
    WithId(DatastoreId),
}

impl DatastoresBuilder {
    /// Adds a datastore that takes new objects of `kinds`; with no kinds it is only read from.
    #[must_use]
    pub fn add(mut self, id: DatastoreId, datastore: Arc<dyn Datastore>, kinds: &[MediaKind]) -> Self {
        self.everywhere = self.everywhere.with(&id, kinds);
        self.by_id.insert(id, Entry { datastore, level: AtomicU64::new(0) });
        self
    }

    /// Finishes the set.
    #[must_use]
    pub fn build(self) -> Datastores {
        Datastores(Arc::new(Inner { by_id: self.by_id, everywhere: self.everywhere }))
    }
}

impl Datastores {
    /// Starts an empty set.
    #[must_use]
    pub fn builder() -> DatastoresBuilder {
        DatastoresBuilder::default()
    }

    /// One datastore for everything.
    #[must_use]
    pub fn single(id: DatastoreId, datastore: Arc<dyn Datastore>) -> Self {
        Self::builder().add(id, datastore, &MediaKind::ALL).build()
    }

    /// The datastore called `id`.
    pub fn get(&self, id: &DatastoreId) -> Result<&Arc<dyn Datastore>, NoDatastore> {
        Ok(&self.entry(id)?.datastore)
    }

    /// The datastore that takes a new object of `kind`: of those that `placement`, or else the configuration for
    /// everybody, names for it, the one that holds least; of equals the first.
    pub fn pick(
        &self,
        kind: MediaKind,
        placement: Option<&Placement>,
    ) -> Result<(DatastoreId, Arc<dyn Datastore>), NoDatastore> {
        let Placement(eligible) = placement.unwrap_or(&self.0.everywhere);
        let ids = eligible.get(&kind).filter(|ids| !ids.is_empty()).ok_or(NoDatastore::ForKind(kind))?;
        let mut least: Option<(u64, &DatastoreId, &Entry)> = None;
        for id in ids {
            let entry = self.entry(id)?;
            let level = entry.level.load(Ordering::Relaxed);
            if least.is_none_or(|(lowest, ..)| level < lowest) {
                least = Some((level, id, entry));
            }
        }
        least
            .map(|(_, id, entry)| (id.clone(), Arc::clone(&entry.datastore)))
            .ok_or(NoDatastore::ForKind(kind))
    }

    /// Says how much lies in a datastore, in bytes. Nothing happens when it is not configured.
    pub(crate) fn set_level(&self, id: &DatastoreId, bytes: u64) {
        if let Ok(entry) = self.entry(id) {
            entry.level.store(bytes, Ordering::Relaxed);
        }
    }

    /// Says that so many bytes came to a datastore, until the sum is read again.
    pub(crate) fn raise_level(&self, id: &DatastoreId, bytes: u64) {
        if let Ok(entry) = self.entry(id) {
            entry.level.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// All datastores, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&DatastoreId, &Arc<dyn Datastore>)> {
        self.0.by_id.iter().map(|(id, entry)| (id, &entry.datastore))
    }

    /// Reads an object, or one range of it, from where it lies. Whatever the datastore does, the body ends with an error
    /// unless it has its length.
    pub async fn read(
        &self,
        location: &BlobLocation,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<BlobRead, DatastoreError> {
        let BlobRead { len, body } = self.at(location)?.read(&location.key, range).await?;
        Ok(BlobRead { len, body: body.of_length(len) })
    }

    /// An address that clients can fetch an object from, where the datastore has one.
    pub async fn link(
        &self,
        location: &BlobLocation,
        request: &LinkRequest<'_>,
    ) -> Result<Option<Url>, DatastoreError> {
        self.at(location)?.link(&location.key, request).await
    }

    /// Deletes an object from where it lies.
    pub async fn delete(&self, location: &BlobLocation) -> Result<(), DatastoreError> {
        self.at(location)?.delete(&location.key).await
    }

    fn entry(&self, id: &DatastoreId) -> Result<&Entry, NoDatastore> {
        self.0.by_id.get(id).ok_or_else(|| NoDatastore::WithId(id.clone()))
    }

    fn at(&self, location: &BlobLocation) -> Result<&Arc<dyn Datastore>, DatastoreError> {
        self.get(&location.datastore).map_err(|error| DatastoreError::Other(Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use async_trait::async_trait;
    use futures_util::{StreamExt as _, stream};

    use super::*;
    use crate::{
        datastore::{BlobStat, BlobWriter},
        types::{BlobKey, Timestamp},
    };

    /// Whatever it is, it is not asked.
    #[derive(Debug)]
    struct Empty;

    #[async_trait]
    impl Datastore for Empty {
        async fn create(&self, _: &BlobKey) -> Result<Box<dyn BlobWriter>, DatastoreError> {
            Err(DatastoreError::NotFound)
        }

        async fn read(&self, _: &BlobKey, _: Option<Range<u64>>) -> Result<BlobRead, DatastoreError> {
            Err(DatastoreError::NotFound)
        }

        async fn delete(&self, _: &BlobKey) -> Result<(), DatastoreError> {
            Ok(())
        }

        fn list(&self, _: Option<&BlobKey>) -> stream::BoxStream<'static, Result<BlobStat, DatastoreError>> {
            stream::empty().boxed()
        }

        async fn link(&self, _: &BlobKey, _: &LinkRequest<'_>) -> Result<Option<Url>, DatastoreError> {
            Ok(None)
        }

        async fn remove_unfinished(&self, _: Timestamp) -> Result<u64, DatastoreError> {
            Ok(0)
        }
    }

    fn id(name: &str) -> DatastoreId {
        DatastoreId::parse(name).unwrap()
    }

    fn datastores(list: &[(&str, &[MediaKind])]) -> Datastores {
        let add = |builder: DatastoresBuilder, (name, kinds): &(&str, &[MediaKind])| {
            builder.add(id(name), Arc::new(Empty), kinds)
        };
        list.iter().fold(Datastores::builder(), add).build()
    }

    fn pick(datastores: &Datastores, kind: MediaKind) -> Result<String, NoDatastore> {
        datastores.pick(kind, None).map(|(id, _)| id.to_string())
    }

    #[test]
    fn a_new_object_goes_where_least_lies() {
        let datastores =
            datastores(&[("a", &MediaKind::ALL), ("b", &MediaKind::ALL), ("c", &MediaKind::ALL)]);
        for (name, bytes) in [("a", 30), ("b", 10), ("c", 20)] {
            datastores.set_level(&id(name), bytes);
        }
        assert_eq!(pick(&datastores, MediaKind::Local).unwrap(), "b");
        datastores.raise_level(&id("b"), 15);
        assert_eq!(pick(&datastores, MediaKind::Local).unwrap(), "c");
    }

    #[test]
    fn of_equally_full_ones_the_first_takes_it() {
        let datastores = datastores(&[("b", &MediaKind::ALL), ("a", &MediaKind::ALL)]);
        assert_eq!(pick(&datastores, MediaKind::Remote).unwrap(), "b");
    }

    #[test]
    fn a_datastore_takes_only_its_kinds_and_one_without_kinds_takes_nothing() {
        let datastores = datastores(&[("old", &[]), ("local", &[MediaKind::Local])]);
        datastores.set_level(&id("local"), 1000);
        assert_eq!(pick(&datastores, MediaKind::Local).unwrap(), "local");
        assert_eq!(pick(&datastores, MediaKind::Remote), Err(NoDatastore::ForKind(MediaKind::Remote)));
        assert!(datastores.get(&id("old")).is_ok());
    }

    #[test]
    fn a_placement_overrides_what_is_configured_for_everybody() {
        let datastores = datastores(&[("everybody", &MediaKind::ALL), ("example.org", &[])]);
        let placement = Placement::default().with(&id("example.org"), &[MediaKind::Local]);
        let (picked, _) = datastores.pick(MediaKind::Local, Some(&placement)).unwrap();
        assert_eq!(picked.as_str(), "example.org");
        let none = datastores.pick(MediaKind::Remote, Some(&placement)).map(drop);
        assert_eq!(none, Err(NoDatastore::ForKind(MediaKind::Remote)));
    }
}
