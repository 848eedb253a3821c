//! The datastore contract over S3, and what only a bucket can show.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fmt::Write as _,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use mmr_core::{
    backend::{
        object_store::{ObjectStoreDatastore, Outcome},
        s3::{CustomerKey, Presign, S3Encryption, S3Options, Secret},
    },
    clock::{Clock as _, SystemClock},
    datastore::{BlobWriter, Datastore, DatastoreError, LinkRequest},
    testing::{datastore_suite, datastore_suite::DatastoreUnderTest},
    types::BlobKey,
};
use mmr_test_support::s3::{ACCESS_KEY_ID, Fault, S3Server, SECRET_ACCESS_KEY};
use url::Url;

/// A bucket that vanishes with the test.
struct InBucket {
    server: S3Server,
    bucket: String,
    datastore: ObjectStoreDatastore,
}

impl InBucket {
    async fn new(change: impl FnOnce(&mut S3Options)) -> Self {
        Self::at(S3Server::start().await, change)
    }

    fn at(server: S3Server, change: impl FnOnce(&mut S3Options)) -> Self {
        let bucket = server.bucket();
        let mut options = server.options(&bucket);
        change(&mut options);
        let datastore = ObjectStoreDatastore::s3(options).unwrap();
        Self { server, bucket, datastore }
    }
}

#[async_trait]
impl DatastoreUnderTest for InBucket {
    fn datastore(&self) -> &dyn Datastore {
        &self.datastore
    }

    async fn truncate(&self, key: &BlobKey, len: u64) -> bool {
        let path = self.server.file(&self.bucket, key.as_str());
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
        true
    }

    async fn unfinished(&self) -> Option<u64> {
        Some(self.server.unfinished() as u64)
    }
}

mod in_a_bucket {
    use super::*;
    datastore_suite!(InBucket::new(|_| {}).await);
}

mod in_a_bucket_over_tls {
    use super::*;
    datastore_suite!(InBucket::at(S3Server::start_tls().await, |_| {}));
}

mod in_a_bucket_with_small_parts {
    use super::*;
    datastore_suite!(InBucket::new(|options| options.upload.part_bytes = 5 << 20).await);
}

mod in_a_bucket_without_multipart_uploads {
    use super::*;
    datastore_suite!(InBucket::new(|options| options.upload.multipart = false).await);
}

const PART: usize = 5 << 20;

/// Little patience, for servers that fall silent.
fn impatient(options: &mut S3Options) {
    options.network.stall_timeout = Duration::from_millis(200);
    options.network.max_retries = 0;
}

fn presigned(options: &mut S3Options) {
    options.links.presign =
        Some(Presign { min_bytes: 1000, max_ttl: Duration::from_hours(1), endpoint: None });
}

fn body(len: usize) -> Bytes {
    (0..=250).cycle().take(len).collect::<Vec<u8>>().into()
}

fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

impl InBucket {
    async fn begin(&self, key: &BlobKey, bytes: &Bytes) -> Box<dyn BlobWriter> {
        let mut writer = self.datastore.create(key).await.unwrap();
        for chunk in bytes.chunks(1 << 20) {
            writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        writer
    }

    async fn try_put(&self, bytes: &Bytes) -> Result<BlobKey, DatastoreError> {
        let key = BlobKey::generate();
        let mut writer = self.datastore.create(&key).await?;
        for chunk in bytes.chunks(1 << 20) {
            writer.write(Bytes::copy_from_slice(chunk)).await?;
        }
        writer.commit().await.map(|()| key)
    }

    async fn put(&self, bytes: &Bytes) -> BlobKey {
        self.try_put(bytes).await.unwrap()
    }

    async fn get(&self, key: &BlobKey) -> Result<Bytes, Box<dyn std::error::Error>> {
        let read = self.datastore.read(key, None).await?;
        Ok(read.body.of_length(read.len).collect_up_to(read.len).await?)
    }

    /// Misbehaves at the first `times` requests that `matches` picks out.
    fn fail(
        &self,
        times: usize,
        fault: Fault,
        matches: impl Fn(&Parts) -> bool + Send + 'static,
    ) -> Arc<AtomicUsize> {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        self.server.misbehave(move |parts| {
            (matches(parts) && count.fetch_add(1, Ordering::SeqCst) < times).then(|| fault.clone())
        });
        seen
    }
}

fn gets(parts: &Parts) -> bool {
    parts.method == Method::GET
}

fn has_query(parts: &Parts, text: &str) -> bool {
    parts.uri.query().is_some_and(|query| query.contains(text))
}

async fn fetch(url: &Url) -> Response<Incoming> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    client.request(Request::get(url.as_str()).body(Empty::new()).unwrap()).await.unwrap()
}

