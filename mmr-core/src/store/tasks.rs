//! The durable queue of background work.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use super::StoreError;
use crate::types::Timestamp;

/// Background tasks.
#[async_trait]
pub trait TaskIndex: fmt::Debug + Send + Sync + 'static {
    /// Adds a task that may run from `not_before` on. Answers its ID, larger than all before it.
    async fn enqueue(&self, task: &NewTask) -> Result<u64, StoreError>;

    /// Hands the oldest task (by ID) that is due, unfinished and not held by anybody at `now` to `holder` until
    /// `now + ttl`, when others may claim it again. No two holders have one task at the same time.
    async fn claim(
        &self,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Option<TaskRecord>, StoreError>;

    /// Extends a claim and records `progress` (JSON). False when `holder` does not hold the task any more: it was
    /// finished, or its claim ran out and somebody else has claimed it.
    async fn renew(
        &self,
        id: u64,
        holder: &str,
        until: Timestamp,
        progress: &str,
    ) -> Result<bool, StoreError>;

    /// Ends a task; with `error`, as failed. False when `holder` does not hold it any more.
    async fn finish(
        &self,
        id: u64,
        holder: &str,
        at: Timestamp,
        error: Option<&str>,
    ) -> Result<bool, StoreError>;

    /// One task.
    async fn task(&self, id: u64) -> Result<Option<TaskRecord>, StoreError>;

    /// Tasks by ID, newest first, below `before` if given, at most `limit`.
    async fn tasks(
        &self,
        unfinished_only: bool,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<TaskRecord>, StoreError>;
}

/// A task to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// What kind of work it is.
    pub name: String,
    /// Its parameters, a JSON object.
    pub params: String,
    /// Now.
    pub created: Timestamp,
    /// Not to be run earlier.
    pub not_before: Timestamp,
}

/// A task as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// Its ID.
    pub id: u64,
    /// What kind of work it is.
    pub name: String,
    /// Its parameters, a JSON object.
    pub params: String,
    /// The progress that was last recorded, JSON; empty before the first.
    pub progress: String,
    /// When it was added.
    pub created: Timestamp,
    /// How often it was claimed.
    pub attempts: u32,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
}
