//! Whether what is behind the repository answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mmr_core::{
    datastore::{DatastoreError, Datastores},
    store::MediaStore,
    types::{BlobKey, Mxc},
};

use crate::service::Readiness;

/// How long a balancer should have to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ready while the database answers, and once each datastore has: a node that serves what it remembers of a bucket is of more
/// use than none, and the other nodes are no better off.
#[derive(Debug)]
pub(super) struct BackendsAnswer {
    store: Arc<dyn MediaStore>,
    datastores: Datastores,
    have_answered: AtomicBool,
}

impl BackendsAnswer {
    pub(super) fn new(store: Arc<dyn MediaStore>, datastores: Datastores) -> Self {
        Self { store, datastores, have_answered: AtomicBool::new(false) }
    }

    async fn ask(&self) -> Result<(), String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let mxc = Mxc::from_parts("healthz.invalid", "probe").map_err(|error| text(&error))?;
        if let Err(error) = self.store.lookup(&mxc).await {
            tracing::warn!(%error, "not ready: the database does not answer");
            return Err("the database does not answer".to_owned());
        }
        if self.have_answered.load(Ordering::Relaxed) {
            return Ok(());
        }
        let key = BlobKey::parse("healthz/probe").map_err(|error| text(&error))?;
        for (id, datastore) in self.datastores.iter() {
            match datastore.read(&key, None).await {
                Ok(_) | Err(DatastoreError::NotFound) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, datastore = %id, "not ready: a datastore does not answer");
                    return Err(format!("datastore {id} does not answer"));
                }
            }
        }
        self.have_answered.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[async_trait]
impl Readiness for BackendsAnswer {
    async fn check(&self) -> Result<(), String> {
        match tokio::time::timeout(PATIENCE, self.ask()).await {
            Ok(answer) => answer,
            Err(_) => Err("database or datastores do not answer in time".to_owned()),
        }
    }
}
