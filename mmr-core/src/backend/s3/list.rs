//! Listings of objects, and of multipart uploads that nobody finished.

use std::{collections::VecDeque, sync::Arc};

use ::object_store::{client::HttpResponse, multipart::MultipartStore as _, path::Path};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use http::{HeaderMap, Method};
use serde::{Deserialize, de::DeserializeOwned};

use super::{S3, signed::Call};
use crate::{
    datastore::{BlobStat, DatastoreError},
    types::{BlobKey, Timestamp},
};

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

/// Longest page of a listing: a thousand entries with keys of a kilobyte, and room to spare.
const MAX_PAGE: usize = 8 << 20;
/// How often a page is asked for again because it broke off.
const MAX_BROKEN: u32 = 2;

#[derive(Debug, thiserror::Error)]
#[error("the listing is longer than {MAX_PAGE} bytes")]
struct Overlong;

#[derive(Debug, thiserror::Error)]
#[error("the listing goes on, but does not tell where")]
struct NoMarker;

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp::from_millis(u64::try_from(time.timestamp_millis()).unwrap_or_default())
}

impl S3 {
    /// Objects, page by page as they are asked for.
    pub(super) fn objects(
        self: &Arc<Self>,
        prefix: Option<&BlobKey>,
    ) -> BoxStream<'static, Result<BlobStat, DatastoreError>> {
        let prefix = prefix.map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let begun = (Arc::clone(self), prefix, Some(String::new()));
        stream::try_unfold(begun, |(s3, prefix, token)| async move {
            let Some(token) = token else { return Ok(None) };
            let page = s3.list_page(&prefix, &token).await?;
            let next = match page.next_continuation_token {
                Some(next) if page.is_truncated => Some(next),
                None if page.is_truncated => return Err(s3.place.classify(NoMarker)),
                _ => None,
            };
            let found = page.contents.into_iter().filter_map(|Object { key, size, last_modified }| {
                let key = BlobKey::parse(&key).ok()?;
                Some(Ok(BlobStat { key, size, modified: timestamp(last_modified) }))
            });
            let found: Vec<_> = found.collect();
            Ok(Some((stream::iter(found), (s3, prefix, next))))
        })
        .try_flatten()
        .boxed()
    }

    async fn list_page(&self, prefix: &str, token: &str) -> Result<Objects, DatastoreError> {
        let mut query = vec![("list-type", "2")];
        if !prefix.is_empty() {
            query.push(("prefix", prefix));
        }
        if !token.is_empty() {
            query.push(("continuation-token", token));
        }
        self.ask(&query).await
    }

    /// Aborts uploads of objects of ours that were begun before `before`. Answers how many.
    pub(super) async fn abort_uploads(&self, before: Timestamp) -> Result<u64, DatastoreError> {
        let mut markers = Some((String::new(), String::new()));
        let mut old = VecDeque::new();
        // All pages first: what is aborted meanwhile would move the next ones.
        while let Some((key, upload)) = markers {
            let mut query = vec![("uploads", "")];
            if !key.is_empty() {
                query.extend([("key-marker", &*key), ("upload-id-marker", &*upload)]);
            }
            let page: Uploads = self.ask(&query).await?;
            old.extend(page.uploads.into_iter().filter(|upload| timestamp(upload.initiated) < before));
            markers = match page.next_key_marker.filter(|next| !next.is_empty()) {
                Some(next) if page.is_truncated => {
                    Some((next, page.next_upload_id_marker.unwrap_or_default()))
                }
                None if page.is_truncated => return Err(self.place.classify(NoMarker)),
                _ => None,
            };
        }
        let mut removed = 0;
        for Upload { key, upload_id, .. } in old {
            // Somebody else's.
            if !BlobKey::parse(&key).is_ok_and(|key| key.is_generated()) {
                continue;
            }
            match self.store.abort_multipart(&Path::from(key), &upload_id).await {
                Ok(()) => removed += 1,
                // It has ended by itself.
                Err(::object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.place.classify(error)),
            }
        }
        Ok(removed)
    }

    /// Asks the bucket something that is answered in XML.
    async fn ask<T: DeserializeOwned>(&self, query: &[(&str, &str)]) -> Result<T, DatastoreError> {
        let call = Call { method: Method::GET, key: None, query, headers: HeaderMap::new(), body: None };
        // A page that breaks off is asked for again.
        let mut tries = 0;
        let page = loop {
            match self.collect(self.send(&call).await?).await {
                Err(error) if error.is_transient() && tries < MAX_BROKEN => tries += 1,
                page => break page?,
            }
        };
        quick_xml::de::from_reader(&*page).map_err(|error| self.place.classify(error))
    }

    async fn collect(&self, answer: HttpResponse) -> Result<Bytes, DatastoreError> {
        let mut chunks = answer.into_body().bytes_stream();
        let mut page = Vec::new();
        while let Some(chunk) = chunks.next().await {
            page.extend_from_slice(&chunk.map_err(|error| self.place.classify(error))?);
            if page.len() > MAX_PAGE {
                return Err(self.place.classify(Overlong));
            }
        }
        Ok(page.into())
    }
}
