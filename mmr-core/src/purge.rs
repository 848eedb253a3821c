//! The only way to remove media.

use std::sync::Arc;

use crate::{
    Error, Result,
    batches::{BATCH, next_names},
    clock::Clock,
    lifecycle::Background,
    news::News,
    store::{MediaFilter, MediaIndex, Removed},
    types::Mxc,
};

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

/// What a purge removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Number of media.
    pub media: u64,
    /// Number of blobs that nothing refers to any more, thumbnails included.
    pub blobs: u64,
    /// Their total size in bytes.
    pub bytes: u64,
    /// Names of removed media in the order of removal, the first ones, as many as were asked for.
    pub mxcs: Vec<Mxc>,
}

impl Purge {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Removes all media that matches `filter`, with the thumbnails of what is left without a name, in batches of a few
    /// hundred. Nobody gets it from here when this returns, and from other nodes a moment later; the collector deletes the
    /// objects behind it. Of the names up to `names` are answered, the only part of the answer that grows with what is
    /// removed.
    ///
    /// Errors: [`Error::Store`]; some may have been removed then, and calling again removes the rest.
    pub async fn run(&self, filter: &MediaFilter, names: usize) -> Result<Purged> {
        let (this, filter) = (self.clone(), filter.clone());
        // To its end whoever has left: what nobody is told of is still served elsewhere.
        let removing = self.0.background.spawn(async move {
            let removed = this.remove(filter, names).await;
            if removed.is_err() {
                this.0.news.anything_may_have_changed().await;
            }
            removed
        });
        removing.await.map_err(|_| Error::Internal("a purge panicked"))?
    }

    async fn remove(&self, filter: MediaFilter, names: usize) -> Result<Purged> {
        let mut sum = Purged::default();
        let mut rest = filter.clone();
        let few = filter.mxcs.as_ref().is_some_and(|mxcs| mxcs.len() <= BATCH as usize);
        // What is named or has expired is found at once, however much there is that the filter spares.
        let direct = few || filter.expired_at.is_some();
        let any = MediaFilter { mxcs: None, ..filter };
        loop {
            let (found, batch) = if direct {
                let batch = self.0.media.remove(&rest, BATCH, self.0.clock.now()).await?;
                (batch.mxcs.len(), batch)
            } else {
                let found = next_names(&*self.0.media, &mut rest).await?;
                let selected = MediaFilter { mxcs: Some(found), ..any.clone() };
                let batch = self.0.media.remove(&selected, BATCH, self.0.clock.now()).await?;
                (selected.mxcs.map_or(0, |mxcs| mxcs.len()), batch)
            };
            self.0.news.media_changed(&batch.mxcs).await?;
            sum.add(batch, names);
            if found < BATCH as usize {
                return Ok(sum);
            }
        }
    }
}

impl Purged {
    fn add(&mut self, batch: Removed, names: usize) {
        self.media += batch.mxcs.len() as u64;
        self.blobs += batch.blobs;
        self.bytes += batch.bytes;
        let room = names.saturating_sub(self.mxcs.len());
        self.mxcs.extend(batch.mxcs.into_iter().take(room));
    }
}
