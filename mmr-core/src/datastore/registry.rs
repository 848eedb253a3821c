//! The configured datastores, and which of them takes what.

use std::{collections::HashMap, sync::Arc};

use crate::{
    datastore::{BlobRead, Datastore, DatastoreError},
    types::{BlobLocation, DatastoreId, MediaKind},
};

/// All datastores by ID. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Datastores(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    by_id: HashMap<DatastoreId, Arc<dyn Datastore>>,
    // Per kind, in the order they were added.
    eligible: HashMap<MediaKind, Vec<DatastoreId>>,
}

/// Collects datastores, see [`Datastores::builder`].
#[derive(Debug, Default)]
pub struct DatastoresBuilder {
    by_id: HashMap<DatastoreId, Arc<dyn Datastore>>,
    eligible: HashMap<MediaKind, Vec<DatastoreId>>,
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
        for kind in kinds {
            self.eligible.entry(*kind).or_default().push(id.clone());
        }
        self.by_id.insert(id, datastore);
        self
    }

    /// Finishes the set.
    #[must_use]
    pub fn build(self) -> Datastores {
        Datastores(Arc::new(Inner { by_id: self.by_id, eligible: self.eligible }))
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
        self.0.by_id.get(id).ok_or_else(|| NoDatastore::WithId(id.clone()))
    }

    /// The datastore that takes a new object of `kind`: the first one configured for it.
    pub fn pick(&self, kind: MediaKind) -> Result<(&DatastoreId, &Arc<dyn Datastore>), NoDatastore> {
        let id = self.0.eligible.get(&kind).and_then(|ids| ids.first()).ok_or(NoDatastore::ForKind(kind))?;
        Ok((id, self.get(id)?))
    }

    /// All datastores, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&DatastoreId, &Arc<dyn Datastore>)> {
        self.0.by_id.iter()
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

    /// Deletes an object from where it lies.
    pub async fn delete(&self, location: &BlobLocation) -> Result<(), DatastoreError> {
        self.at(location)?.delete(&location.key).await
    }

    fn at(&self, location: &BlobLocation) -> Result<&Arc<dyn Datastore>, DatastoreError> {
        self.get(&location.datastore).map_err(|error| DatastoreError::Other(Box::new(error)))
    }
}
