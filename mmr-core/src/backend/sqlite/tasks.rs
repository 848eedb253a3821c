use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Params, Row, params};

use super::{
    SqliteStore,
    row::{Columns, all, first, int, millis, run},
};
use crate::{
    store::{NewTask, StoreError, TaskIndex, TaskRecord},
    types::Timestamp,
};

#[async_trait]
impl TaskIndex for SqliteStore {
    async fn enqueue(&self, task: &NewTask) -> Result<u64, StoreError> {
        let task = task.clone();
        self.write(move |conn| enqueue(conn, &task)).await
    }

    async fn claim(
        &self,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Option<TaskRecord>, StoreError> {
        let holder = holder.to_owned();
        let until = now.plus(ttl);
        self.write(move |conn| one(conn, CLAIM, params![holder, millis(until), millis(now)])).await
    }

    async fn renew(
        &self,
        id: u64,
        holder: &str,
        until: Timestamp,
        progress: &str,
    ) -> Result<bool, StoreError> {
        let (holder, progress) = (holder.to_owned(), progress.to_owned());
        self.write(move |conn| Ok(run(conn, RENEW, params![int(id), holder, millis(until), progress])? > 0))
            .await
    }

    async fn finish(
        &self,
        id: u64,
        holder: &str,
        at: Timestamp,
        error: Option<&str>,
    ) -> Result<bool, StoreError> {
        let (holder, error) = (holder.to_owned(), error.map(str::to_owned));
        self.write(move |conn| Ok(run(conn, FINISH, params![int(id), holder, millis(at), error])? > 0)).await
    }

    async fn task(&self, id: u64) -> Result<Option<TaskRecord>, StoreError> {
        self.read(move |conn| one(conn, TASK, [int(id)])).await
    }

    async fn tasks(
        &self,
        unfinished_only: bool,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        let sql = if unfinished_only { UNFINISHED } else { TASKS };
        // IDs stay below the largest number that SQLite keeps.
        let before = before.map_or(i64::MAX, int);
        self.read(move |conn| all(conn, sql, params![before, limit], read)).await
    }
}

/// What [`read`] reads.
macro_rules! task_columns {
    () => {
        "id, name, params, progress, created, attempts, finished, error"
    };
}

fn read(row: &Row<'_>) -> Result<TaskRecord, StoreError> {
    let mut columns = Columns::of("tasks", row);
    Ok(TaskRecord {
        id: columns.u64()?,
        name: columns.get()?,
        params: columns.get()?,
        progress: columns.get()?,
        created: columns.time()?,
        attempts: columns.get()?,
        finished: columns.optional_time()?,
        error: columns.get()?,
    })
}

fn one(conn: &Connection, sql: &str, params: impl Params) -> Result<Option<TaskRecord>, StoreError> {
    first(conn, sql, params, read)
}

const ENQUEUE: &str = "INSERT INTO tasks (name, params, created, not_before) VALUES (?1, ?2, ?3, ?4)";

fn enqueue(conn: &Connection, task: &NewTask) -> Result<u64, StoreError> {
    let NewTask { name, params, created, not_before } = task;
    run(conn, ENQUEUE, params![name, params, millis(*created), millis(*not_before)])?;
    Ok(conn.last_insert_rowid().unsigned_abs())
}

/// One writer at a time makes the choice and the claim one step.
pub(super) const CLAIM: &str = concat!(
    "UPDATE tasks SET holder = ?1, held_until = ?2, attempts = attempts + 1 WHERE id =",
    " (SELECT id FROM tasks WHERE finished IS NULL AND not_before <= ?3",
    " AND (held_until IS NULL OR held_until <= ?3) ORDER BY id LIMIT 1)",
    " RETURNING ",
    task_columns!(),
);

pub(super) const RENEW: &str =
    "UPDATE tasks SET held_until = ?3, progress = ?4 WHERE id = ?1 AND holder = ?2 AND finished IS NULL";

pub(super) const FINISH: &str =
    "UPDATE tasks SET finished = ?3, error = ?4 WHERE id = ?1 AND holder = ?2 AND finished IS NULL";

pub(super) const TASK: &str = concat!("SELECT ", task_columns!(), " FROM tasks WHERE id = ?1");

pub(super) const TASKS: &str =
    concat!("SELECT ", task_columns!(), " FROM tasks WHERE id < ?1 ORDER BY id DESC LIMIT ?2");

pub(super) const UNFINISHED: &str = concat!(
    "SELECT ",
    task_columns!(),
    " FROM tasks WHERE id < ?1 AND finished IS NULL ORDER BY id DESC LIMIT ?2",
);
