//! Work that is done once for all nodes.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Result, clock::Clock, lifecycle::Background, store::LeaseIndex, types::MediaId};

/// How long work is protected when its node dies.
const TTL: Duration = Duration::from_secs(30);
/// Time between two renewals.
const RENEW: Duration = Duration::from_secs(10);
/// Time between two looks at what another node does.
const LOOK: Duration = Duration::from_millis(250);

/// Keeps nodes on one store from doing the same work at the same time. Two may do so all the same when one of them is slow
/// to renew; the record decides then.
#[derive(Clone, Debug)]
pub(crate) struct Leases {
    pub(crate) index: Arc<dyn LeaseIndex>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) background: Background,
}

impl Leases {
    /// The lease for some work, given back when it is dropped; `None` when another node has it, after a pause.
    pub(crate) async fn take(&self, name: String) -> Result<Option<DropGuard>> {
        // One of its own: the last to do the same may not have given its lease back yet.
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
