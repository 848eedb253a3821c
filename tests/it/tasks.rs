//! Background tasks: a datastore is emptied into another.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use mmr_core::{
    MediaRepository,
    backend::{memory::MemoryStore, object_store::ObjectStoreDatastore},
    clock::Clock as _,
    datastore::{Datastore, Datastores},
    download::DownloadRequest,
    policy::{Policies, ServerPolicy},
    store::{MediaIndex as _, NewTask, TaskIndex as _, TaskRecord},
    stream::ByteStream,
    tasks::{Estimate, Job, Transfer},
    testing::{
        ManualClock,
        fault::{Fault, FaultPlan, FaultyDatastore},
        fixtures::bytes,
    },
    types::{Caller, ContentType, DatastoreId, Lookup, MediaKind, Mxc, RangeRequest, Timestamp},
    upload::UploadRequest,
};
use ruma::{OwnedServerName, owned_server_name, owned_user_id};

struct Lab {
    repository: MediaRepository,
    store: Arc<MemoryStore>,
    old: Arc<dyn Datastore>,
    new: Arc<dyn Datastore>,
    clock: Arc<ManualClock>,
}

fn id(name: &str) -> DatastoreId {
    DatastoreId::parse(name).expect("a datastore id")
}

fn here() -> OwnedServerName {
    owned_server_name!("example.org")
}

impl Lab {
    fn new() -> Self {
        Self::with_faults(FaultPlan::counting())
    }

    /// What is uploaded goes to `old`, calls of `new` may fail. Nobody works at the queue unasked.
    fn with_faults(plan: FaultPlan) -> Self {
        let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::default()));
        let old: Arc<dyn Datastore> = Arc::new(ObjectStoreDatastore::in_memory());
        let new: Arc<dyn Datastore> = Arc::new(ObjectStoreDatastore::in_memory());
        let faulty = Arc::new(FaultyDatastore::new(Arc::clone(&new), plan));
        let datastores = Datastores::builder()
            .add(id("old"), Arc::clone(&old), &MediaKind::ALL)
            .add(id("new"), faulty, &[])
            .build();
        let policies = Policies::single(here(), ServerPolicy::default());
        let repository = MediaRepository::builder(Arc::<MemoryStore>::clone(&store), datastores, policies)
            .clock(Arc::<ManualClock>::clone(&clock))
            .task_workers(0)
            .build();
        Self { repository, store, old, new, clock }
    }

    async fn upload(&self, body: &Bytes) -> Mxc {
        let request = UploadRequest {
            server: here(),
            by: owned_user_id!("@alice:example.org"),
            content_type: ContentType::new("image/png"),
            file_name: None,
            declared_len: None,
        };
        self.repository.uploads().upload(request, ByteStream::from(body.clone())).await.expect("an upload")
    }

    async fn download(&self, mxc: &Mxc) -> Bytes {
        let request = DownloadRequest {
            mxc: mxc.clone(),
            caller: Caller::User { id: owned_user_id!("@alice:example.org"), guest: false },
            server: here(),
            wait: Duration::ZERO,
            remote: false,
        };
        let download =
            self.repository.downloads().open(&request, RangeRequest::Whole).await.expect("it is here");
        download.body.collect_up_to(u64::MAX).await.expect("it is whole")
    }

    async fn transfer(&self, before: Option<Timestamp>) -> u64 {
        let job = Transfer {
            source: "old".to_owned(),
            target: "new".to_owned(),
            before_ts: before.map(Timestamp::as_millis),
            bytes_per_second: None,
        };
        self.repository.tasks().enqueue(&Job::Transfer(job)).await.expect("the datastores are there")
    }

    /// Works the queue off until the task has ended, an hour passing between two looks.
    async fn finished(&self, task: u64) -> TaskRecord {
        loop {
            let record = self.task(task).await;
            if record.finished.is_some() {
                return record;
            }
            self.clock.advance(Duration::from_hours(1));
            self.repository.tasks().run_due().await.expect("the store answers");
        }
    }

    async fn task(&self, task: u64) -> TaskRecord {
        self.repository.tasks().task(task).await.expect("the store answers").expect("the task is known")
    }
}

async fn objects(datastore: &Arc<dyn Datastore>) -> usize {
    datastore.list(None).try_collect::<Vec<_>>().await.expect("it can be listed").len()
}

fn report(task: &TaskRecord) -> serde_json::Value {
    serde_json::from_str(&task.progress).expect("progress is JSON")
}

