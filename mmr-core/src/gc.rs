//! What clears away: expired reservations and thumbnails, garbage, orphans, and what interrupted writers left.

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt as _;

use crate::{
    Error, Result,
    clock::Clock,
    datastore::{BlobStat, Datastore, Datastores},
    store::{BlobIndex, LeaseIndex, MediaFilter, ThumbnailIndex, UploadIndex},
    types::{BlobKey, DatastoreId, Timestamp},
};

/// Rows or objects handled in one step.
const BATCH: u32 = 500;

/// When the collector does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectorSchedule {
    /// Time between two rounds of collecting garbage, expired reservations and expired thumbnails.
    pub collect_every: Duration,
    /// Time between two sweeps for orphans, each of which lists every object.
    pub sweep_every: Duration,
    /// Age at which garbage is deleted: readers may hold a lookup from before it became garbage.
    pub garbage_grace: Duration,
    /// Age at which an object without a row is an orphan rather than an upload about to be recorded. Some stores count from
    /// the beginning of the upload.
    pub orphan_grace: Duration,
    /// Age since the last write at which an unfinished object belongs to nobody.
    pub unfinished_grace: Duration,
    /// Age since it was rendered at which a thumbnail is removed, to be rendered anew for whoever asks; `None` for never.
    pub thumbnail_lifetime: Option<Duration>,
}

impl Default for CollectorSchedule {
    fn default() -> Self {
        Self {
            collect_every: Duration::from_mins(1),
            sweep_every: Duration::from_hours(24),
            garbage_grace: Duration::from_mins(10),
            orphan_grace: Duration::from_hours(24),
            unfinished_grace: Duration::from_hours(24),
            thumbnail_lifetime: None,
        }
    }
}

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects that no row named, deleted.
    pub orphans: u64,
    /// What interrupted writers had left, removed.
    pub unfinished: u64,
}

/// Deletes what nothing refers to. Cheap to clone. Every step can be repeated, and several nodes may run at once; a
/// lease keeps them from doing the same work twice.
#[derive(Clone, Debug)]
pub struct Collector(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) blobs: Arc<dyn BlobIndex>,
    pub(crate) reservations: Arc<dyn UploadIndex>,
    pub(crate) thumbnails: Arc<dyn ThumbnailIndex>,
    pub(crate) leases: Arc<dyn LeaseIndex>,
    pub(crate) datastores: Datastores,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) schedule: CollectorSchedule,
    /// Tells this process from others on the same store.
    pub(crate) holder: String,
}

impl Collector {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Forgets expired reservations and thumbnails and deletes the objects on the garbage list. Answers how many objects.
    pub async fn collect(&self) -> Result<u64> {
        let now = self.0.clock.now();
        while self.0.reservations.expire(now, BATCH).await? == BATCH {}
        self.expire_thumbnails(now).await?;
        let mut deleted = 0;
        loop {
            let garbage = self.0.blobs.garbage(BATCH, now.minus(self.0.schedule.garbage_grace)).await?;
            if garbage.is_empty() {
                return Ok(deleted);
            }
            let mut gone = Vec::with_capacity(garbage.len());
            for location in &garbage {
                match self.0.datastores.delete(location).await {
                    Ok(()) => gone.push(location.clone()),
                    // It stays on the list, and is in nobody's way.
                    Err(error) => {
                        let (datastore, key) = (&location.datastore, &location.key);
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, %datastore, %key, "an object could not be deleted, it will be tried again");
                    }
                }
            }
            self.0.blobs.forget(&gone).await?;
            deleted += gone.len() as u64;
            // The same ones would come again.
            if gone.len() < garbage.len() {
                return Ok(deleted);
            }
        }
    }

    async fn expire_thumbnails(&self, now: Timestamp) -> Result<()> {
        let Some(lifetime) = self.0.schedule.thumbnail_lifetime else { return Ok(()) };
        let (all, before) = (MediaFilter::default(), now.minus(lifetime));
        let mut expired = 0;
        loop {
            let removed = self.0.thumbnails.remove_thumbnails(&all, before, BATCH, now).await?;
            expired += removed.thumbnails;
            if removed.thumbnails < BATCH {
                break;
            }
        }
        if expired > 0 {
            tracing::info!(expired, "removed thumbnails that had expired");
        }
        Ok(())
    }

    /// Lists every object and deletes those that no row names and that are older than the grace.
    pub async fn sweep(&self) -> Result<Swept> {
        let now = self.0.clock.now();
        let mut swept = Swept::default();
        for (id, datastore) in self.0.datastores.iter() {
            swept.orphans +=
                self.sweep_orphans(id, datastore, now.minus(self.0.schedule.orphan_grace)).await?;
            swept.unfinished +=
                datastore.remove_unfinished(now.minus(self.0.schedule.unfinished_grace)).await?;
        }
        Ok(swept)
    }

    async fn sweep_orphans(
        &self,
        id: &DatastoreId,
        datastore: &Arc<dyn Datastore>,
        before: Timestamp,
    ) -> Result<u64> {
        // What has another kind of name was put there by somebody else.
        let is_ours = |stat: &BlobStat| stat.modified < before && stat.key.is_generated();
        let old = datastore.list(None).try_filter(|stat| std::future::ready(is_ours(stat)));
        let mut batches = old.map_ok(|stat| stat.key).try_chunks(BATCH as usize);
        let mut deleted = 0;
        while let Some(keys) = batches.try_next().await.map_err(|error| Error::Datastore(error.1))? {
            let orphans: Vec<BlobKey> = self.0.blobs.unreferenced(id, &keys).await?;
            for key in &orphans {
                tracing::info!(datastore = %id, %key, "deleting an object that no row names");
                datastore.delete(key).await?;
            }
            deleted += orphans.len() as u64;
        }
        Ok(deleted)
    }

    /// Collects and sweeps by the schedule, for ever.
    pub(crate) async fn run(self) {
        let schedule = self.0.schedule;
        let mut next_sweep = self.0.clock.now();
        let first = tokio::time::Instant::now() + schedule.collect_every;
        let mut ticks = tokio::time::interval_at(first, schedule.collect_every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.round(&mut next_sweep).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "collecting garbage failed, will try again"
                );
            }
        }
    }

    async fn round(&self, next_sweep: &mut Timestamp) -> Result<()> {
        let (now, schedule) = (self.0.clock.now(), self.0.schedule);
        if !self.0.leases.try_lease("collect", &self.0.holder, schedule.collect_every * 2, now).await? {
            return Ok(());
        }
        let deleted = self.collect().await?;
        if deleted > 0 {
            tracing::info!(deleted, "deleted the objects of removed media");
        }
        if now >= *next_sweep
            && self.0.leases.try_lease("sweep", &self.0.holder, schedule.sweep_every / 2, now).await?
        {
            *next_sweep = now.plus(schedule.sweep_every);
            let Swept { orphans, unfinished } = self.sweep().await?;
            tracing::info!(orphans, unfinished, "swept the datastores");
        }
        Ok(())
    }
}
