//! Datastores: what there is, what lies there, and moving it elsewhere.

use http::{Response, StatusCode};
use mmr_core::{
    tasks::{Estimate, Job, Transfer},
    types::{DatastoreId, Timestamp},
};
use serde_json::{Map, Value, json};

use super::{super::Answer, Context, query};
use crate::respond::{self, ApiError, MediaBody};

/// `GET datastores`: `{"<id>": {"type", "uri"}}`.
pub(super) fn list(context: Context<'_>) -> Response<MediaBody> {
    let described = context.service.datastores.iter();
    let entries: Map<String, Value> = described
        .map(|datastore| (datastore.id.clone(), json!({ "type": datastore.kind, "uri": datastore.uri })))
        .collect();
    respond::json(StatusCode::OK, &entries)
}

/// `GET datastores/{id}/size_estimate?before_ts={ms}`: what a transfer would move, with matrix-media-repo's keys.
pub(super) async fn size_estimate(context: Context<'_>, id: &str) -> Answer {
    let (id, before) = (known(context, id)?, before(context)?);
    let estimate = context.service.repository.tasks().estimate(&id, before).await?;
    Ok(respond::json(StatusCode::OK, &with_keys(&estimate)))
}

/// `POST datastores/{source}/transfer_to/{target}?before_ts={ms}&bytes_per_second={n}`: the same estimate, and the ID of the
/// task that moves the objects.
pub(super) async fn transfer(context: Context<'_>, source: &str, target: &str) -> Answer {
    let (from, to) = (known(context, source)?, known(context, target)?);
    if from == to {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "M_INVALID_PARAM",
            "Source and target are the same",
        ));
    }
    let before = before(context)?;
    let bytes_per_second = query::number(context.query(), "bytes_per_second", "bytes")?;
    let tasks = context.service.repository.tasks();
    let job = Job::Transfer(Transfer {
        source: source.to_owned(),
        target: target.to_owned(),
        before_ts: before.map(Timestamp::as_millis),
        bytes_per_second,
    });
    // First: the estimate walks through everything, which may take longer than the client waits.
    let task = tasks.enqueue(&job).await?;
    let mut body = with_keys(&tasks.estimate(&from, before).await?);
    body.insert("task_id".to_owned(), task.into());
    Ok(respond::json(StatusCode::OK, &body))
}

fn before(context: Context<'_>) -> Result<Option<Timestamp>, ApiError> {
    let millis = query::number(context.query(), "before_ts", "milliseconds since the Unix epoch")?;
    Ok(millis.map(Timestamp::from_millis))
}

fn known(context: Context<'_>, id: &str) -> Result<DatastoreId, ApiError> {
    let unknown = || ApiError::new(StatusCode::BAD_REQUEST, "M_INVALID_PARAM", "There is no such datastore");
    let id = DatastoreId::parse(id).map_err(|_| unknown())?;
    match context.service.repository.datastores().get(&id) {
        Ok(_) => Ok(id),
        Err(_) => Err(unknown()),
    }
}

fn with_keys(estimate: &Estimate) -> Map<String, Value> {
    let counts = [
        ("media_affected", estimate.media),
        ("media_hashes_affected", estimate.media_blobs),
        ("media_bytes", estimate.media_bytes),
        ("thumbnails_affected", estimate.thumbnails),
        ("thumbnail_hashes_affected", estimate.thumbnail_blobs),
        ("thumbnail_bytes", estimate.thumbnail_bytes),
        ("total_hashes_affected", estimate.blobs),
        ("total_bytes", estimate.bytes),
    ];
    counts.into_iter().map(|(key, count)| (key.to_owned(), count.into())).collect()
}