const LINK: LinkRequest<'static> = LinkRequest {
    ttl: Duration::from_mins(1),
    content_type: "image/png",
    content_disposition: Some("inline; filename*=utf-8''caf%C3%A9%20%26%20co.png"),
    len: 2000,
};

#[tokio::test]
async fn a_presigned_link_answers_anybody_with_the_type_and_disposition_asked_for() {
    let store = InBucket::new(presigned).await;
    let key = store.put(&body(2000)).await;
    let url = store.datastore.link(&key, &LINK).await.unwrap().unwrap();
    let answer = fetch(&url).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[header::CONTENT_TYPE], LINK.content_type);
    assert_eq!(answer.headers()[header::CONTENT_DISPOSITION], LINK.content_disposition.unwrap());
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), body(2000));
}

#[tokio::test]
async fn a_presigned_link_to_another_object_or_of_another_type_is_refused() {
    let store = InBucket::new(presigned).await;
    let (key, other) = (store.put(&body(2000)).await, store.put(&body(2001)).await);
    let url = store.datastore.link(&key, &LINK).await.unwrap().unwrap();
    for forged in [
        url.as_str().replace(key.as_str(), other.as_str()),
        url.as_str().replace("image%2Fpng", "text%2Fhtml"),
        url.as_str().replace("X-Amz-Expires=60", "X-Amz-Expires=6000"),
    ] {
        assert_ne!(forged, url.as_str());
        assert_eq!(fetch(&Url::parse(&forged).unwrap()).await.status(), StatusCode::FORBIDDEN, "{forged}");
    }
}

#[tokio::test]
async fn a_presigned_link_ends() {
    let store = InBucket::new(presigned).await;
    let key = store.put(&body(2000)).await;
    let request = LinkRequest { ttl: Duration::from_secs(1), ..LINK };
    let url = store.datastore.link(&key, &request).await.unwrap().unwrap();
    while fetch(&url).await.status() == StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fetch(&url).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn links_are_made_only_where_they_are_wanted() {
    let key = BlobKey::parse("ab/cd").unwrap();
    let link = async |change: fn(&mut S3Options), request: LinkRequest<'static>| {
        let store = InBucket::new(change).await;
        store.datastore.link(&key, &request).await.unwrap().map(String::from)
    };
    assert_eq!(link(|_| {}, LINK).await, None);
    assert_eq!(link(presigned, LinkRequest { len: 999, ..LINK }).await, None);
    let customer_key = |options: &mut S3Options| {
        presigned(options);
        options.encryption = S3Encryption::Customer(CustomerKey::new([7; 32]));
    };
    assert_eq!(link(customer_key, LINK).await, None);
    let public = |options: &mut S3Options| {
        options.links.public_base_url = Some("https://cdn.example.org/m-".to_owned());
    };
    assert_eq!(link(public, LINK).await.unwrap(), "https://cdn.example.org/m-ab/cd");
    let elsewhere = |options: &mut S3Options| {
        presigned(options);
        let presign = options.links.presign.as_mut().unwrap();
        presign.endpoint = Some("https://media.example.org".to_owned());
        presign.max_ttl = Duration::from_secs(30);
    };
    let url = link(elsewhere, LINK).await.unwrap();
    assert!(url.starts_with("https://media.example.org/bucket-0/ab/cd?"), "{url}");
    assert!(url.contains("X-Amz-Expires=30&"), "{url}");
}

