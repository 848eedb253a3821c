use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    store::{NewTask, StoreError, TaskIndex, TaskRecord},
    types::Timestamp,
};

#[derive(Default)]
pub(super) struct Tasks {
    by_id: BTreeMap<u64, Task>,
    last_id: u64,
}

struct Task {
    record: TaskRecord,
    not_before: Timestamp,
    claim: Option<Claim>,
}

struct Claim {
    holder: String,
    until: Timestamp,
}

impl Tasks {
    fn held_by(&mut self, id: u64, holder: &str) -> Option<&mut Task> {
        let task = self.by_id.get_mut(&id)?;
        task.claim.as_ref().is_some_and(|claim| claim.holder == holder).then_some(task)
    }
}

#[async_trait]
impl TaskIndex for MemoryStore {
    async fn enqueue(&self, task: &NewTask) -> Result<u64, StoreError> {
        let tasks = &mut self.state().tasks;
        tasks.last_id += 1;
        let id = tasks.last_id;
        let record = TaskRecord {
            id,
            name: task.name.clone(),
            params: task.params.clone(),
            progress: String::new(),
            created: task.created,
            attempts: 0,
            finished: None,
            error: None,
        };
        tasks.by_id.insert(id, Task { record, not_before: task.not_before, claim: None });
        Ok(id)
    }

    async fn claim(
        &self,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Option<TaskRecord>, StoreError> {
        let mut state = self.state();
        let due = state.tasks.by_id.values_mut().find(|task| {
            task.record.finished.is_none()
                && task.not_before <= now
                && task.claim.as_ref().is_none_or(|claim| claim.until <= now)
        });
        let Some(task) = due else { return Ok(None) };
        task.claim = Some(Claim { holder: holder.to_owned(), until: now.plus(ttl) });
        task.record.attempts += 1;
        Ok(Some(task.record.clone()))
    }

    async fn renew(
        &self,
        id: u64,
        holder: &str,
        until: Timestamp,
        progress: &str,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(task) = state.tasks.held_by(id, holder) else { return Ok(false) };
        task.claim = Some(Claim { holder: holder.to_owned(), until });
        progress.clone_into(&mut task.record.progress);
        Ok(true)
    }

    async fn finish(
        &self,
        id: u64,
        holder: &str,
        at: Timestamp,
        error: Option<&str>,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(task) = state.tasks.held_by(id, holder) else { return Ok(false) };
        task.claim = None;
        task.record.finished = Some(at);
        task.record.error = error.map(str::to_owned);
        Ok(true)
    }

    async fn task(&self, id: u64) -> Result<Option<TaskRecord>, StoreError> {
        Ok(self.state().tasks.by_id.get(&id).map(|task| task.record.clone()))
    }

    async fn tasks(
        &self,
        unfinished_only: bool,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        let state = self.state();
        let records = state.tasks.by_id.values().rev().map(|task| &task.record);
        let wanted = records
            .filter(|r| before.is_none_or(|before| r.id < before))
            .filter(|r| !unfinished_only || r.finished.is_none());
        Ok(wanted.take(limit as usize).cloned().collect())
    }
}
