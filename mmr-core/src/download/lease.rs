//! One fetch for all nodes.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    Result,
    clock::Clock,
    lifecycle::Background,
    store::LeaseIndex,
    types::{MediaId, Mxc},
};

/// How long a fetch is protected when its node dies.
const TTL: Duration = Duration::from_secs(30);
/// Time between two renewals.
const RENEW: Duration = Duration::from_secs(10);
/// Time between two looks at what another node fetches.
const LOOK: Duration = Duration::from_millis(250);

/// Keeps nodes on one store from fetching the same media at the same time. Two may do so all the same when one of them is
/// slow to renew; the record decides then.
#[derive(Debug)]
pub(crate) struct FetchLeases {
    pub(crate) index: Arc<dyn LeaseIndex>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) background: Background,
}

impl FetchLeases {
    /// The lease for fetching `mxc`, given back when it is dropped; `None` when another node has it, after a pause.
    pub(super) async fn take(&self, mxc: &Mxc) -> Result<Option<DropGuard>> {
        let name = format!("fetch {mxc}");
        // One of its own: the last fetch of the same may not have given its lease back yet.
        let holder = MediaId::generate().to_string();
        if !self.index.try_lease(&name, &holder, TTL, self.clock.now()).await? {
            tokio::time::sleep(LOOK).await;
            return Ok(None);
        }
        let done = CancellationToken::new();
        let (index, clock) = (Arc::clone(&self.index), Arc::clone(&self.clock));
        self.background.spawn(keep(index, name, holder, clock, done.clone()));
        Ok(Some(done.drop_guard()))
    }
}

async fn keep(
    index: Arc<dyn LeaseIndex>,
    name: String,
    holder: String,
    clock: Arc<dyn Clock>,
    done: CancellationToken,
) {
    let mut outcome = Ok(());
    while done.run_until_cancelled(tokio::time::sleep(RENEW)).await.is_some() {
        outcome = index.try_lease(&name, &holder, TTL, clock.now()).await.map(drop);
    }
    if let Err(error) = outcome.and(index.release(&name, &holder).await) {
        tracing::warn!(%error, name, "a lease was not kept or not given back; it ends by itself");
    }
}
