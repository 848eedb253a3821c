//! What S3 speaks, and Google after it: listings of objects and of uploads, and what a link asks for.

use std::collections::VecDeque;

use ::object_store::{multipart::MultipartStore, path::Path, signer::SignedUrlOptions};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::cloud::{
    list::{Page, stat, timestamp},
    request::{Call, Signs, ask},
};
use crate::{
    datastore::{DatastoreError, LinkRequest},
    types::{BlobKey, Timestamp},
};

#[derive(Debug, thiserror::Error)]
#[error("the listing goes on, but does not tell where")]
struct NoMarker;

/// Has a link answered as the request says.
pub(super) fn answered_as(request: &LinkRequest<'_>) -> SignedUrlOptions {
    let disposition = request.content_disposition.map(|value| ("response-content-disposition", value));
    let query = [("response-content-type", request.content_type)].into_iter().chain(disposition);
    SignedUrlOptions::new().with_query(query)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Objects {
    #[serde(default)]
    contents: Vec<Object>,
    #[serde(default)]
    is_truncated: bool,
    next_continuation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Object {
    key: String,
    size: u64,
    last_modified: DateTime<Utc>,
}

/// A page of objects (`ListObjectsV2`).
pub(super) async fn page(store: &dyn Signs, prefix: &str, token: &str) -> Result<Page, DatastoreError> {
    let mut query = vec![("list-type", "2")];
    if !prefix.is_empty() {
        query.push(("prefix", prefix));
    }
    if !token.is_empty() {
        query.push(("continuation-token", token));
    }
    let page: Objects = ask(store, &Call::ask(&query)).await?;
    let next = match page.next_continuation_token {
        Some(next) if page.is_truncated => Some(next),
        None if page.is_truncated => return Err(store.wire().place.classify(NoMarker)),
        _ => None,
    };
    let found = page.contents.iter();
    let objects =
        found.filter_map(|Object { key, size, last_modified }| stat(key, *size, *last_modified)).collect();
    Ok(Page { objects, next })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Uploads {
    #[serde(default, rename = "Upload")]
    uploads: Vec<Upload>,
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: String,
    initiated: DateTime<Utc>,
}

/// Aborts uploads of objects of ours that were begun before `before`. Answers how many.
pub(super) async fn abort_uploads(
    store: &dyn Signs,
    multipart: &dyn MultipartStore,
    before: Timestamp,
) -> Result<u64, DatastoreError> {
    let place = &store.wire().place;
    let mut markers = Some((String::new(), String::new()));
    let mut old = VecDeque::new();
    // All pages first: what is aborted meanwhile would move the next ones.
    while let Some((key, upload)) = markers {
        let mut query = vec![("uploads", "")];
        if !key.is_empty() {
            query.extend([("key-marker", &*key), ("upload-id-marker", &*upload)]);
        }
        let page: Uploads = ask(store, &Call::ask(&query)).await?;
        old.extend(page.uploads.into_iter().filter(|upload| timestamp(upload.initiated) < before));
        markers = match page.next_key_marker.filter(|next| !next.is_empty()) {
            Some(next) if page.is_truncated => Some((next, page.next_upload_id_marker.unwrap_or_default())),
            None if page.is_truncated => return Err(place.classify(NoMarker)),
            _ => None,
        };
    }
    let mut removed = 0;
    for Upload { key, upload_id, .. } in old {
        // Somebody else's.
        if !BlobKey::parse(&key).is_ok_and(|key| key.is_generated()) {
            continue;
        }
        match multipart.abort_multipart(&Path::from(key), &upload_id).await {
            Ok(()) => removed += 1,
            // It has ended by itself.
            Err(::object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(place.classify(error)),
        }
    }
    Ok(removed)
}
