//! The datastore contract over Google Cloud Storage as we read its documents, and what only such a bucket can show.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{fs, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{Method, Request, header, request::Parts};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use mmr_core::{
    backend::{
        gcs::{GcsOptions, Presign, Secret},
        object_store::{ObjectStoreDatastore, Outcome},
    },
    clock::{Clock as _, SystemClock},
    datastore::{BlobWriter, Datastore, DatastoreError, LinkRequest},
    testing::{datastore_suite, datastore_suite::DatastoreUnderTest},
    types::BlobKey,
};
use mmr_test_support::{
    gcs::{GcsServer, KEY},
    s3::Fault,
};
use url::Url;

/// A bucket that vanishes with the test.
struct InBucket {
    server: GcsServer,
    bucket: String,
    datastore: ObjectStoreDatastore,
}

impl InBucket {
    async fn new(change: impl FnOnce(&mut GcsOptions)) -> Self {
        let server = GcsServer::start().await;
        let bucket = server.s3.bucket();
        let mut options = server.options(&bucket);
        change(&mut options);
        let datastore = ObjectStoreDatastore::gcs(options).unwrap();
        Self { server, bucket, datastore }
    }

    async fn begin(&self, key: &BlobKey, bytes: &Bytes) -> Box<dyn BlobWriter> {
        let mut writer = self.datastore.create(key).await.unwrap();
        writer.write(bytes.clone()).await.unwrap();
        writer
    }

    async fn put(&self, bytes: &Bytes) -> BlobKey {
        let key = BlobKey::generate();
        self.begin(&key, bytes).await.commit().await.unwrap();
        key
    }

    async fn get(&self, key: &BlobKey) -> Bytes {
        let read = self.datastore.read(key, None).await.unwrap();
        read.body.collect_up_to(u64::MAX).await.unwrap()
    }
}

#[async_trait]
impl DatastoreUnderTest for InBucket {
    fn datastore(&self) -> &dyn Datastore {
        &self.datastore
    }

    async fn truncate(&self, key: &BlobKey, len: u64) -> bool {
        let path = self.server.s3.file(&self.bucket, key.as_str());
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
        true
    }

    async fn unfinished(&self) -> Option<u64> {
        Some(self.server.s3.unfinished() as u64)
    }
}

mod in_a_bucket_of_google {
    use super::*;
    datastore_suite!(InBucket::new(|_| {}).await);
}

const PART: usize = 5 << 20;

fn body(len: usize) -> Bytes {
    (0..=250).cycle().take(len).collect::<Vec<u8>>().into()
}

#[tokio::test]
async fn the_probe_passes_and_leaves_nothing() {
    let store = InBucket::new(|_| {}).await;
    let checks = store.datastore.probe().await;
    assert!(checks.iter().all(|check| check.outcome == Outcome::Passed), "{checks:#?}");
    assert!(store.datastore.list(None).try_collect::<Vec<_>>().await.unwrap().is_empty());
    assert_eq!(store.server.s3.unfinished(), 0);
}

#[tokio::test]
async fn a_link_is_answered_with_what_was_asked_for() {
    let max_ttl = Duration::from_hours(1);
    let store = InBucket::new(|options| {
        options.links.presign = Some(Presign { min_bytes: 1000, max_ttl, endpoint: None });
    })
    .await;
    let bytes = body(1000);
    let key = store.put(&bytes).await;
    let request = LinkRequest {
        ttl: Duration::from_mins(5),
        content_type: "image/x-test; a=b",
        content_disposition: Some("inline; filename*=utf-8''caf%C3%A9.png"),
        len: 1000,
    };
    let url: Url = store.datastore.link(&key, &request).await.unwrap().unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.request(Request::get(url.as_str()).body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!(answer.headers()[header::CONTENT_TYPE], request.content_type);
    assert_eq!(answer.headers()[header::CONTENT_DISPOSITION], request.content_disposition.unwrap());
    assert!(answer.into_body().collect().await.unwrap().to_bytes() == bytes);
    let short = LinkRequest { len: 999, ..request };
    assert!(store.datastore.link(&key, &short).await.unwrap().is_none());
}

#[tokio::test]
async fn the_key_of_another_account_is_denied() {
    let other = KEY.replace("mmr@mmr-tests", "somebody@mmr-tests");
    let store = InBucket::new(|options| options.service_account_key = Secret::new(other)).await;
    let error = store.datastore.read(&BlobKey::generate(), None).await.unwrap_err();
    assert!(matches!(error, DatastoreError::Denied(_)), "{error:?}");
    let error = store.datastore.list(None).try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(error, DatastoreError::Denied(_)), "{error:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_goes_on_by_range() {
    let store = InBucket::new(|_| {}).await;
    let bytes = body(1 << 20);
    let key = store.put(&bytes).await;
    let mut faults = 2;
    store.server.s3.misbehave(move |parts: &Parts| {
        let breaks = parts.method == Method::GET && faults > 0;
        faults -= i32::from(breaks);
        breaks.then_some(Fault::CutAfter(300_000))
    });
    assert!(store.get(&key).await == bytes);
}

#[tokio::test]
async fn abandoned_uploads_are_removed_and_young_ones_are_not() {
    let store = InBucket::new(|options| options.part_bytes = PART).await;
    let mut writers = vec![];
    for _ in 0..3 {
        writers.push(store.begin(&BlobKey::generate(), &body(2 * PART + 1)).await);
    }
    store.server.s3.age_uploads(Duration::from_hours(2));
    let (young, bytes) = (BlobKey::generate(), body(2 * PART + 1));
    let writer = store.begin(&young, &bytes).await;
    let before = SystemClock.now().minus(Duration::from_hours(1));
    assert_eq!(store.datastore.remove_unfinished(before).await.unwrap(), 3);
    writer.commit().await.unwrap();
    assert!(store.get(&young).await == bytes);
}

#[tokio::test]
async fn what_is_no_object_of_ours_is_not_listed() {
    let store = InBucket::new(|_| {}).await;
    let key = store.put(&body(10)).await;
    for name in ["with space", "café", "a/b#c"] {
        let path = store.server.s3.file(&store.bucket, name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    let listed: Vec<_> = store.datastore.list(None).try_collect().await.unwrap();
    assert_eq!(listed.into_iter().map(|stat| stat.key).collect::<Vec<_>>(), [key]);
}
