//! The datastore contract over Azurite, Microsoft's emulator of Azure Blob Storage, which checks signatures.
//!
//! `tests/run` starts it and runs these: `MMR_TEST_AZURE` is the URL of its account.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use mmr_core::{
    backend::{
        azure::{AzureOptions, Presign, Secret},
        object_store::{ObjectStoreDatastore, Outcome},
    },
    datastore::{Datastore, DatastoreError, LinkRequest},
    testing::{datastore_suite, datastore_suite::DatastoreUnderTest},
    types::BlobKey,
};
use object_store::{
    azure::{AzureAccessKey, AzureAuthorizer, AzureCredential},
    client::HttpRequestBody,
};
use url::Url;

/// The account that every Azurite has, and its well-known key.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn endpoint() -> String {
    #[expect(clippy::disallowed_methods, reason = "tests/run tells where the emulator is")]
    std::env::var("MMR_TEST_AZURE")
        .expect("MMR_TEST_AZURE is the URL of the emulator's account; tests/run sets it")
}

/// A container of its own for each test.
struct InContainer {
    container: String,
    datastore: ObjectStoreDatastore,
}

impl InContainer {
    async fn new(change: impl FnOnce(&mut AzureOptions)) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let container = format!("c{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut options = AzureOptions::new(ACCOUNT, &container, Secret::new(KEY));
        options.endpoint = Some(endpoint());
        options.network.max_retries = 2;
        change(&mut options);
        let datastore = ObjectStoreDatastore::azure(options).unwrap();
        let this = Self { container, datastore };
        let made = this.ask(Method::PUT, "?restype=container", HeaderMap::new(), "").await;
        assert_eq!(made.status(), StatusCode::CREATED);
        this
    }

    /// Whatever else the emulator is to do.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: &'static str,
    ) -> Response<Incoming> {
        let url = format!("{}/{}{path}", endpoint(), self.container);
        let mut request = Request::builder().method(method).uri(url).body(HttpRequestBody::empty()).unwrap();
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
        let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(KEY).unwrap());
        AzureAuthorizer::new(&credential, ACCOUNT).try_authorize(&mut request).unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        client.request(request.map(|_| Full::<Bytes>::from(body))).await.unwrap()
    }

    async fn put(&self, bytes: &Bytes) -> BlobKey {
        let key = BlobKey::generate();
        let mut writer = self.datastore.create(&key).await.unwrap();
        writer.write(bytes.clone()).await.unwrap();
        writer.commit().await.unwrap();
        key
    }
}

#[async_trait]
impl DatastoreUnderTest for InContainer {
    fn datastore(&self) -> &dyn Datastore {
        &self.datastore
    }
}

mod in_a_container {
    use super::*;
    datastore_suite!(ignore = "needs the emulators that tests/run starts", InContainer::new(|_| {}).await);
}

mod in_a_container_with_small_blocks {
    use super::*;
    datastore_suite!(
        ignore = "needs the emulators that tests/run starts",
        InContainer::new(|options| options.part_bytes = 1 << 20).await
    );
}

fn body(len: usize) -> Bytes {
    (0..=250).cycle().take(len).collect::<Vec<u8>>().into()
}

#[tokio::test]
#[ignore = "needs the emulators that tests/run starts"]
async fn the_probe_passes_and_leaves_nothing() {
    let store = InContainer::new(|_| {}).await;
    let checks = store.datastore.probe().await;
    assert!(checks.iter().all(|check| check.outcome == Outcome::Passed), "{checks:#?}");
    assert!(store.datastore.list(None).try_collect::<Vec<_>>().await.unwrap().is_empty());
}

