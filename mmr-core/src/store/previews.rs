//! Remembered URL previews.

use std::fmt;

use async_trait::async_trait;

use super::StoreError;
use crate::types::Timestamp;

/// Previews by URL, language and the moment that they show.
#[async_trait]
pub trait PreviewIndex: fmt::Debug + Send + Sync + 'static {
    /// The preview of `url` in `language` that was taken last, not before `not_before`.
    async fn preview(
        &self,
        url: &str,
        language: &str,
        not_before: Timestamp,
    ) -> Result<Option<PreviewRecord>, StoreError>;

    /// Remembers a preview. One of the same URL, language and moment is replaced.
    async fn put_preview(&self, preview: &PreviewRecord) -> Result<(), StoreError>;

    /// Forgets up to `limit` previews taken before `before`, the oldest first. Answers how many.
    async fn remove_previews(&self, before: Timestamp, limit: u32) -> Result<u32, StoreError>;
}

/// What a page looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewRecord {
    /// The page, as it was asked for.
    pub url: String,
    /// The `Accept-Language` that it was fetched with.
    pub language: String,
    /// When it was fetched.
    pub taken: Timestamp,
    /// The answer, a JSON object of OpenGraph keys; or why there is none.
    pub outcome: Result<String, String>,
}