#[tokio::test]
async fn encryption_and_storage_class_are_asked_for_with_every_way_to_write() {
    for (multipart, len) in [(true, 1000), (true, PART + 1), (false, 1000), (false, PART + 1)] {
        let store = InBucket::new(|options| {
            options.upload.part_bytes = PART;
            options.upload.multipart = multipart;
            options.encryption = S3Encryption::Kms { key_id: "key-1".to_owned() };
            options.storage_class = Some("REDUCED_REDUNDANCY".to_owned());
        })
        .await;
        store.put(&body(len)).await;
        let requests = store.server.requests();
        let create = requests.first().unwrap();
        assert_eq!(create.headers["x-amz-server-side-encryption"], "aws:kms");
        assert_eq!(create.headers["x-amz-server-side-encryption-aws-kms-key-id"], "key-1");
        assert_eq!(create.headers["x-amz-storage-class"], "REDUCED_REDUNDANCY");
    }
}

#[tokio::test]
async fn a_customers_key_goes_with_every_write_and_read() {
    for multipart in [true, false] {
        let store = InBucket::new(|options| {
            options.upload.part_bytes = PART;
            options.upload.multipart = multipart;
            options.encryption = S3Encryption::Customer(CustomerKey::new([7; 32]));
        })
        .await;
        let key = store.put(&body(PART + 1)).await;
        store.get(&key).await.unwrap();
        for request in store.server.requests() {
            // A completion needs none.
            if request.method != Method::POST || has_query(&request, "uploads") {
                let header =
                    |what| request.headers.get(format!("x-amz-server-side-encryption-customer-{what}"));
                assert_eq!(header("algorithm").unwrap(), "AES256", "{request:?}");
                assert_eq!(header("key").unwrap(), "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
                assert_eq!(header("key-md5").unwrap(), "y4HAEFCYWuvAXWFTtA1Qpg==", "{request:?}");
            }
        }
    }
}

#[tokio::test]
async fn wrong_credentials_are_denied_without_being_named() {
    for (id, secret) in [(ACCESS_KEY_ID, "hunter2"), ("AKNOBODY", SECRET_ACCESS_KEY)] {
        let store = InBucket::new(|options| {
            options.access_key_id = id.to_owned();
            options.secret_access_key = Secret::new(secret);
        })
        .await;
        let key = BlobKey::generate();
        let errors = [
            store.try_put(&body(10)).await.unwrap_err(),
            store.datastore.read(&key, None).await.unwrap_err(),
            store.datastore.read(&key, Some(0..1)).await.unwrap_err(),
            store.datastore.delete(&key).await.unwrap_err(),
            store.datastore.list(None).next().await.unwrap().unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, DatastoreError::Denied(_)), "{error:?}");
            let text = format!("{} {error:?}", explain(&error));
            assert!(text.contains("bucket-0") && text.contains("localhost"), "{text}");
            assert!(
                !text.contains("hunter2") && !text.contains(id) && !text.contains(SECRET_ACCESS_KEY),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_does_not_look_like_missing_objects() {
    let store = InBucket::new(|options| options.bucket = "elsewhere".to_owned()).await;
    store.fail(usize::MAX, Fault::Refuse(404, "NoSuchBucket"), |_| true);
    let error = store.datastore.read(&BlobKey::generate(), None).await.unwrap_err();
    assert!(matches!(error, DatastoreError::Other(_)), "{error:?}");
}

#[tokio::test]
async fn payloads_are_signed_unless_tls_protects_them() {
    for (server, multipart, signed) in [
        (S3Server::start().await, true, true),
        (S3Server::start().await, false, true),
        (S3Server::start_tls().await, true, false),
        (S3Server::start_tls().await, false, false),
    ] {
        let store = InBucket::at(server, |options| {
            options.upload.multipart = multipart;
            options.upload.part_bytes = PART;
        });
        let bytes = body(PART + 1);
        let key = store.put(&bytes).await;
        assert!(store.get(&key).await.unwrap() == bytes);
        for put in store.server.requests().iter().filter(|parts| parts.method == Method::PUT) {
            assert_eq!(put.headers["x-amz-content-sha256"] != "UNSIGNED-PAYLOAD", signed);
        }
    }
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_trusted() {
    let store = InBucket::at(S3Server::start_tls().await, |options| {
        options.network.ca.clear();
        options.network.max_retries = 0;
    });
    let error = store.try_put(&body(10)).await.unwrap_err();
    assert!(explain(&error).contains("certificate"), "{}", explain(&error));
    assert!(store.server.requests().is_empty());
}

#[tokio::test]
async fn a_full_store_is_full() {
    let store = InBucket::new(|_| {}).await;
    store.fail(usize::MAX, Fault::Refuse(507, "XMinioStorageFull"), |_| true);
    let error = store.try_put(&body(10)).await.unwrap_err();
    assert!(matches!(error, DatastoreError::Full(_)), "{error:?}");
}

#[tokio::test]
async fn a_store_that_nobody_listens_at_is_unavailable() {
    let store = InBucket::new(|options| {
        options.endpoint = "127.0.0.1:1".to_owned();
        options.network.max_retries = 0;
    })
    .await;
    let error = store.datastore.read(&BlobKey::generate(), None).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_body_that_stalls_ends_in_an_error() {
    let store = InBucket::new(impatient).await;
    let bytes = body(1 << 20);
    let key = store.put(&bytes).await;
    let mut served = 0;
    store.server.misbehave(move |parts| {
        served += usize::from(gets(parts));
        gets(parts).then_some(Fault::StallAfter(if served == 1 { 300_000 } else { 0 }))
    });
    let error = store.get(&key).await.map(|bytes| bytes.len()).unwrap_err();
    assert!(explain(&*error).contains("nothing moved"), "{}", explain(&*error));
}

#[tokio::test]
async fn an_answer_that_never_comes_is_not_waited_for() {
    let store = InBucket::new(impatient).await;
    store.fail(usize::MAX, Fault::Hang, |_| true);
    for error in [
        store.try_put(&body(10)).await.unwrap_err(),
        store.datastore.read(&BlobKey::generate(), None).await.unwrap_err(),
        store.datastore.delete(&BlobKey::generate()).await.unwrap_err(),
        store.datastore.list(None).next().await.unwrap().unwrap_err(),
    ] {
        assert!(error.is_transient(), "{error:?}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_goes_on_by_range() {
    for fault in [Fault::CutAfter(300_000), Fault::StallAfter(300_000)] {
        let store = InBucket::new(impatient).await;
        let bytes = body(1 << 20);
        let key = store.put(&bytes).await;
        store.fail(2, fault, gets);
        assert!(store.get(&key).await.unwrap() == bytes);
        let requests = store.server.requests().into_iter().filter(gets);
        let starts = requests.map(|parts| {
            let range = parts.headers.get(header::RANGE)?.to_str().ok()?.to_owned();
            let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
            (end == "1048575").then(|| start.parse::<u64>().ok())?
        });
        let starts: Vec<_> = starts.collect();
        assert_eq!(starts.len(), 3);
        assert!(starts.is_sorted() && starts[0].is_none() && starts[1] > Some(0), "{starts:?}");
    }
}

#[tokio::test]
async fn a_body_that_always_breaks_off_ends_in_an_error() {
    let store = InBucket::new(impatient).await;
    let key = store.put(&body(1 << 20)).await;
    let seen = store.fail(usize::MAX, Fault::CutAfter(0), gets);
    assert!(store.get(&key).await.is_err());
    assert!(seen.load(Ordering::SeqCst) < 10);
}

#[tokio::test]
async fn a_busy_store_is_asked_again_within_the_budget() {
    let store = InBucket::new(|_| {}).await;
    let slow_down = Fault::Refuse(503, "SlowDown");
    store.fail(2, slow_down.clone(), |_| true);
    let key = store.put(&body(10)).await;
    let seen = store.fail(usize::MAX, slow_down, |_| true);
    let error = store.datastore.read(&key, None).await.unwrap_err();
    assert!(matches!(error, DatastoreError::Unavailable(_)), "{error:?}");
    assert_eq!(seen.load(Ordering::SeqCst), 3);
    seen.store(0, Ordering::SeqCst);
    let error = store.datastore.list(None).next().await.unwrap().unwrap_err();
    assert!(matches!(error, DatastoreError::Unavailable(_)), "{error:?}");
    assert_eq!(seen.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_completion_whose_answer_is_lost_counts() {
    let store = InBucket::new(|options| options.upload.part_bytes = PART).await;
    let bytes = body(PART + 1);
    let completes = |parts: &Parts| parts.method == Method::POST && has_query(parts, "uploadId");
    store.fail(1, Fault::LoseAnswer, completes);
    let key = store.put(&bytes).await;
    assert!(store.get(&key).await.unwrap() == bytes);
}

#[tokio::test]
async fn a_dropped_writer_aborts_its_upload() {
    let store = InBucket::new(|options| options.upload.part_bytes = PART).await;
    let writer = store.begin(&BlobKey::generate(), &body(2 * PART + 1)).await;
    drop(writer);
    store.datastore.settled().await;
    assert_eq!(store.server.unfinished(), 0);
    let aborts = store.server.requests().iter().filter(|parts| parts.method == Method::DELETE).count();
    assert_eq!(aborts, 1);
}

#[tokio::test]
async fn a_part_that_fails_aborts_the_upload() {
    let store = InBucket::new(|options| options.upload.part_bytes = PART).await;
    store.fail(usize::MAX, Fault::Refuse(403, "AccessDenied"), |parts| has_query(parts, "partNumber=2"));
    let error = store.try_put(&body(4 * PART)).await.unwrap_err();
    assert!(matches!(error, DatastoreError::Denied(_)), "{error:?}");
    store.datastore.settled().await;
    assert_eq!(store.server.unfinished(), 0);
    assert!(store.datastore.list(None).try_collect::<Vec<_>>().await.unwrap().is_empty());
}

#[tokio::test]
async fn abandoned_uploads_are_removed_and_young_ones_are_not() {
    let store = InBucket::new(|options| options.upload.part_bytes = PART).await;
    let mut writers = vec![];
    for _ in 0..5 {
        writers.push(store.begin(&BlobKey::generate(), &body(2 * PART + 1)).await);
    }
    store.server.age_uploads(Duration::from_hours(2));
    let (young, bytes) = (BlobKey::generate(), body(2 * PART + 1));
    let writer = store.begin(&young, &bytes).await;
    let before = SystemClock.now().minus(Duration::from_hours(1));
    assert_eq!(store.datastore.remove_unfinished(before).await.unwrap(), 5);
    assert_eq!(store.server.unfinished(), 1);
    writer.commit().await.unwrap();
    assert!(store.get(&young).await.unwrap() == bytes);
}

#[tokio::test]
async fn what_is_no_object_of_ours_is_not_listed() {
    let store = InBucket::new(|_| {}).await;
    let key = store.put(&body(10)).await;
    for name in ["with space", "café", "a/b#c"] {
        let path = store.server.file(&store.bucket, name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    let listed: Vec<_> = store.datastore.list(None).try_collect().await.unwrap();
    assert_eq!(listed.into_iter().map(|stat| stat.key).collect::<Vec<_>>(), [key]);
}

#[tokio::test]
async fn an_upload_has_no_more_parts_on_their_way_than_allowed() {
    let store = InBucket::new(|options| {
        options.upload.part_bytes = PART;
        options.upload.parts_in_flight = 2;
        options.network.stall_timeout = Duration::from_mins(10);
    })
    .await;
    let seen = store.fail(usize::MAX, Fault::Hang, |parts| has_query(parts, "partNumber="));
    let mut writer = store.datastore.create(&BlobKey::generate()).await.unwrap();
    // Two parts on their way, and one waiting for more to come.
    for _ in 0..3 {
        writer.write(body(PART)).await.unwrap();
    }
    while seen.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    assert!(futures_util::poll!(writer.write(body(1))).is_pending(), "a third part went its way");
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_good_store_passes_the_probe_and_is_left_empty() {
    for multipart in [true, false] {
        let store = InBucket::new(|options| options.upload.multipart = multipart).await;
        let checks = store.datastore.probe().await;
        assert!(checks.iter().all(|check| check.outcome == Outcome::Passed), "{checks:#?}");
        assert!(store.datastore.list(None).try_collect::<Vec<_>>().await.unwrap().is_empty());
        assert_eq!(store.server.unfinished(), 0);
    }
}

/// What the probe finds wrong with a store that misbehaves.
async fn wrong(store: &InBucket) -> Vec<&'static str> {
    let checks = store.datastore.probe().await;
    checks.into_iter().filter(|check| !check.is_fine()).map(|check| check.name).collect()
}

#[tokio::test]
async fn the_probe_names_what_is_wrong() {
    let store = InBucket::new(|_| {}).await;
    let root = store.server.root().to_path_buf();
    store.server.misbehave(move |parts| {
        let object = || Fault::Serve(fs::read(root.join(parts.uri.path().trim_start_matches('/'))).unwrap());
        parts.headers.contains_key(header::RANGE).then(object)
    });
    assert_eq!(wrong(&store).await, ["read a range"]);

    let root = store.server.root().to_path_buf();
    let mut links = 0;
    store.server.misbehave(move |parts| {
        let presigned = has_query(parts, "X-Amz-Signature=");
        links += usize::from(presigned);
        // The first is genuine, and is answered with its type.
        let object = || Fault::Serve(fs::read(root.join(parts.uri.path().trim_start_matches('/'))).unwrap());
        (presigned && links > 1).then(object)
    });
    assert_eq!(wrong(&store).await, ["refuse a forged link"]);

    store
        .server
        .misbehave(|parts| (parts.method == Method::POST).then_some(Fault::Refuse(501, "NotImplemented")));
    assert_eq!(wrong(&store).await, ["put an object in several parts"]);

    store
        .server
        .misbehave(|parts| (parts.method == Method::PUT).then_some(Fault::Refuse(403, "AccessDenied")));
    assert_eq!(wrong(&store).await, ["put an object"]);
}

#[tokio::test]
async fn the_probe_notes_a_store_that_overwrites_or_does_not_list_uploads() {
    let store = InBucket::new(|_| {}).await;
    store.server.misbehave(|parts| {
        if parts.headers.contains_key(header::IF_NONE_MATCH) {
            return Some(Fault::Refuse(501, "NotImplemented"));
        }
        has_query(parts, "uploads=").then_some(Fault::Refuse(501, "NotImplemented")).filter(|_| gets(parts))
    });
    let checks = store.datastore.probe().await;
    let noted: Vec<_> = checks.iter().filter(|check| matches!(check.outcome, Outcome::Noted(_))).collect();
    assert_eq!(
        noted.iter().map(|check| check.name).collect::<Vec<_>>(),
        ["list unfinished uploads", "refuse to overwrite when asked to"]
    );
    assert!(checks.iter().all(mmr_core::backend::object_store::Check::is_fine));
}
