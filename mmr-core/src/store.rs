//! The seam to everything the repository remembers.
//!
//! [`MediaStore`] is the sum of small facets; each service holds only the facet it needs. What all of them promise:
//! - A method is one atomic unit of work: it takes effect wholly or not at all, also when its future is dropped, and
//!   when it has returned `Ok` its effect survives a crash. No transaction crosses the trait. After an error that says
//!   nothing else, the effect may be there: callers repeat the call or look.
//! - Races are decided inside the store, by unique indexes and insert outcomes, never by a lock outside it.
//! - Time is always an argument.
//! - Absence is `Option` or an empty answer, not an error.
//!
//! `mmr_core::testing::media_store_suite!` holds these promises as tests (feature `testing`).

use std::error::Error;

mod blobs;
mod exports;
mod leases;
mod media;
mod moderation;
mod previews;
mod signals;
mod tasks;
mod thumbnails;
mod uploads;
mod usage;

pub use self::{
    blobs::{BlobIndex, DatastoreUsage, StoredBlob},
    exports::{ExportIndex, ExportPart},
    leases::LeaseIndex,
    media::{
        Inserted, MediaFilter, MediaIndex, NewBlob, NewMedia, Order, Page, QuotaCap, Refusal, Removed,
        UploadFacts, UploadProbe,
    },
    moderation::{Attributes, ModerationIndex, Quarantine},
    previews::{PreviewIndex, PreviewRecord},
    signals::{Signal, Signals},
    tasks::{NewTask, TaskIndex, TaskRecord},
    thumbnails::{NewThumbnail, RemovedThumbnails, ThumbnailIndex, ThumbnailLookup},
    uploads::{Reserved, UploadIndex},
    usage::{MediaUsage, UsageIndex, UserUsage},
};

/// Everything the repository remembers: the sum of the facets, implemented by whatever has them all.
pub trait MediaStore:
    MediaIndex
    + BlobIndex
    + UploadIndex
    + ThumbnailIndex
    + PreviewIndex
    + ModerationIndex
    + UsageIndex
    + TaskIndex
    + ExportIndex
    + LeaseIndex
    + Signals
{
}

impl<T: ?Sized> MediaStore for T where
    T: MediaIndex
        + BlobIndex
        + UploadIndex
        + ThumbnailIndex
        + PreviewIndex
        + ModerationIndex
        + UsageIndex
        + TaskIndex
        + ExportIndex
        + LeaseIndex
        + Signals
{
}

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Two writers wanted the same thing, and trying again, with a fresh name where one was given, is the remedy.
    #[error("conflicting change to {what}")]
    Conflict {
        /// What both wanted to change.
        what: &'static str,
    },
    /// A row does not hold what this version of the software writes.
    #[error("table {table} holds a bad row: {detail}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// What is wrong with the row.
        detail: String,
    },
    /// The database does not answer, is locked, or has no room left. Worth another try.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Anything else.
    #[error("the database failed")]
    Other(#[source] Box<dyn Error + Send + Sync>),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody doing anything about it.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Unavailable(_))
    }
}
