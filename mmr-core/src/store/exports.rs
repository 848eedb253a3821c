//! Finished and growing exports.

use std::fmt;

use async_trait::async_trait;

use super::{Inserted, NewBlob, StoreError};
use crate::types::{BlobRecord, Timestamp};

/// Exports and their parts.
#[async_trait]
pub trait ExportIndex: fmt::Debug + Send + Sync + 'static {
    /// Starts an export of everything that `entity` (a user ID or server name) has. An `id` that is in use is a
    /// [`StoreError::Conflict`].
    async fn create_export(&self, id: &str, entity: &str, now: Timestamp) -> Result<(), StoreError>;

    /// Adds part number `index` called `name`. [`Inserted::BlobGone`] when there is no such export, or the blob to
    /// link is not there; [`super::Refusal::Taken`] when there is such a part; otherwise like
    /// [`super::MediaIndex::insert`]. Quarantine and quota play no part.
    async fn add_part(
        &self,
        id: &str,
        index: u32,
        name: &str,
        blob: &NewBlob,
    ) -> Result<Inserted, StoreError>;

    /// Whom an export is of, and its parts by number; `None` when there is no such export.
    async fn export(&self, id: &str) -> Result<Option<(String, Vec<ExportPart>)>, StoreError>;

    /// Removes an export. Locations of blobs left unused enter the garbage list as of `now` in the same transaction.
    /// False when there is no such export.
    async fn remove_export(&self, id: &str, now: Timestamp) -> Result<bool, StoreError>;
}

/// One part of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportPart {
    /// Its number.
    pub index: u32,
    /// Its file name.
    pub name: String,
    /// Its bytes.
    pub blob: BlobRecord,
}
