//! A store and a datastore that outlive the repositories over them, and the invariants about both.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use futures_util::TryStreamExt as _;
use mmr_core::{
    Error, MediaRepository,
    backend::{
        memory::MemoryStore,
        object_store::{DirectoryOptions, ObjectStoreDatastore},
    },
    clock::{Clock as _, SystemClock},
    datastore::{Datastore, Datastores},
    federation::Federation,
    policy::{Policies, ServerPolicy},
    store::{MediaFilter, MediaStore, Page},
    testing::{
        ManualClock,
        fault::{FaultPlan, FaultyDatastore, FaultyFederation, FaultyStore},
        federation_suite::FakeFederation,
    },
    types::{DatastoreId, Hasher, Lookup},
};
use mmr_test_support::Scratch;

use crate::journeys::{self, Journey, SPEC};

/// What keeps the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Memory,
    Directory,
}

/// See the module.
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: ManualClock,
    pub(crate) network: Arc<FakeFederation>,
    datastore: Arc<ObjectStoreDatastore>,
    directory: Option<Scratch>,
}

impl World {
    pub(crate) async fn new(kind: Kind) -> Self {
        let directory = matches!(kind, Kind::Directory).then(Scratch::new);
        let datastore = match &directory {
            None => ObjectStoreDatastore::in_memory(),
            Some(scratch) => {
                ObjectStoreDatastore::directory(scratch.join("media"), DirectoryOptions { fsync: false })
                    .expect("an empty directory can be used")
            }
        };
        let clock = ManualClock::at(SystemClock.now());
        let world = Self {
            store: Arc::new(MemoryStore::new()),
            clock,
            network: Arc::new(FakeFederation::new()),
            datastore: Arc::new(datastore),
            directory,
        };
        journeys::prepare(&world).await;
        world
    }

    /// A repository over this world through which `plan` strikes.
    pub(crate) fn repository(&self, plan: &FaultPlan) -> MediaRepository {
        let store: Arc<dyn MediaStore> = Arc::<MemoryStore>::clone(&self.store);
        let datastore: Arc<dyn Datastore> = Arc::<ObjectStoreDatastore>::clone(&self.datastore);
        let datastore = Arc::new(FaultyDatastore::new(datastore, plan.clone()));
        let network: Arc<dyn Federation> = Arc::<FakeFederation>::clone(&self.network);
        let id = DatastoreId::parse("main").expect("a datastore id");
        let policies = Policies::single(journeys::server(), ServerPolicy::default());
        MediaRepository::builder(
            Arc::new(FaultyStore::new(store, plan.clone())),
            Datastores::single(id, datastore),
            policies,
        )
        .clock(Arc::new(self.clock.clone()))
        .federation(Arc::new(FaultyFederation::new(network, plan.clone())))
        .build()
    }

    pub(crate) fn healthy(&self) -> MediaRepository {
        self.repository(&FaultPlan::counting())
    }

    pub(crate) async fn run(&self, journey: Journey, plan: &FaultPlan) -> Result<(), Error> {
        let repository = self.repository(plan);
        let outcome = journeys::run(journey, &repository, self).await;
        // Work that the journey left behind ends before anybody looks.
        repository.shutdown(Duration::from_secs(10)).await;
        self.datastore.settled().await;
        outcome
    }

    /// I1: every row's object is there, whole and the very same bytes.
    pub(crate) async fn check_rows(&self, case: &str) {
        for blob in self.blobs().await {
            let read = self.datastore.read(&blob.location.key, None).await;
            let read = read.unwrap_or_else(|error| panic!("a row without its object: {error} in {case}"));
            let bytes = read.body.collect_up_to(u64::MAX).await.expect("the object can be read");
            let digests = Hasher::digest(&bytes);
            assert_eq!((digests.hash, digests.len), (blob.hash, blob.size), "other bytes in {case}");
        }
    }

    /// I2 and I5: past the grace, only what rows name is left.
    pub(crate) async fn check_objects(&self, case: &str) {
        let repository = self.healthy();
        self.clock.advance(Duration::from_hours(48));
        repository.collector().collect().await.expect("collecting works");
        repository.collector().sweep().await.expect("sweeping works");
        let objects = self.datastore.list(None).map_ok(|stat| stat.key.to_string());
        let objects: BTreeSet<_> = objects.try_collect().await.expect("listing works");
        let named: BTreeSet<_> =
            self.blobs().await.into_iter().map(|blob| blob.location.key.to_string()).collect();
        assert_eq!(objects, named, "{case}");
        if let Some(scratch) = &self.directory {
            assert_eq!(files(scratch.join("media")), objects.len(), "leftover files in {case}");
        }
    }

    /// Blobs of all media and of their thumbnails in the one size that the journeys ask for.
    async fn blobs(&self) -> Vec<mmr_core::types::BlobRecord> {
        use mmr_core::store::{MediaIndex as _, ThumbnailIndex as _};

        let page = Page { limit: 1000, ..Page::default() };
        let media = self.store.list(&MediaFilter::default(), &page).await.expect("the memory store lists");
        let mut blobs = Vec::new();
        for record in media {
            let found = self.store.thumbnail(&record.mxc, &SPEC).await.expect("the memory store looks up");
            assert!(matches!(found.media, Lookup::Stored(_)));
            blobs.extend(found.thumbnail.map(|thumbnail| thumbnail.blob));
            blobs.push(record.blob);
        }
        blobs
    }
}

fn files(root: PathBuf) -> usize {
    let mut directories = vec![root];
    let mut count = 0;
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else {
                count += 1;
            }
        }
    }
    count
}
