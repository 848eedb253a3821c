//! Buckets of Google Cloud Storage, over its XML API.
//!
//! As with S3, listings and unfinished uploads are asked for with requests of our own: a listing passes over names that
//! `object_store` fails on.

use std::{fmt, sync::Arc};

use ::object_store::{
    Attribute, Attributes, ObjectStore, ObjectStoreExt as _,
    client::HttpRequest,
    gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder},
    path::Path,
    signer::{SignedUrlOptions, Signer as _},
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::{HeaderValue, Method, header};
use tokio_util::task::TaskTracker;
use url::Url;

use super::{
    cloud::{
        self, Invalid, Wire,
        link::Decision,
        list, probe,
        request::{Call, Signs},
        transport::Source,
    },
    dialect,
    object_store::{
        ObjectStoreDatastore,
        error::{Place, classify},
        extension::{Extension, Tried},
    },
};
use crate::{
    datastore::{BlobStat, BlobWriter, DatastoreError, LinkRequest},
    types::{BlobKey, Timestamp},
};

pub use super::cloud::{Links, Network, Presign, Secret};

/// A bucket of Google Cloud Storage. [`GcsOptions::new`] fills in what most of them need.
///
/// Objects lie at the root of the bucket, each under its [`BlobKey`] as it is. Unfinished uploads
/// do not expire by themselves; [`remove_unfinished`](crate::datastore::Datastore::remove_unfinished) aborts them.
#[derive(Clone, Debug)]
pub struct GcsOptions {
    /// The bucket, which must exist.
    pub bucket: String,
    /// The key of a service account, as Google hands it out: the text of its JSON file. The account must be allowed to
    /// read, create, delete and list objects and multipart uploads: the role `roles/storage.objectUser` will do.
    pub service_account_key: Secret,
    /// URL in place of `https://storage.googleapis.com`: an emulator, or a private endpoint. Signatures of links are for
    /// that name whatever this says, for the library that makes them knows no other.
    pub endpoint: Option<String>,
    /// Storage class of new objects; the bucket's own where `None`.
    pub storage_class: Option<String>,
    /// Length of a part in bytes, also the length up to which an object is buffered and put whole. Google demands 5 MiB.
    pub part_bytes: usize,
    /// Parts that one upload has on their way at a time. It holds one more in memory.
    pub parts_in_flight: usize,
    /// Addresses of objects for clients. None by default. An `endpoint` of presigned links is refused.
    pub links: Links,
    /// Patience and trust.
    pub network: Network,
}

impl GcsOptions {
    /// A bucket with multipart uploads and no links; the rest can be set afterwards.
    pub fn new(bucket: impl Into<String>, service_account_key: Secret) -> Self {
        Self {
            bucket: bucket.into(),
            service_account_key,
            endpoint: None,
            storage_class: None,
            part_bytes: ObjectStoreDatastore::REMOTE_PART_BYTES,
            parts_in_flight: 2,
            links: Links::default(),
            network: Network::default(),
        }
    }
}

/// Where Google is.
const ENDPOINT: &str = "https://storage.googleapis.com";

/// What a bucket can do beyond `ObjectStore`.
struct Gcs {
    store: Arc<GoogleCloudStorage>,
    wire: Wire,
    bucket_url: String,
    storage_class: Option<String>,
    links: Links,
}

impl ObjectStoreDatastore {
    /// Keeps objects in a bucket of Google Cloud Storage. Nothing is asked of it before the first call; [`Self::probe`]
    /// tries it.
    ///
    /// Errors: [`DatastoreError::Other`] for options that make no sense.
    pub fn gcs(options: GcsOptions) -> Result<Self, DatastoreError> {
        let (part_bytes, parts_in_flight) = (options.part_bytes, options.parts_in_flight);
        let gcs = Gcs::new(options).map_err(classify)?;
        let this = Self::extended(Arc::clone(&gcs.store) as Arc<dyn ObjectStore>, Arc::new(gcs));
        Ok(this.with_part_bytes(part_bytes).with_parts_in_flight(parts_in_flight))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("service_account_key (not shown) is not the JSON of a service account's key")]
struct NoKey;

impl Gcs {
    fn new(options: GcsOptions) -> Result<Self, Source> {
        let GcsOptions { bucket, service_account_key, endpoint, storage_class, links, network, .. } = options;
        cloud::check_name(&bucket, "bucket")?;
        links.check()?;
        if let Some(endpoint) = links.endpoint() {
            let (option, reason) = ("presign.endpoint", "cannot be signed for: Google's links have one name");
            return Err(Invalid { option, value: endpoint.to_owned(), reason }.into());
        }
        let wire = Wire::new(&format!("bucket {bucket} of Google Cloud Storage"), network)?;
        let endpoint = cloud::parse(endpoint.as_deref().unwrap_or(ENDPOINT), "endpoint")?;
        let endpoint = endpoint.as_str().trim_end_matches('/');
        let store = GoogleCloudStorageBuilder::new()
            .with_http_connector(wire.transport.clone())
            .with_base_url(endpoint)
            .with_bucket_name(&bucket)
            .with_service_account_key(service_account_key.reveal())
            .with_retry(wire.retry_config())
            .build()
            // What it says about the key may quote it.
            .map_err(|_| NoKey)?;
        let bucket_url = format!("{endpoint}/{bucket}");
        Ok(Self { store: Arc::new(store), wire, bucket_url, storage_class, links })
    }

