//! Builds the services.

use std::{path::PathBuf, sync::Arc};

use super::MediaRepository;
use crate::{
    access_log::AccessLog,
    clock::{Clock, SystemClock},
    datastore::Datastores,
    download::{
        self, Downloads, FetchLimits,
        remote::{self, Remote},
    },
    federation::{Federation, NoFederation},
    gc::{self, Collector, CollectorSchedule},
    ingest::Ingest,
    leases::Leases,
    lifecycle::Background,
    moderation::{self, Moderation},
    news::News,
    policy::{Policies, PolicyHandle},
    purge::{self, Purge},
    record_cache::RecordCache,
    store::MediaStore,
    tasks::{self, Tasks},
    thumbnail::{self, RenderEngine, RenderLimits, RenderPool, Thumbnails},
    types::MediaId,
    upload::{self, Uploads},
    waiters::Waiters,
};

/// Collects what a [`MediaRepository`] is made of.
#[derive(Debug)]
#[must_use]
pub struct MediaRepositoryBuilder {
    store: Arc<dyn MediaStore>,
    datastores: Datastores,
    policies: Policies,
    clock: Arc<dyn Clock>,
    render_limits: RenderLimits,
    render_engine: Option<Arc<dyn RenderEngine>>,
    fetch_limits: FetchLimits,
    schedule: CollectorSchedule,
    max_waiters: usize,
    cached_records: u64,
    task_workers: usize,
    share_fetches: bool,
    federation: Arc<dyn Federation>,
    spool_directory: Option<PathBuf>,
}

impl MediaRepositoryBuilder {
    pub(super) fn new(store: Arc<dyn MediaStore>, datastores: Datastores, policies: Policies) -> Self {
        Self {
            store,
            datastores,
            policies,
            clock: Arc::new(SystemClock),
            render_limits: RenderLimits::default(),
            render_engine: None,
            fetch_limits: FetchLimits::default(),
            schedule: CollectorSchedule::default(),
            max_waiters: 1024,
            cached_records: 10_000,
            task_workers: 5,
            share_fetches: false,
            federation: Arc::new(NoFederation),
            spool_directory: None,
        }
    }

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

    /// Sets where thumbnails are rendered. Default: on threads of this process, with memory-safe decoders.
    pub fn render_engine(mut self, engine: Arc<dyn RenderEngine>) -> Self {
        self.render_engine = Some(engine);
        self
    }

    /// Sets when garbage is collected, and what expires.
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

    /// Has nodes on the same store agree on which of them fetches media of another server or renders a picture; the others
    /// wait for it, at the price of three statements for each. Default: false, each node for itself.
    pub const fn share_fetches(mut self, share: bool) -> Self {
        self.share_fetches = share;
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
            render_engine,
            fetch_limits,
            schedule,
            max_waiters,
            cached_records,
            task_workers,
            share_fetches,
            federation,
            spool_directory,
        } = self;
        let background = Background::new();
        let (policies, policy_handle) = PolicyHandle::channel(policies);
        let waiters = Waiters::new(max_waiters);
        let records = RecordCache::new(cached_records);
        // Each service gets just the facet that it needs.
        let facet = || Arc::clone(&store);
        let access_log = AccessLog::new(facet());
        let news = News::new(records.clone(), facet());
        let ingest = Ingest::new(datastores.clone(), facet(), facet(), news.clone());
        let uploads = Uploads::new(upload::Inner {
            ingest: ingest.clone(),
            media: facet(),
            reservations: facet(),
            signals: facet(),
            records: records.clone(),
            waiters: waiters.clone(),
            policies: policy_handle.clone(),
            clock: Arc::clone(&clock),
            background: background.clone(),
        });
        let holder = MediaId::generate().to_string();
        let leases = share_fetches.then(|| Leases {
            index: facet(),
            clock: Arc::clone(&clock),
            background: background.clone(),
        });
        let remote = Remote::new(remote::Inner {
            federation: Arc::clone(&federation),
            ingest: ingest.clone(),
            media: facet(),
            blobs: facet(),
            records: records.clone(),
            clock: Arc::clone(&clock),
            background: background.clone(),
            spool_directory,
            limits: fetch_limits,
            leases: leases.clone(),
        });
        let downloads = Downloads::new(download::Inner {
            media: facet(),
            datastores: datastores.clone(),
            records: records.clone(),
            waiters: waiters.clone(),
            access_log: access_log.clone(),
            policies: policy_handle.clone(),
            clock: Arc::clone(&clock),
            remote,
        });
        let thumbnails = Thumbnails::new(thumbnail::Inner {
            index: facet(),
            downloads: downloads.clone(),
            datastores: datastores.clone(),
            ingest,
            pool: match render_engine {
                Some(engine) => RenderPool::with_engine(render_limits, engine),
                None => RenderPool::new(render_limits),
            },
            batches: thumbnail::Batches::new(background.clone()),
            failures: thumbnail::Failures::new(),
            fleeting: thumbnail::FleetingThumbnails::new(),
            headers: thumbnail::KnownHeaders::new(cached_records),
            leases,
            known: thumbnail::KnownThumbnails::new(cached_records),
            policies: policy_handle.clone(),
            clock: Arc::clone(&clock),
        });
        let moderation = Moderation::new(moderation::Inner {
            index: facet(),
            media: facet(),
            news: news.clone(),
            clock: Arc::clone(&clock),
            background: background.clone(),
        });
        let purge = Purge::new(purge::Inner {
            media: facet(),
            news: news.clone(),
            clock: Arc::clone(&clock),
            background: background.clone(),
        });
        let tasks = Tasks::new(tasks::Inner {
            index: facet(),
            blobs: facet(),
            datastores: datastores.clone(),
            news,
            clock: Arc::clone(&clock),
            background: background.clone(),
            holder: holder.clone(),
            workers: task_workers,
        });
        let collector = Collector::new(gc::Inner {
            blobs: facet(),
            reservations: facet(),
            thumbnails: facet(),
            leases: facet(),
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
