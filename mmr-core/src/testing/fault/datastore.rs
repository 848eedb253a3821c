//! A datastore that fails on demand.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use url::Url;

use super::{Failure as _, Fault, FaultPlan, Injected};
use crate::{
    datastore::{BlobRead, BlobStat, BlobWriter, Datastore, DatastoreError, LinkRequest, OpenObject},
    stream::StreamError,
    types::{BlobKey, Timestamp},
};

/// Any [`Datastore`], with calls that suffer what a [`FaultPlan`] says. Bodies come as streams, also small ones.
#[derive(Debug)]
pub struct FaultyDatastore {
    inner: Arc<dyn Datastore>,
    plan: FaultPlan,
}

struct FaultyWriter {
    inner: Box<dyn BlobWriter>,
    plan: FaultPlan,
}

impl FaultyDatastore {
    /// Wraps a datastore.
    #[must_use]
    pub fn new(inner: Arc<dyn Datastore>, plan: FaultPlan) -> Self {
        Self { inner, plan }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Datastore for FaultyDatastore {
    async fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, DatastoreError> {
        let inner = self.plan.call("Datastore::create", self.inner.create(key)).await?;
        Ok(Box::new(FaultyWriter { inner, plan: self.plan.clone() }))
    }

    async fn create_open(&self, key: &BlobKey) -> Result<Option<OpenObject>, DatastoreError> {
        let open = self.plan.call("Datastore::create_open", self.inner.create_open(key)).await?;
        let faulty = |inner| Box::new(FaultyWriter { inner, plan: self.plan.clone() });
        Ok(open.map(|open| OpenObject { writer: faulty(open.writer), ..open }))
    }

    async fn read(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobRead, DatastoreError> {
        let BlobRead { len, body } = self.plan.call("Datastore::read", self.inner.read(key, range)).await?;
        let body = self.plan.body("BlobRead::body", body, |_| StreamError::Storage(Injected.into()));
        Ok(BlobRead { len, body })
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), DatastoreError> {
        self.plan.call("Datastore::delete", self.inner.delete(key)).await
    }

    fn list(&self, prefix: Option<&BlobKey>) -> BoxStream<'static, Result<BlobStat, DatastoreError>> {
        self.plan.items("Datastore::list", self.inner.list(prefix), DatastoreError::failure)
    }

    async fn link(&self, key: &BlobKey, request: &LinkRequest<'_>) -> Result<Option<Url>, DatastoreError> {
        self.plan.call("Datastore::link", self.inner.link(key, request)).await
    }

    async fn remove_unfinished(&self, before: Timestamp) -> Result<u64, DatastoreError> {
        self.plan.call("Datastore::remove_unfinished", self.inner.remove_unfinished(before)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobWriter for FaultyWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), DatastoreError> {
        self.plan.call("BlobWriter::write", self.inner.write(chunk)).await
    }

    /// Each can fail.
    async fn write_many(&mut self, chunks: Vec<Bytes>) -> Result<(), DatastoreError> {
        for chunk in chunks {
            self.write(chunk).await?;
        }
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), DatastoreError> {
        let Self { inner, plan } = *self;
        plan.call("BlobWriter::commit", inner.commit()).await
    }

    // Has no way to fail; what can happen is that nobody waits for it.
    async fn abort(self: Box<Self>) {
        let Self { inner, plan } = *self;
        match plan.next("BlobWriter::abort") {
            Some(Fault::Before) => drop(inner),
            Some(Fault::Delay) => {
                plan.inner.gate.pass().await;
                inner.abort().await;
            }
            _ => inner.abort().await,
        }
    }
}
