//! The composition root: builds the services and hands them out.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::sync::watch;

use crate::{
    access_log::AccessLog,
    clock::{Clock, SystemClock},
    datastore::Datastores,
    download::{
        self, Downloads, FetchLimits,
        remote::{self, Remote},
    },
    federation::{Federation, NoFederation},
    flight::Flights,
    gc::{self, Collector, CollectorSchedule},
    ingest::Ingest,
    lifecycle::Background,
    moderation::{self, Moderation},
    news::News,
    policy::{Policies, PolicyHandle},
    purge::{self, Purge},
    record_cache::RecordCache,
    store::{BlobIndex, LeaseIndex, MediaIndex, MediaStore, Signal, ThumbnailIndex, UploadIndex},
    tasks::{self, Tasks},
    thumbnail::{self, RenderLimits, RenderPool, Thumbnails},
    upload::{self, Uploads},
    waiters::Waiters,
};

/// Time between two looks at how full the datastores are.
const MEASURE_LEVELS: Duration = Duration::from_mins(1);
/// Time between two writes of what was read when.
const ACCESS_LOG_FLUSH: Duration = Duration::from_mins(1);

/// A media repository: the services over one store and its datastores.
///
/// Dropping it stops nothing; call [`MediaRepository::shutdown`].
#[derive(Debug)]
pub struct MediaRepository {
    uploads: Uploads,
    downloads: Downloads,
    thumbnails: Thumbnails,
    collector: Collector,
    moderation: Moderation,
    purge: Purge,
    tasks: Tasks,
    datastores: Datastores,
    policies: watch::Sender<Arc<Policies>>,
    policy_handle: PolicyHandle,
    background: Background,
    access_log: AccessLog,
    store: Arc<dyn MediaStore>,
    federation: Arc<dyn Federation>,
}

/// Collects what a [`MediaRepository`] is made of.
#[derive(Debug)]
#[must_use]
pub struct MediaRepositoryBuilder {
    store: Arc<dyn MediaStore>,
    datastores: Datastores,
    policies: Policies,
    clock: Arc<dyn Clock>,
    render_limits: RenderLimits,
    fetch_limits: FetchLimits,
    schedule: CollectorSchedule,
    max_waiters: usize,
    cached_records: u64,
    task_workers: usize,
    federation: Arc<dyn Federation>,
    spool_directory: Option<PathBuf>,
}

impl MediaRepositoryBuilder {
    /// Replaces the machine's clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Bounds the rendering of thumbnails.
    pub fn render_limits(mut self, limits: RenderLimits) -> Self {
        self.render_limits = limits;
        self
    }

