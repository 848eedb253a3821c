//! A network that fails on demand.

use std::sync::Arc;

use async_trait::async_trait;
use ruma::OwnedServerName;

use super::{FaultPlan, Injected};
use crate::{
    federation::{Federation, FederationError, FetchRequest, RemoteMedia},
    stream::StreamError,
};

/// Any [`Federation`], with calls that suffer what a [`FaultPlan`] says.
#[derive(Debug)]
pub struct FaultyFederation {
    inner: Arc<dyn Federation>,
    plan: FaultPlan,
}

impl FaultyFederation {
    /// Wraps a network.
    #[must_use]
    pub fn new(inner: Arc<dyn Federation>, plan: FaultPlan) -> Self {
        Self { inner, plan }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Federation for FaultyFederation {
    async fn fetch(&self, request: FetchRequest) -> Result<RemoteMedia, FederationError> {
        let media = self.plan.call("Federation::fetch", self.inner.fetch(request)).await?;
        let broken = |_| StreamError::Sender(Injected.into());
        Ok(RemoteMedia { body: self.plan.body("RemoteMedia::body", media.body, broken), ..media })
    }

    async fn authenticate(&self, request: &http::request::Parts) -> Result<OwnedServerName, FederationError> {
        self.plan.call("Federation::authenticate", self.inner.authenticate(request)).await
    }
}
