//! What we know to do with some stores beyond what `ObjectStore` has words for.

use std::{fmt, sync::Arc};

use ::object_store::Attributes;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio_util::task::TaskTracker;
use url::Url;

use super::error::Place;
use crate::{
    datastore::{BlobStat, BlobWriter, DatastoreError, LinkRequest},
    types::{BlobKey, Timestamp},
};

/// Something that was tried: its name, what it means if it does not work, and why it did not.
pub(in crate::backend) type Tried = ((&'static str, &'static str), Result<(), String>);

#[async_trait]
pub(in crate::backend) trait Extension: fmt::Debug + Send + Sync {
    /// Where the store is.
    fn place(&self) -> Place;

    /// What new objects are told to be.
    fn attributes(&self) -> Attributes;

    /// A writer of its own, where the store cannot be written to like others.
    fn writer(self: Arc<Self>, key: &BlobKey, tasks: &TaskTracker) -> Option<Box<dyn BlobWriter>>;

    /// As [`Datastore::list`](crate::datastore::Datastore::list).
    fn list(
        self: Arc<Self>,
        prefix: Option<&BlobKey>,
    ) -> BoxStream<'static, Result<BlobStat, DatastoreError>>;

    /// As [`Datastore::delete`](crate::datastore::Datastore::delete).
    async fn delete(&self, key: &BlobKey) -> Result<(), DatastoreError>;

    /// As [`Datastore::link`](crate::datastore::Datastore::link).
    async fn link(&self, key: &BlobKey, request: &LinkRequest<'_>) -> Result<Option<Url>, DatastoreError>;

    /// As [`Datastore::remove_unfinished`](crate::datastore::Datastore::remove_unfinished).
    async fn remove_unfinished(&self, before: Timestamp) -> Result<u64, DatastoreError>;

    /// Fetches an object that holds `expected` as a client would, by a link and by one that we did not sign.
    async fn try_links(&self, key: &BlobKey, expected: &Bytes) -> Vec<Tried>;
}
