//! Background tasks.

use http::StatusCode;
use mmr_core::{store::TaskRecord, types::Timestamp};
use serde_json::{Value, json};

use super::{super::Answer, Context, query};
use crate::respond::{self, ApiError};

/// Tasks of an answer that names no limit.
const LIMIT: u32 = 1000;

/// `GET tasks/all` and `GET tasks/unfinished`: the newest first. `limit` and `before`, a task's ID, page through them.
pub(super) async fn list(context: Context<'_>, unfinished: bool) -> Answer {
    let before = query::number(context.query(), "before", "the ID of a task")?;
    let limit = query::number(context.query(), "limit", "a number of tasks")?;
    let limit = limit.and_then(|limit| u32::try_from(limit).ok()).map_or(LIMIT, |limit| limit.min(LIMIT));
    let tasks = context.service.repository.tasks().list(unfinished, before, limit).await?;
    let tasks: Vec<Value> = tasks.iter().map(shown).collect();
    Ok(respond::json(StatusCode::OK, &tasks))
}

/// `GET tasks/{id}`.
pub(super) async fn get(context: Context<'_>, id: &str) -> Answer {
    let unknown = || ApiError::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", "There is no such task");
    let id = id.parse().map_err(|_| unknown())?;
    let task = context.service.repository.tasks().task(id).await?.ok_or_else(unknown)?;
    Ok(respond::json(StatusCode::OK, &shown(&task)))
}

/// As matrix-media-repo shows a task, and beside that how far it is and how often it was begun.
fn shown(task: &TaskRecord) -> Value {
    let object = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    json!({
        "task_id": task.id,
        "task_name": task.name,
        "params": object(&task.params),
        "start_ts": task.created.as_millis(),
        "end_ts": task.finished.map_or(0, Timestamp::as_millis),
        "is_finished": task.finished.is_some(),
        "error_message": task.error.as_deref().unwrap_or_default(),
        "progress": object(&task.progress),
        "attempts": task.attempts,
    })
}