#[tokio::test]
async fn a_transfer_moves_everything_and_the_collector_clears_the_source() {
    let lab = Lab::new();
    let bodies: Vec<Bytes> = (0..250).map(|seed| bytes(seed, 2000)).collect();
    let mut names = vec![];
    for body in &bodies {
        names.push(lab.upload(body).await);
    }
    let task = lab.transfer(None).await;
    let done = lab.finished(task).await;
    assert_eq!(done.error, None);
    let report = report(&done);
    assert_eq!((&report["moved"], &report["moved_bytes"]), (&250.into(), &500_000.into()));
    assert_eq!((&report["total"], &report["total_bytes"]), (&250.into(), &500_000.into()));
    assert_eq!(objects(&lab.new).await, 250);
    for (name, body) in names.iter().zip(&bodies) {
        assert_eq!(lab.download(name).await, body);
    }
    lab.clock.advance(Duration::from_hours(1));
    lab.repository.collector().collect().await.expect("nothing is in the way");
    assert_eq!(objects(&lab.old).await, 0);
    assert_eq!(lab.download(&names[7]).await, bodies[7]);
}

#[tokio::test]
async fn a_transfer_by_age_spares_what_was_used_lately() {
    let lab = Lab::new();
    let old = lab.upload(&bytes(1, 100)).await;
    lab.clock.advance(Duration::from_hours(48));
    let before = lab.clock.now();
    lab.clock.advance(Duration::from_hours(1));
    let young = lab.upload(&bytes(2, 100)).await;

    let estimate = lab.repository.tasks().estimate(&id("old"), Some(before)).await.expect("it is configured");
    let one =
        Estimate { media: 1, media_blobs: 1, media_bytes: 100, blobs: 1, bytes: 100, ..Estimate::default() };
    assert_eq!(estimate, one);

    let task = lab.transfer(Some(before)).await;
    let report = report(&lab.finished(task).await);
    assert_eq!((&report["moved"], &report["spared"]), (&1.into(), &1.into()));
    assert_eq!((objects(&lab.new).await, objects(&lab.old).await), (1, 2));
    assert_eq!(lab.download(&old).await.len() + lab.download(&young).await.len(), 200);
}

#[tokio::test]
async fn a_damaged_object_stays_where_it_is_and_is_reported() {
    let lab = Lab::new();
    let (sound, damaged) = (lab.upload(&bytes(1, 100)).await, lab.upload(&bytes(2, 100)).await);
    let record = match lab.store.lookup(&damaged).await {
        Ok(Lookup::Stored(record)) => record,
        other => panic!("{other:?}"),
    };
    lab.old.delete(&record.blob.location.key).await.expect("it is there");
    let mut writer = lab.old.create(&record.blob.location.key).await.expect("it is free");
    writer.write(bytes(3, 100)).await.expect("memory takes everything");
    writer.commit().await.expect("memory takes everything");

    let task = lab.transfer(None).await;
    let done = lab.finished(task).await;
    assert_eq!(done.error, None);
    assert_eq!((&report(&done)["moved"], &report(&done)["damaged"]), (&1.into(), &1.into()));
    assert_eq!(objects(&lab.new).await, 1);
    assert_eq!(lab.download(&sound).await, bytes(1, 100));
}

#[tokio::test]
async fn an_outage_of_the_target_only_delays_a_transfer() {
    let lab = Lab::with_faults(FaultPlan::fail(1, Fault::Before));
    let names = [lab.upload(&bytes(1, 100)).await, lab.upload(&bytes(2, 100)).await];
    let task = lab.transfer(None).await;
    lab.repository.tasks().run_due().await.expect("the store answers");
    let waiting = lab.task(task).await;
    assert_eq!((waiting.finished, waiting.attempts), (None, 1));

    let done = lab.finished(task).await;
    assert_eq!((done.error, done.attempts), (None, 2));
    assert_eq!(objects(&lab.new).await, 2);
    for name in &names {
        assert_eq!(lab.download(name).await.len(), 100);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_not_queued() {
    let lab = Lab::new();
    for (source, target) in [("old", "old"), ("old", "nowhere"), ("nowhere", "new"), ("", "new")] {
        let job = Transfer {
            source: source.to_owned(),
            target: target.to_owned(),
            before_ts: None,
            bytes_per_second: None,
        };
        assert!(lab.repository.tasks().enqueue(&Job::Transfer(job)).await.is_err(), "{source} to {target}");
    }
    assert_eq!(lab.repository.tasks().list(false, None, 9).await.expect("the store answers"), []);
}

#[tokio::test]
async fn work_of_a_newer_version_fails_and_says_so() {
    let lab = Lab::new();
    let now = lab.clock.now();
    let task = NewTask {
        name: "from_the_future".to_owned(),
        params: "{}".to_owned(),
        created: now,
        not_before: now,
    };
    let task = lab.store.enqueue(&task).await.expect("memory takes everything");
    let error = lab.finished(task).await.error.expect("it fails");
    assert!(error.contains("does not know"), "{error}");
}
