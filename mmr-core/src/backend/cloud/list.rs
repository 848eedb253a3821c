//! Listings, which `object_store` fails on where a bucket holds names that it cannot take.

use std::sync::Arc;

use crate::{
    datastore::{BlobStat, DatastoreError},
    types::{BlobKey, Timestamp},
};
use chrono::{DateTime, Utc};
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};

/// Some objects, and where those behind them begin.
pub(in crate::backend) struct Page {
    pub(in crate::backend) objects: Vec<BlobStat>,
    pub(in crate::backend) next: Option<String>,
}

/// One page of the objects below a prefix, from a token on; the empty one stands for the start.
pub(in crate::backend) type Turn<S> =
    for<'a> fn(&'a S, &'a str, &'a str) -> BoxFuture<'a, Result<Page, DatastoreError>>;

/// Objects, page by page as they are asked for.
pub(in crate::backend) fn objects<S: Send + Sync + 'static>(
    store: &Arc<S>,
    prefix: Option<&BlobKey>,
    turn: Turn<S>,
) -> BoxStream<'static, Result<BlobStat, DatastoreError>> {
    let prefix = prefix.map(|prefix| format!("{prefix}/")).unwrap_or_default();
    let begun = (Arc::clone(store), prefix, Some(String::new()));
    stream::try_unfold(begun, move |(store, prefix, token)| async move {
        let Some(token) = token else { return Ok(None) };
        let Page { objects, next } = turn(&store, &prefix, &token).await?;
        Ok(Some((stream::iter(objects.into_iter().map(Ok)), (store, prefix, next))))
    })
    .try_flatten()
    .boxed()
}

/// What a listing says of an object, unless it is none of ours.
pub(in crate::backend) fn stat(key: &str, size: u64, modified: DateTime<Utc>) -> Option<BlobStat> {
    Some(BlobStat { key: BlobKey::parse(key).ok()?, size, modified: timestamp(modified) })
}

pub(in crate::backend) fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp::from_millis(u64::try_from(time.timestamp_millis()).unwrap_or_default())
}
