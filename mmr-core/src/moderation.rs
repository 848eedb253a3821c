//! Verdicts about media.

use std::sync::Arc;

use ruma::{OwnedServerName, OwnedUserId};

use crate::{
    Error, Result,
    batches::{BATCH, next_names},
    clock::Clock,
    lifecycle::Background,
    news::News,
    store::{MediaFilter, MediaIndex, ModerationIndex, Quarantine},
};

/// Withdraws media and gives it back. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Moderation(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) index: Arc<dyn ModerationIndex>,
    pub(crate) media: Arc<dyn MediaIndex>,
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
    /// moment later. Answers how many names were withdrawn that were not before.
    ///
    /// It goes in batches of a few hundred names, each with all of its copies in one transaction: bytes are not withdrawn
    /// by halves.
    ///
    /// Errors: [`Error::Store`]; then some may have been withdrawn, and calling again is safe.
    pub async fn quarantine(
        &self,
        filter: &MediaFilter,
        by: OwnedUserId,
        only_origins: Option<Vec<OwnedServerName>>,
    ) -> Result<u64> {
        let verdict = Quarantine::Impose { by, at: self.0.clock.now(), only_origins };
        self.judge(filter, verdict).await
    }

    /// Gives back the media that matches `filter`, and no copies of it, in batches. Answers how many names were given back.
    ///
    /// Errors: [`Error::Store`].
    pub async fn lift(&self, filter: &MediaFilter) -> Result<u64> {
        self.judge(filter, Quarantine::Lift).await
    }

    /// Runs to its end whoever has left: a verdict that nobody is told of does not hold.
    async fn judge(&self, filter: &MediaFilter, verdict: Quarantine) -> Result<u64> {
        let (this, filter) = (self.clone(), filter.clone());
        let judging = self.0.background.spawn(async move {
            let judged = this.judge_in_batches(filter, &verdict).await;
            if judged.is_err() {
                this.0.news.anything_may_have_changed().await;
            }
            judged
        });
        judging.await.map_err(|_| Error::Internal("a verdict panicked"))?
    }

    async fn judge_in_batches(&self, filter: MediaFilter, verdict: &Quarantine) -> Result<u64> {
        let few = filter.mxcs.as_ref().is_some_and(|mxcs| mxcs.len() <= BATCH as usize);
        if few {
            let changed = self.0.index.set_quarantine(&filter, verdict).await?;
            self.0.news.media_changed(&changed).await?;
            return Ok(changed.len() as u64);
        }
        let mut rest = filter.clone();
        let any = MediaFilter { mxcs: None, ..filter };
        let (mut count, mut without_effect) = (0, false);
        loop {
            let names = next_names(&*self.0.media, &mut rest).await?;
            let is_last = names.len() < BATCH as usize;
            let selected = MediaFilter { mxcs: Some(names), ..any.clone() };
            let changed = self.0.index.set_quarantine(&selected, verdict).await?;
            count += changed.len() as u64;
            if changed.is_empty() {
                without_effect = true;
            } else {
                self.0.news.media_changed(&changed).await?;
            }
            if is_last {
                break;
            }
        }
        if without_effect {
            // Once for all of them: perhaps an earlier call had the effect, and could not tell.
            self.0.news.media_changed(&[]).await?;
        }
        Ok(count)
    }
}
