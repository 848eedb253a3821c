//! Work that outlives requests and restarts: a durable queue that every node works at.
//!
//! A task is claimed for a minute at a time and its claim renewed while it runs. When the node that runs it dies, or what
//! the task needs is out of order, the claim runs out and the task is taken up again, by whichever node comes first, where
//! its progress says that it had arrived. All work can be repeated.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

use crate::{
    Error, Result,
    clock::Clock,
    datastore::Datastores,
    lifecycle::Background,
    news::News,
    store::{BlobIndex, NewTask, TaskIndex, TaskRecord},
    types::{DatastoreId, Timestamp},
};

mod estimate;
mod job;
mod pace;
mod transfer;

use self::job::UNKNOWN_KIND;

pub use self::{
    estimate::Estimate,
    job::{Job, Transfer},
};

/// How long a claim lasts: the longest that a task stays with a node that died, and the pause before a task that failed for
/// a passing reason is tried again.
const CLAIM: Duration = Duration::from_mins(1);
/// Time between two renewals of a claim.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the queue is looked at for what other nodes put there.
const LOOK: Duration = Duration::from_secs(10);
/// A task that was claimed so often, and got nowhere the last time, is over.
const ATTEMPTS: u32 = 100;

/// Background tasks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tasks(Arc<Inner>, Arc<State>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) index: Arc<dyn TaskIndex>,
    pub(crate) blobs: Arc<dyn BlobIndex>,
    pub(crate) datastores: Datastores,
    pub(crate) news: News,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) background: Background,
    /// Tells this process from others on the same store.
    pub(crate) holder: String,
    /// Tasks that run here at the same time; 0 leaves the queue to other processes.
    pub(crate) workers: usize,
}

#[derive(Debug)]
struct State {
    workers: Arc<Semaphore>,
    enqueued: Notify,
}

impl Tasks {
    pub(crate) fn new(inner: Inner) -> Self {
        let workers = inner.workers.min(Semaphore::MAX_PERMITS);
        let state = State { workers: Arc::new(Semaphore::new(workers)), enqueued: Notify::new() };
        Self(Arc::new(inner), Arc::new(state))
    }

    /// Puts work into the queue. Answers the ID of its task.
    ///
    /// Errors: [`Error::NoDatastore`] when the work names a datastore that is not configured, [`Error::Forbidden`] when it
    /// makes no sense, [`Error::Store`].
    pub async fn enqueue(&self, job: &Job) -> Result<u64> {
        job.check(&self.0.datastores)?;
        let now = self.0.clock.now();
        let task =
            NewTask { name: job.name().to_owned(), params: job.params(), created: now, not_before: now };
        let id = self.0.index.enqueue(&task).await?;
        self.1.enqueued.notify_one();
        Ok(id)
    }

    /// One task as it stands.
    pub async fn task(&self, id: u64) -> Result<Option<TaskRecord>> {
        Ok(self.0.index.task(id).await?)
    }