    /// Sets when garbage is collected.
    pub fn collector_schedule(mut self, schedule: CollectorSchedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Bounds how many requests wait for pending uploads at a time; further ones are answered at once. Default: 1024.
    pub fn max_waiters(mut self, max: usize) -> Self {
        self.max_waiters = max;
        self
    }

    /// Bounds how many background tasks run here at a time; 0 leaves them to other processes and to
    /// [`Tasks::run_due`]. Default: 5.
    pub const fn task_workers(mut self, workers: usize) -> Self {
        self.task_workers = workers;
        self
    }

    /// Number of media records and of thumbnail records kept in memory, about 0.5 KiB each. Default: 10 000.
    pub fn cached_records(mut self, records: u64) -> Self {
        self.cached_records = records;
        self
    }

    /// Sets how to reach other servers. Default: not at all.
    pub fn federation(mut self, federation: Arc<dyn Federation>) -> Self {
        self.federation = federation;
        self
    }

    /// Bounds what is fetched from other servers at once.
    pub const fn fetch_limits(mut self, limits: FetchLimits) -> Self {
        self.fetch_limits = limits;
        self
    }

    /// Sets where media of other servers lies while it arrives, in files without a name. Default: the system's directory
    /// for temporary files.
    pub fn spool_directory(mut self, directory: PathBuf) -> Self {
        self.spool_directory = Some(directory);
        self
    }

    /// Builds the repository and starts its background work. Needs a tokio runtime.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "the one place where everything meets")]
    pub fn build(self) -> MediaRepository {
        let Self {
            store,
            datastores,
            policies,
            clock,
            render_limits,
            fetch_limits,
            schedule,
            max_waiters,
            cached_records,
            task_workers,
            federation,
            spool_directory,
        } = self;
        let background = Background::new();
        let (policies, policy_handle) = PolicyHandle::channel(policies);
        let waiters = Waiters::new(max_waiters);
        let records = RecordCache::new(cached_records);
        let media: Arc<dyn MediaIndex> = Arc::<dyn MediaStore>::clone(&store);
        let thumbnails: Arc<dyn ThumbnailIndex> = Arc::<dyn MediaStore>::clone(&store);
        let reservations: Arc<dyn UploadIndex> = Arc::<dyn MediaStore>::clone(&store);
        let access_log = AccessLog::new(Arc::clone(&media));
        let ingest = Ingest::new(datastores.clone(), Arc::clone(&media), Arc::clone(&thumbnails));
        let uploads = Uploads::new(upload::Inner {
            ingest: ingest.clone(),
            media: Arc::clone(&media),
            reservations: Arc::clone(&reservations),
            signals: Arc::<dyn MediaStore>::clone(&store),
            records: records.clone(),
            waiters: waiters.clone(),
            policies: policy_handle.clone(),
            clock: Arc::clone(&clock),
            background: background.clone(),
        });
        let blobs: Arc<dyn BlobIndex> = Arc::<dyn MediaStore>::clone(&store);
        let remote = Remote::new(remote::Inner {
            federation: Arc::clone(&federation),
            ingest: ingest.clone(),
            media: Arc::clone(&media),
            blobs: Arc::clone(&blobs),
            records: records.clone(),
            clock: Arc::clone(&clock),
            background: background.clone(),
            spool_directory,
            limits: fetch_limits,
        });
        let downloads = Downloads::new(download::Inner {
            media,
            datastores: datastores.clone(),
            records: records.clone(),
            waiters: waiters.clone(),
            access_log: access_log.clone(),
            policies: policy_handle.clone(),
            clock: Arc::clone(&clock),
            remote,
        });
        let thumbnails = Thumbnails::new(thumbnail::Inner {
            index: thumbnails,
            downloads: downloads.clone(),
            datastores: datastores.clone(),
            ingest,
            pool: RenderPool::new(render_limits),
            renderings: Flights::new(background.clone()),
            known: thumbnail::KnownThumbnails::new(cached_records),
            policies: policy_handle.clone(),
            clock: Arc::clone(&clock),
        });
        let leases: Arc<dyn LeaseIndex> = Arc::<dyn MediaStore>::clone(&store);
        let holder = crate::types::MediaId::generate().to_string();
        let news = News::new(records.clone(), Arc::<dyn MediaStore>::clone(&store));
        let moderation = Moderation::new(moderation::Inner {
            index: Arc::<dyn MediaStore>::clone(&store),
            news: news.clone(),
            clock: Arc::clone(&clock),
        });
        let media: Arc<dyn MediaIndex> = Arc::<dyn MediaStore>::clone(&store);
        let purge = Purge::new(purge::Inner { media, news, clock: Arc::clone(&clock) });
        let tasks = Tasks::new(tasks::Inner {
            index: Arc::<dyn MediaStore>::clone(&store),
            blobs: Arc::clone(&blobs),
            datastores: datastores.clone(),
            clock: Arc::clone(&clock),
            background: background.clone(),
            holder: holder.clone(),
            workers: task_workers,
        });
        let collector = Collector::new(gc::Inner {
            blobs,
            reservations,
            leases,
            datastores: datastores.clone(),
            clock,
            schedule,
            holder,
        });
        let repository = MediaRepository {
            uploads,
            downloads,
            thumbnails,
            collector,
            moderation,
            purge,
            tasks,
            datastores,
            policies,
            policy_handle,
            background,
            access_log,
            store,
            federation,
        };
        repository.start(records, waiters);
        repository
    }
}

impl MediaRepository {
    /// Starts with where metadata and bytes are kept, and the rules of the local homeservers.
    pub fn builder(
        store: Arc<dyn MediaStore>,
        datastores: Datastores,
        policies: Policies,
    ) -> MediaRepositoryBuilder {
        MediaRepositoryBuilder {
            store,
            datastores,
            policies,
            clock: Arc::new(SystemClock),
            render_limits: RenderLimits::default(),
            fetch_limits: FetchLimits::default(),
            schedule: CollectorSchedule::default(),
            max_waiters: 1024,
            cached_records: 10_000,
            task_workers: 5,
            federation: Arc::new(NoFederation),
            spool_directory: None,
        }
    }

