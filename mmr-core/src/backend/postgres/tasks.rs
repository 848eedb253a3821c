use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::{
    PostgresStore,
    blobs::only,
    row::{Columns, int, values},
};
use crate::{
    store::{NewTask, StoreError, TaskIndex, TaskRecord},
    types::Timestamp,
};

#[async_trait]
impl TaskIndex for PostgresStore {
    async fn enqueue(&self, task: &NewTask) -> Result<u64, StoreError> {
        let NewTask { name, params, created, not_before } = task;
        let rows = self.pool().write(ENQUEUE, &values![&**name, &**params, *created, *not_before]).await?;
        Columns::of("tasks", only(&rows, "tasks")?).u64()
    }

    async fn claim(
        &self,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Option<TaskRecord>, StoreError> {
        let rows = self.pool().write(CLAIM, &values![holder, now.plus(ttl), now]).await?;
        rows.first().map(read).transpose()
    }

    async fn renew(
        &self,
        id: u64,
        holder: &str,
        until: Timestamp,
        progress: &str,
    ) -> Result<bool, StoreError> {
        let rows = self.pool().write(RENEW, &values![int(id), holder, until, progress]).await?;
        Ok(!rows.is_empty())
    }

    async fn finish(
        &self,
        id: u64,
        holder: &str,
        at: Timestamp,
        error: Option<&str>,
    ) -> Result<bool, StoreError> {
        let rows = self.pool().write(FINISH, &values![int(id), holder, at, error]).await?;
        Ok(!rows.is_empty())
    }

    async fn task(&self, id: u64) -> Result<Option<TaskRecord>, StoreError> {
        let rows = self.pool().read(TASK, &values![int(id)]).await?;
        rows.first().map(read).transpose()
    }

    async fn tasks(
        &self,
        unfinished_only: bool,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        let sql = if unfinished_only { UNFINISHED } else { TASKS };
        // IDs stay below the largest number that Postgres keeps.
        let before = before.map_or(i64::MAX, int);
        self.pool().read(sql, &values![before, limit]).await?.iter().map(read).collect()
    }
}

/// What [`read`] reads.
macro_rules! task_columns {
    () => {
        "id, name, params, progress, created, attempts, finished, error"
    };
}

fn read(row: &Row) -> Result<TaskRecord, StoreError> {
    let mut columns = Columns::of("tasks", row);
    Ok(TaskRecord {
        id: columns.u64()?,
        name: columns.get()?,
        params: columns.get()?,
        progress: columns.get()?,
        created: columns.time()?,
        attempts: columns.u32()?,
        finished: columns.optional_time()?,
        error: columns.get()?,
    })
}

const ENQUEUE: &str =
    "INSERT INTO mmr.tasks (name, params, created, not_before) VALUES ($1, $2, $3, $4) RETURNING id";

/// Whoever is claiming a task at that moment has it; the next one is tried.
const CLAIM: &str = concat!(
    "UPDATE mmr.tasks SET holder = $1, held_until = $2, attempts = attempts + 1 WHERE id =",
    " (SELECT id FROM mmr.tasks WHERE finished IS NULL AND not_before <= $3",
    " AND (held_until IS NULL OR held_until <= $3) ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)",
    " RETURNING ",
    task_columns!(),
);

const RENEW: &str = "UPDATE mmr.tasks SET held_until = $3, progress = $4
    WHERE id = $1 AND holder = $2 AND finished IS NULL RETURNING 1";

const FINISH: &str = "UPDATE mmr.tasks SET finished = $3, error = $4
    WHERE id = $1 AND holder = $2 AND finished IS NULL RETURNING 1";

const TASK: &str = concat!("SELECT ", task_columns!(), " FROM mmr.tasks WHERE id = $1");

const TASKS: &str =
    concat!("SELECT ", task_columns!(), " FROM mmr.tasks WHERE id < $1 ORDER BY id DESC LIMIT $2");

const UNFINISHED: &str = concat!(
    "SELECT ",
    task_columns!(),
    " FROM mmr.tasks WHERE id < $1 AND finished IS NULL ORDER BY id DESC LIMIT $2",
);