    /// Tasks by ID, newest first, below `before` if given, at most `limit`.
    pub async fn list(
        &self,
        unfinished_only: bool,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<TaskRecord>> {
        Ok(self.0.index.tasks(unfinished_only, before, limit).await?)
    }

    /// What a transfer out of `datastore` would move. Walks through everything that lies there.
    ///
    /// Errors: [`Error::NoDatastore`], [`Error::Store`].
    pub async fn estimate(&self, datastore: &DatastoreId, before: Option<Timestamp>) -> Result<Estimate> {
        self.0.datastores.get(datastore)?;
        estimate::estimate(&*self.0.blobs, datastore, before).await
    }

    /// Runs what is due, one task after the other, and answers how many ran. For embedders that want to choose the moment;
    /// unless they set the number of workers to 0, the queue is worked off by itself, too.
    pub async fn run_due(&self) -> Result<u32> {
        let mut count = 0;
        while let Some(task) = self.claim().await? {
            self.execute(task).await;
            count += 1;
        }
        Ok(count)
    }

    /// Works the queue off, for ever.
    pub(crate) async fn run(self) {
        if self.0.workers == 0 {
            return;
        }
        loop {
            let Ok(worker) = Arc::clone(&self.1.workers).acquire_owned().await else { return };
            match self.claim().await {
                Ok(Some(task)) => {
                    let this = self.clone();
                    self.0.background.spawn_until_stop(async move {
                        this.execute(task).await;
                        drop(worker);
                    });
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the queue of background tasks cannot be read, will try again");
                }
            }
            drop(worker);
            // Either will do: a task was put there by this node, or it is time to look.
            let _ = tokio::time::timeout(LOOK, self.1.enqueued.notified()).await;
        }
    }

    async fn claim(&self) -> Result<Option<TaskRecord>> {
        Ok(self.0.index.claim(&self.0.holder, CLAIM, self.0.clock.now()).await?)
    }

    async fn execute(&self, task: TaskRecord) {
        let (id, attempts) = (task.id, task.attempts);
        tracing::info!(task = id, name = task.name, attempts, "running a background task");
        let progress = Progress::new(&task.progress);
        let Some(outcome) = self.attend(id, &progress, self.work(&task, &progress)).await else {
            tracing::warn!(task = id, "another node has taken the background task over");
            return;
        };
        self.renew(id, &progress).await;
        let error = match outcome {
            Ok(()) => None,
            // The claim runs out, and somebody tries again.
            Err(error)
                if is_transient(&error) && (attempts < ATTEMPTS || progress.text() != task.progress) =>
            {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(task = id, error, "a background task failed, it will be tried again");
                return;
            }
            Err(error) => Some(with_causes(&error)),
        };
        match &error {
            None => tracing::info!(task = id, "a background task is done"),
            Some(error) => tracing::error!(task = id, error, "a background task failed"),
        }
        let finished = self.0.index.finish(id, &self.0.holder, self.0.clock.now(), error.as_deref()).await;
        if let Err(error) = finished {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                task = id,
                error,
                "the end of a background task was not recorded: it will run again"
            );
        }
    }

    async fn work(&self, task: &TaskRecord, progress: &Progress) -> Result<()> {
        match Job::parse(&task.name, &task.params)? {
            Job::Transfer(transfer) => transfer::run(&self.0, &transfer, progress).await,
        }
    }

    /// Runs `work` to its end, keeping the claim. `None` when the claim was lost.
    async fn attend<T>(
        &self,
        id: u64,
        progress: &Progress,
        work: impl Future<Output = T> + Send,
    ) -> Option<T> {
        let mut work = std::pin::pin!(work);
        let mut beats = tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
        loop {
            tokio::select! {
                outcome = &mut work => return Some(outcome),
                _ = beats.tick() => if !self.renew(id, progress).await { return None },
            }
        }
    }

    /// Keeps the claim. False when somebody else has it.
    async fn renew(&self, id: u64, progress: &Progress) -> bool {
        let until = self.0.clock.now().plus(CLAIM);
        match self.0.index.renew(id, &self.0.holder, until, &progress.text()).await {
            Ok(held) => held,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(task = id, error, "the claim of a background task could not be renewed");
                true
            }
        }
    }
}

/// How far a task is, as the next who takes it up will read it.
#[derive(Debug)]
struct Progress(Mutex<Value>);

impl Progress {
    fn new(recorded: &str) -> Self {
        Self(Mutex::new(serde_json::from_str(recorded).unwrap_or_default()))
    }

    fn get(&self) -> Value {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, value: Value) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }

    fn text(&self) -> String {
        match self.get() {
            Value::Null => String::new(),
            value => value.to_string(),
        }
    }
}

fn is_transient(error: &Error) -> bool {
    match error.root() {
        Error::Store(error) => error.is_transient(),
        Error::Datastore(error) => error.is_transient(),
        // This node may not have heard of it yet.
        Error::NoDatastore(_) | Error::Internal(UNKNOWN_KIND) => true,
        _ => false,
    }
}

fn with_causes(error: &Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