    /// Takes uploads.
    #[must_use]
    pub const fn uploads(&self) -> &Uploads {
        &self.uploads
    }

    /// Finds and reads media.
    #[must_use]
    pub const fn downloads(&self) -> &Downloads {
        &self.downloads
    }

    /// Makes and serves thumbnails.
    #[must_use]
    pub const fn thumbnails(&self) -> &Thumbnails {
        &self.thumbnails
    }

    /// Clears away what nothing refers to; runs by itself, too.
    #[must_use]
    pub const fn collector(&self) -> &Collector {
        &self.collector
    }

    /// Withdraws media and gives it back.
    #[must_use]
    pub const fn moderation(&self) -> &Moderation {
        &self.moderation
    }

    /// Removes media.
    #[must_use]
    pub const fn purge(&self) -> &Purge {
        &self.purge
    }

    /// Runs work in the background.
    #[must_use]
    pub const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// The rules in force.
    #[must_use]
    pub const fn policies(&self) -> &PolicyHandle {
        &self.policy_handle
    }

    /// Where bytes lie.
    #[must_use]
    pub const fn datastores(&self) -> &Datastores {
        &self.datastores
    }

    /// Everything that is remembered.
    #[must_use]
    pub const fn store(&self) -> &Arc<dyn MediaStore> {
        &self.store
    }

    /// The rest of the Matrix network.
    #[must_use]
    pub const fn federation(&self) -> &Arc<dyn Federation> {
        &self.federation
    }

    /// Replaces the rules for requests to come.
    pub fn set_policies(&self, policies: Policies) {
        self.policies.send_replace(Arc::new(policies));
    }

    /// Stops background work, waiting up to `grace` for uploads and renderings under way. False when some were still
    /// running.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        let done = self.background.stop(grace).await;
        if let Err(error) = self.access_log.flush().await {
            tracing::warn!(%error, "what was read when could not be written");
        }
        done
    }

    fn start(&self, records: RecordCache, waiters: Waiters) {
        self.background.spawn_until_stop(self.collector.clone().run());
        self.background.spawn_until_stop(self.tasks.clone().run());
        self.background.spawn_until_stop(measure_regularly(self.datastores.clone(), Arc::clone(&self.store)));
        self.background.spawn_until_stop(flush_regularly(self.access_log.clone()));
        self.background.spawn_until_stop(listen(self.store.subscribe(), records, waiters));
    }
}

async fn flush_regularly(access_log: AccessLog) {
    let mut ticks = tokio::time::interval(ACCESS_LOG_FLUSH);
    loop {
        ticks.tick().await;
        if let Err(error) = access_log.flush().await {
            tracing::warn!(%error, "what was read when could not be written, will try again");
        }
    }
}

/// Keeps the levels true by which [`Datastores::pick`] chooses: other nodes store and remove, too.
async fn measure_regularly(datastores: Datastores, store: Arc<dyn MediaStore>) {
    let mut ticks = tokio::time::interval(MEASURE_LEVELS);
    // Where there is one there is no choice.
    while datastores.iter().count() > 1 {
        ticks.tick().await;
        for (id, _) in datastores.iter() {
            match store.datastore_usage(id).await {
                Ok(usage) => datastores.set_level(id, usage.bytes),
                Err(error) => {
                    tracing::warn!(%error, datastore = %id, "how much lies in a datastore could not be read");
                }
            }
        }
    }
}

/// Acts on what other nodes, and this one, publish.
async fn listen(mut signals: BoxStream<'static, Signal>, records: RecordCache, waiters: Waiters) {
    while let Some(signal) = signals.next().await {
        match signal {
            Signal::Uploaded(mxc) => {
                records.forget(&mxc);
                waiters.wake(&mxc);
            }
            Signal::MediaChanged(mxc) => records.forget(&mxc),
            Signal::AllMediaChanged => records.forget_all(),
            Signal::Lost => {
                records.forget_all();
                waiters.wake_all();
            }
            Signal::LoggedOut(_) => {}
        }
    }
}