    fn failed(&self, error: impl Into<Source>) -> DatastoreError {
        self.wire.place.classify(error)
    }
}

#[async_trait]
impl Extension for Gcs {
    fn place(&self) -> Place {
        self.wire.place.clone()
    }

    fn attributes(&self) -> Attributes {
        let class = self.storage_class.clone().map(|class| (Attribute::StorageClass, class));
        class.into_iter().collect()
    }

    fn writer(self: Arc<Self>, _: &BlobKey, _: &TaskTracker) -> Option<Box<dyn BlobWriter>> {
        None
    }

    fn list(
        self: Arc<Self>,
        prefix: Option<&BlobKey>,
    ) -> BoxStream<'static, Result<BlobStat, DatastoreError>> {
        list::objects(&self, prefix, |gcs, prefix, token| Box::pin(dialect::page(gcs, prefix, token)))
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), DatastoreError> {
        match self.store.delete(&Path::from(key.as_str())).await {
            Ok(()) | Err(::object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn link(&self, key: &BlobKey, request: &LinkRequest<'_>) -> Result<Option<Url>, DatastoreError> {
        let ttl = match self.links.decide(key, request).map_err(|error| self.failed(error))? {
            Decision::None => return Ok(None),
            Decision::Public(url) => return Ok(Some(url)),
            Decision::Sign(ttl) => ttl,
        };
        let (path, options) = (Path::from(key.as_str()), dialect::answered_as(request));
        let url = self.store.signed_url_opts(Method::GET, &path, ttl, &options).await;
        url.map(Some).map_err(|error| self.failed(error))
    }

    async fn remove_unfinished(&self, before: Timestamp) -> Result<u64, DatastoreError> {
        dialect::abort_uploads(self, &*self.store, before).await
    }

    async fn try_links(&self, key: &BlobKey, expected: &Bytes) -> Vec<Tried> {
        let options = SignedUrlOptions::new().with_query([("response-content-type", probe::CONTENT_TYPE)]);
        let path = Path::from(key.as_str());
        let signed = self.store.signed_url_opts(Method::GET, &path, probe::TTL, &options).await;
        probe::try_links(&self.wire, signed.map_err(Into::into), "X-Goog-Signature", expected).await
    }
}

#[async_trait]
impl Signs for Gcs {
    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn bucket_url(&self) -> &str {
        &self.bucket_url
    }

    async fn sign(&self, _: &Call<'_>, request: &mut HttpRequest) -> Result<(), Source> {
        let credential = self.store.credentials().get_credential().await?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", credential.bearer))?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        Ok(())
    }
}

impl fmt::Debug for Gcs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gcs").field("bucket_url", &self.bucket_url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that asks for no tokens, as emulators want it.
    const KEY: &str =
        r#"{"private_key": "hunter2", "private_key_id": "", "client_email": "", "disable_oauth": true}"#;

    fn options() -> GcsOptions {
        GcsOptions::new("media", Secret::new(KEY))
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(ObjectStoreDatastore::gcs(options()).is_ok());
        for bucket in ["", "a/b", "a?b", ".."] {
            let options = GcsOptions { bucket: bucket.to_owned(), ..options() };
            assert!(ObjectStoreDatastore::gcs(options).is_err(), "{bucket}");
        }
        for endpoint in ["", "storage.example", "ftp://h", "https://user:secret@h"] {
            let options = GcsOptions { endpoint: Some(endpoint.to_owned()), ..options() };
            assert!(ObjectStoreDatastore::gcs(options).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused_and_not_shown() {
        let broken = [KEY.replace("disable_oauth", "other"), "hunter2".to_owned(), "{}".to_owned()];
        for key in broken {
            let options = GcsOptions::new("media", Secret::new(key));
            let error = ObjectStoreDatastore::gcs(options).unwrap_err();
            let text = format!("{error:?} {}", super::super::object_store::probe::explain(&error));
            assert!(text.contains("service_account_key") && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let text = format!("{:?} {:?}", options(), ObjectStoreDatastore::gcs(options()).unwrap());
        assert!(!text.contains("hunter2"), "{text}");
    }
}
