//! The only way to remove media.

use std::sync::Arc;

use crate::{
    Error, Result,
    clock::Clock,
    lifecycle::Background,
    news::News,
    store::{MediaFilter, MediaIndex, Removed},
};

/// Records removed in one transaction.
const BATCH: u32 = 500;

/// Removes media. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Purge(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) media: Arc<dyn MediaIndex>,
    pub(crate) news: News,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) background: Background,
}

impl Purge {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Removes all media that matches `filter`, with the thumbnails of what is left without a name. Nobody gets it from
    /// here when this returns, and from other nodes a moment later; the collector deletes the objects behind it.
    ///
    /// Errors: [`Error::Store`]; some may have been removed then, and calling again removes the rest.
    pub async fn run(&self, filter: &MediaFilter) -> Result<Removed> {
        let (this, filter) = (self.clone(), filter.clone());
        // To its end whoever has left: what nobody is told of is still served elsewhere.
        let removing = self.0.background.spawn(async move {
            let removed = this.remove(&filter).await;
            if removed.is_err() {
                this.0.news.anything_may_have_changed().await;
            }
            removed
        });
        removing.await.map_err(|_| Error::Internal("a purge panicked"))?
    }

    async fn remove(&self, filter: &MediaFilter) -> Result<Removed> {
        let mut sum = Removed::default();
        loop {
            let batch = self.0.media.remove(filter, BATCH, self.0.clock.now()).await?;
            self.0.news.media_changed(&batch.mxcs).await?;
            let is_last = batch.mxcs.len() < BATCH as usize;
            sum.mxcs.extend(batch.mxcs);
            sum.blobs += batch.blobs;
            sum.bytes += batch.bytes;
            if is_last {
                return Ok(sum);
            }
        }
    }
}
