//! What this node changes is forgotten here at once, and told to the others.

use std::sync::Arc;

use crate::{
    Result,
    record_cache::RecordCache,
    store::{Signal, Signals},
    types::Mxc,
};

/// Changes of so many media or more are told in one word.
pub(crate) const MANY: u32 = 16;

/// Tells of changes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct News {
    records: RecordCache,
    signals: Arc<dyn Signals>,
}

impl News {
    pub(crate) fn new(records: RecordCache, signals: Arc<dyn Signals>) -> Self {
        Self { records, signals }
    }

    /// Nothing that is remembered about any media holds any longer. For changes that may have happened: failing to tell is
    /// only logged.
    pub(crate) async fn anything_may_have_changed(&self) {
        self.records.forget_all();
        if let Err(error) = self.signals.publish(&Signal::AllMediaChanged).await {
            tracing::warn!(%error, "other nodes could not be told of a change");
        }
    }

    /// What is remembered about this media no longer holds.
    ///
    /// An empty list is told as everything: a call that is repeated because its outcome was lost finds nothing to change,
    /// and the others may not know yet.
    pub(crate) async fn media_changed(&self, mxcs: &[Mxc]) -> Result<()> {
        if mxcs.is_empty() || mxcs.len() >= MANY as usize {
            self.records.forget_all();
            self.signals.publish(&Signal::AllMediaChanged).await?;
            return Ok(());
        }
        // Here first: telling the others may fail.
        for mxc in mxcs {
            self.records.forget(mxc);
        }
        for mxc in mxcs {
            self.signals.publish(&Signal::MediaChanged(mxc.clone())).await?;
        }
        Ok(())
    }
}