#[tokio::test]
#[ignore = "needs the emulators that tests/run starts"]
async fn a_link_is_answered_with_what_was_asked_for() {
    let max_ttl = Duration::from_hours(1);
    let store = InContainer::new(|options| {
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
    let client = Client::builder(TokioExecutor::new()).build_http();
    let get = |url: &str| client.request(Request::get(url).body(Full::<Bytes>::default()).unwrap());
    let answer = get(url.as_str()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[header::CONTENT_TYPE], request.content_type);
    assert_eq!(answer.headers()[header::CONTENT_DISPOSITION], request.content_disposition.unwrap());
    assert!(answer.into_body().collect().await.unwrap().to_bytes() == bytes);
    let other = url.as_str().replace("inline", "attachment");
    assert_eq!(get(&other).await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
#[ignore = "needs the emulators that tests/run starts"]
async fn a_link_ends() {
    let store = InContainer::new(|options| {
        options.links.presign = Some(Presign { min_bytes: 0, max_ttl: Duration::ZERO, endpoint: None });
    })
    .await;
    let key = store.put(&body(10)).await;
    let ttl = Duration::from_mins(5);
    let request = LinkRequest { ttl, content_type: "image/png", content_disposition: None, len: 10 };
    let url = store.datastore.link(&key, &request).await.unwrap().unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let answer = client.request(Request::get(url.as_str()).body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
#[ignore = "needs the emulators that tests/run starts"]
async fn a_wrong_key_is_denied() {
    let wrong = Secret::new(KEY.replace("Eby8", "AAAA"));
    let store = InContainer::new(|options| options.access_key = wrong).await;
    let error = store.datastore.read(&BlobKey::generate(), None).await.unwrap_err();
    assert!(matches!(error, DatastoreError::Denied(_)), "{error:?}");
    for error in [
        store.datastore.list(None).try_collect::<Vec<_>>().await.unwrap_err(),
        store.datastore.delete(&BlobKey::generate()).await.unwrap_err(),
    ] {
        assert!(matches!(error, DatastoreError::Denied(_)), "{error:?}");
    }
}

#[tokio::test]
#[ignore = "needs the emulators that tests/run starts"]
async fn a_container_that_is_gone_does_not_mean_that_every_object_is() {
    let store = InContainer::new(|options| options.container = "nowhere".to_owned()).await;
    let key = BlobKey::generate();
    for error in [
        store.datastore.read(&key, None).await.unwrap_err(),
        store.datastore.delete(&key).await.unwrap_err(),
        store.datastore.list(None).try_collect::<Vec<_>>().await.unwrap_err(),
    ] {
        assert!(matches!(error, DatastoreError::Other(_)), "{error:?}");
    }
}

#[tokio::test]
#[ignore = "needs the emulators that tests/run starts"]
async fn what_is_no_object_of_ours_is_not_listed() {
    let store = InContainer::new(|_| {}).await;
    let key = store.put(&body(10)).await;
    for name in ["/with%20space", "/caf%C3%A9", "/a/b%23c", "/a//b"] {
        let headers = HeaderMap::from_iter([(
            header::HeaderName::from_static("x-ms-blob-type"),
            header::HeaderValue::from_static("BlockBlob"),
        )]);
        assert_eq!(store.ask(Method::PUT, name, headers, "x").await.status(), StatusCode::CREATED, "{name}");
    }
    let listed: Vec<_> = store.datastore.list(None).try_collect().await.unwrap();
    assert_eq!(listed.into_iter().map(|stat| stat.key).collect::<Vec<_>>(), [key]);
}

#[tokio::test]
#[ignore = "needs the emulators that tests/run starts"]
async fn an_object_with_snapshots_is_deleted_with_them() {
    let store = InContainer::new(|_| {}).await;
    let key = store.put(&body(10)).await;
    let snapshot = store.ask(Method::PUT, &format!("/{key}?comp=snapshot"), HeaderMap::new(), "").await;
    assert_eq!(snapshot.status(), StatusCode::CREATED);
    store.datastore.delete(&key).await.unwrap();
    let error = store.datastore.read(&key, None).await.unwrap_err();
    assert!(matches!(error, DatastoreError::NotFound), "{error:?}");
}
