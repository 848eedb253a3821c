//! Verdicts about media.

use std::sync::Arc;

use ruma::{OwnedServerName, OwnedUserId};

use crate::{
    Error, Result,
    clock::Clock,
    lifecycle::Background,
    news::News,
    store::{MediaFilter, ModerationIndex, Quarantine},
    types::Mxc,
};

/// Withdraws media and gives it back. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Moderation(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) index: Arc<dyn ModerationIndex>,
    pub(crate) news: News,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) background: Background,
}

impl Moderation {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Withdraws the media that matches `filter` and all media with the same bytes, pinned media excepted; with
    /// `only_origins`, media of those servers alone. Nobody gets it from here when this returns, and from other nodes a
    /// moment later. Answers the names whose state changed, in order.
    ///
    /// Errors: [`Error::Store`]; then it may have been withdrawn, and calling again is safe.
    pub async fn quarantine(
        &self,
        filter: &MediaFilter,
        by: OwnedUserId,
        only_origins: Option<Vec<OwnedServerName>>,
    ) -> Result<Vec<Mxc>> {
        let verdict = Quarantine::Impose { by, at: self.0.clock.now(), only_origins };
        self.judge(filter, verdict).await
    }

    /// Gives back the media that matches `filter`, and no copies of it. Answers the names whose state changed, in order.
    ///
    /// Errors: [`Error::Store`].
    pub async fn lift(&self, filter: &MediaFilter) -> Result<Vec<Mxc>> {
        self.judge(filter, Quarantine::Lift).await
    }

    /// Runs to its end whoever has left: a verdict that nobody is told of does not hold.
    async fn judge(&self, filter: &MediaFilter, verdict: Quarantine) -> Result<Vec<Mxc>> {
        let (this, filter) = (self.clone(), filter.clone());
        let judging = self.0.background.spawn(async move {
            match this.0.index.set_quarantine(&filter, &verdict).await {
                Ok(changed) => this.0.news.media_changed(&changed).await.map(|()| changed),
                Err(error) => {
                    this.0.news.anything_may_have_changed().await;
                    Err(error.into())
                }
            }
        });
        judging.await.map_err(|_| Error::Internal("a verdict panicked"))?
    }
}
