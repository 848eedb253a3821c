use std::collections::BTreeSet;

use async_trait::async_trait;

use super::{Blob, MemoryStore};
use crate::{
    store::{BlobIndex, DatastoreUsage, StoreError, StoredBlob},
    types::{BlobKey, BlobLocation, BlobRecord, ContentHash, DatastoreId, Timestamp},
};

#[async_trait]
impl BlobIndex for MemoryStore {
    async fn garbage(&self, limit: u32, before: Timestamp) -> Result<Vec<BlobLocation>, StoreError> {
        let state = self.state();
        let mut found: Vec<_> = state.garbage.iter().filter(|(_, since)| **since < before).collect();
        found.sort_by_key(|(location, since)| (*since, *location));
        Ok(found.into_iter().take(limit as usize).map(|(location, _)| location.clone()).collect())
    }

    async fn forget(&self, garbage: &[BlobLocation]) -> Result<(), StoreError> {
        let mut state = self.state();
        for location in garbage {
            state.garbage.remove(location);
        }
        Ok(())
    }

    async fn unreferenced(
        &self,
        datastore: &DatastoreId,
        keys: &[BlobKey],
    ) -> Result<Vec<BlobKey>, StoreError> {
        let state = self.state();
        let is_known = |key: &BlobKey| {
            let location = BlobLocation { datastore: datastore.clone(), key: key.clone() };
            state.garbage.contains_key(&location)
                || state.blobs.values().any(|blob| blob.record.location == location)
        };
        Ok(keys.iter().filter(|key| !is_known(key)).cloned().collect())
    }

    async fn relocate(
        &self,
        blob: &ContentHash,
        from: &BlobLocation,
        to: &BlobLocation,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let is_at_from = state.blobs.get(blob).is_some_and(|blob| blob.record.location == *from);
        if !is_at_from || from == to {
            return Ok(is_at_from);
        }
        state.check_vacant(to)?;
        if let Some(blob) = state.blobs.get_mut(blob) {
            blob.record.location = to.clone();
        }
        state.garbage.remove(to);
        state.garbage.insert(from.clone(), now);
        Ok(true)
    }

    async fn blobs_in(
        &self,
        datastore: &DatastoreId,
        after: Option<&BlobKey>,
        limit: u32,
    ) -> Result<Vec<StoredBlob>, StoreError> {
        let state = self.state();
        let is_wanted = |record: &BlobRecord| {
            record.location.datastore == *datastore && after.is_none_or(|after| record.location.key > *after)
        };
        let mut found: Vec<&Blob> = state.blobs.values().filter(|blob| is_wanted(&blob.record)).collect();
        found.sort_by_key(|blob| &blob.record.location.key);
        Ok(found.into_iter().take(limit as usize).map(|blob| state.stored_blob(blob)).collect())
    }

    async fn datastore_usage(&self, datastore: &DatastoreId) -> Result<DatastoreUsage, StoreError> {
        let state = self.state();
        let sizes = state
            .blobs
            .values()
            .filter(|blob| blob.record.location.datastore == *datastore)
            .map(|blob| blob.record.size);
        Ok(sizes.fold(DatastoreUsage::default(), |sum, size| DatastoreUsage {
            blobs: sum.blobs + 1,
            bytes: sum.bytes + size,
        }))
    }

    async fn datastores(&self) -> Result<Vec<DatastoreId>, StoreError> {
        let state = self.state();
        let ids: BTreeSet<_> =
            state.blobs.values().map(|blob| blob.record.location.datastore.clone()).collect();
        Ok(ids.into_iter().collect())
    }
}
