use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Export, MemoryStore};
use crate::{
    store::{ExportIndex, ExportPart, Inserted, NewBlob, Refusal, StoreError},
    types::Timestamp,
};

#[async_trait]
impl ExportIndex for MemoryStore {
    async fn create_export(&self, id: &str, entity: &str, _now: Timestamp) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.exports.contains_key(id) {
            return Err(StoreError::Conflict { what: "export" });
        }
        state.exports.insert(id.to_owned(), Export { entity: entity.to_owned(), parts: BTreeMap::new() });
        Ok(())
    }

    async fn add_part(
        &self,
        id: &str,
        index: u32,
        name: &str,
        blob: &NewBlob,
    ) -> Result<Inserted, StoreError> {
        let mut state = self.state();
        let Some(export) = state.exports.get(id) else { return Ok(Inserted::BlobGone) };
        if export.parts.contains_key(&index) {
            return Ok(Inserted::Refused(Refusal::Taken));
        }
        let inserted = state.admit(blob)?;
        if inserted != Inserted::BlobGone
            && let Some(export) = state.exports.get_mut(id)
        {
            export.parts.insert(index, (name.to_owned(), *blob.hash()));
        }
        Ok(inserted)
    }

    async fn export(&self, id: &str) -> Result<Option<(String, Vec<ExportPart>)>, StoreError> {
        let state = self.state();
        let Some(export) = state.exports.get(id) else { return Ok(None) };
        let parts = export.parts.iter().map(|(index, (name, hash))| ExportPart {
            index: *index,
            name: name.clone(),
            blob: state.blob(hash).record.clone(),
        });
        Ok(Some((export.entity.clone(), parts.collect())))
    }

    async fn remove_export(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let mut state = self.state();
        let removed = state.exports.remove(id).is_some();
        state.sweep(now);
        Ok(removed)
    }
}
