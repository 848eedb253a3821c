use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    store::{PreviewIndex, PreviewRecord, StoreError},
    types::Timestamp,
};

#[async_trait]
impl PreviewIndex for MemoryStore {
    async fn preview(
        &self,
        url: &str,
        language: &str,
        not_before: Timestamp,
    ) -> Result<Option<PreviewRecord>, StoreError> {
        let state = self.state();
        let matching = state
            .previews
            .values()
            .filter(|p| p.url == url && p.language == language && p.taken >= not_before);
        Ok(matching.max_by_key(|preview| preview.taken).cloned())
    }

    async fn put_preview(&self, preview: &PreviewRecord) -> Result<(), StoreError> {
        let key = (preview.url.clone(), preview.language.clone(), preview.taken);
        self.state().previews.insert(key, preview.clone());
        Ok(())
    }

    async fn remove_previews(&self, before: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let mut state = self.state();
        let mut old: Vec<_> =
            state.previews.keys().filter(|(_, _, taken)| *taken < before).cloned().collect();
        old.sort_by(|(url, language, taken), other| {
            (taken, url, language).cmp(&(&other.2, &other.0, &other.1))
        });
        old.truncate(limit as usize);
        for key in &old {
            state.previews.remove(key);
        }
        Ok(u32::try_from(old.len()).unwrap_or(u32::MAX))
    }
}
