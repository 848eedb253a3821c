//! Buckets of S3-compatible stores.
//!
//! `object_store` does what it can over our transport. Beside it, with requests that are signed here: listings, which
//! pass over names that `object_store` fails on; unfinished multipart uploads, which it cannot list; and uploads from
//! a file, which it would have to hold in memory.
//!
//! Payloads are not hashed for the signature where TLS protects them.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use ::object_store::{
    Attribute, Attributes, BackoffConfig, ObjectStore, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential},
};
use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio_util::task::TaskTracker;
use url::Url;

use self::{
    transport::{Meaning, Refusal, Transport, TransportOptions},
    whole::WholeWriter,
};
use super::object_store::{
    ObjectStoreDatastore,
    error::{Kind, Place, classify},
    extension::{Extension, Tried},
};
use crate::{
    datastore::{BlobStat, BlobWriter, DatastoreError, LinkRequest},
    types::{BlobKey, Timestamp},
};

mod link;
mod list;
mod options;
mod probe;
mod signed;
mod transport;
mod whole;

pub use self::options::{
    CustomerKey, Presign, S3Encryption, S3Links, S3Network, S3Options, S3Upload, Secret,
};

/// What a bucket can do beyond `ObjectStore`.
struct S3 {
    store: Arc<AmazonS3>,
    transport: Transport,
    upload: S3Upload,
    place: Place,
    // Makes links; not asked for anything.
    signer: Option<AmazonS3>,
    links: S3Links,
    credential: AwsCredential,
    region: String,
    // URL of the bucket without a slash at the end.
    bucket_url: String,
    sign_payload: bool,
    encryption: S3Encryption,
    storage_class: Option<String>,
    network: S3Network,
}

/// An endpoint, the name of a bucket and the like make no sense.
#[derive(Debug, thiserror::Error)]
#[error("{option} {value:?} {reason}")]
struct Invalid {
    option: &'static str,
    value: String,
    reason: &'static str,
}

impl ObjectStoreDatastore {
    /// Keeps objects in a bucket. Nothing is asked of the store before the first call; [`Self::probe`] tries it.
    ///
    /// Errors: [`DatastoreError::Other`] for options that make no sense.
    pub fn s3(options: S3Options) -> Result<Self, DatastoreError> {
        let s3 = S3::new(options).map_err(classify)?;
        let S3Upload { part_bytes, parts_in_flight, .. } = s3.upload;
        let this = Self::extended(Arc::clone(&s3.store) as Arc<dyn ObjectStore>, Arc::new(s3));
        Ok(this.with_part_bytes(part_bytes).with_parts_in_flight(parts_in_flight))
    }
}

impl S3 {
    fn new(options: S3Options) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let ca = options.network.ca.clone();
        let transport = Transport::new(&TransportOptions {
            ca,
            connect_timeout: options.network.connect_timeout,
            stall_timeout: options.network.stall_timeout,
        })?;
        let at = |option, endpoint: &str| bucket_url(&options, option, endpoint);
        let bucket_url = at("endpoint", &options.endpoint)?;
        let sign_payload = !bucket_url.starts_with("https:");
        let store = build(&options, &bucket_url, &transport)?;
        let signer = match &options.links.presign {
            Some(Presign { endpoint: Some(endpoint), .. }) => {
                let url = at("presign.endpoint", endpoint)?;
                Some(build(&options, &url, &transport)?)
            }
            Some(Presign { endpoint: None, .. }) => Some(store.clone()),
            None => None,
        };
        if let Some(base) = &options.links.public_base_url {
            parse(base, "public_base_url")?;
        }
        let place = Place::new(&format!("bucket {} at {}", options.bucket, options.endpoint), kind_of);
        Ok(Self {
            store: Arc::new(store),
            transport,
            upload: options.upload,
            place,
            signer,
            links: options.links,
            credential: AwsCredential {
                key_id: options.access_key_id,
                secret_key: options.secret_access_key.reveal().to_owned(),
                token: None,
            },
            region: options.region,
            bucket_url,
            sign_payload,
            encryption: options.encryption,
            storage_class: options.storage_class,
            network: options.network,
        })
    }
}

#[async_trait]
impl Extension for S3 {
    fn place(&self) -> Place {
        self.place.clone()
    }

    fn attributes(&self) -> Attributes {
        let class = self.storage_class.clone().map(|class| (Attribute::StorageClass, class));
        class.into_iter().collect()
    }

    fn writer(self: Arc<Self>, key: &BlobKey, tasks: &TaskTracker) -> Option<Box<dyn BlobWriter>> {
        if self.upload.multipart {
            return None;
        }
        Some(Box::new(WholeWriter::new(self, key.clone(), tasks.clone())))
    }

    fn list(
        self: Arc<Self>,
        prefix: Option<&BlobKey>,
    ) -> BoxStream<'static, Result<BlobStat, DatastoreError>> {
        self.objects(prefix)
    }

    async fn link(&self, key: &BlobKey, request: &LinkRequest<'_>) -> Result<Option<Url>, DatastoreError> {
        self.link_to(key, request).await
    }

    async fn remove_unfinished(&self, before: Timestamp) -> Result<u64, DatastoreError> {
        self.abort_uploads(before).await
    }

    async fn try_links(&self, key: &BlobKey, expected: &Bytes) -> Vec<Tried> {
        self.probe_links(key, expected).await
    }
}

/// What an error of ours or of our transport means.
fn kind_of(error: &(dyn Error + 'static)) -> Option<Kind> {
    use ::object_store::client::{HttpError, HttpErrorKind};

    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return match refusal.meaning() {
            Meaning::Denied => Some(DatastoreError::Denied),
            Meaning::Full => Some(DatastoreError::Full),
            Meaning::Unavailable => Some(DatastoreError::Unavailable),
            Meaning::Other => Some(DatastoreError::Other),
        };
    }
    let error = error.downcast_ref::<HttpError>()?;
    // What the store said decides. Without that, nothing was said.
    let said = error.source().and_then(|source| source.downcast_ref::<Refusal>()).is_some();
    let broke = !matches!(error.kind(), HttpErrorKind::Unknown | HttpErrorKind::Decode);
    (broke && !said).then_some(DatastoreError::Unavailable as Kind)
}

fn build(options: &S3Options, bucket_url: &str, transport: &Transport) -> ::object_store::Result<AmazonS3> {
    let mut builder = AmazonS3Builder::new()
        .with_http_connector(transport.clone())
        .with_access_key_id(&options.access_key_id)
        .with_secret_access_key(options.secret_access_key.reveal())
        .with_region(&options.region)
        .with_bucket_name(&options.bucket)
        // Which makes it take the URL of the bucket as it is.
        .with_virtual_hosted_style_request(true)
        .with_endpoint(bucket_url)
        .with_unsigned_payload(bucket_url.starts_with("https:"))
        .with_disable_bulk_delete(true)
        .with_retry(options.network.retry_config());
    match &options.encryption {
        S3Encryption::None => {}
        S3Encryption::Store => {
            let key: AmazonS3ConfigKey = "aws_server_side_encryption".parse()?;
            builder = builder.with_config(key, "AES256");
        }
        S3Encryption::Kms { key_id } => builder = builder.with_sse_kms_encryption(key_id),
        S3Encryption::Customer(key) => {
            builder = builder.with_ssec_encryption(BASE64_STANDARD.encode(key.bytes()));
        }
    }
    builder.build()
}

impl S3Network {
    fn retry_config(&self) -> RetryConfig {
        let backoff = BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() };
        RetryConfig { backoff, max_retries: self.max_retries, retry_timeout: self.retry_timeout }
    }
}

fn parse(text: &str, option: &'static str) -> Result<Url, Invalid> {
    let invalid = |reason| Invalid { option, value: text.to_owned(), reason };
    let url = Url::parse(text).map_err(|_| invalid("is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid("is no http or https URL"));
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(invalid("holds more than a host and a path"));
    }
    Ok(url)
}

/// The URL of the bucket without a slash at the end.
fn bucket_url(options: &S3Options, option: &'static str, endpoint: &str) -> Result<String, Invalid> {
    let scheme = if options.ssl { "https" } else { "http" };
    let text = if endpoint.contains("://") { endpoint.to_owned() } else { format!("{scheme}://{endpoint}") };
    let mut url = parse(&text, option)?;
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let bucket = &options.bucket;
    if bucket.is_empty() || !bucket.chars().all(name) {
        return Err(Invalid { option: "bucket", value: bucket.clone(), reason: "is no name of a bucket" });
    }
    if options.virtual_host_style {
        let host = format!("{bucket}.{}", url.host_str().unwrap_or_default());
        let refused =
            |_| Invalid { option, value: host.clone(), reason: "cannot have the bucket in its name" };
        url.set_host(Some(&host)).map_err(refused)?;
        return Ok(url.as_str().trim_end_matches('/').to_owned());
    }
    Ok(format!("{}/{bucket}", url.as_str().trim_end_matches('/')))
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("bucket_url", &self.bucket_url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(endpoint: &str) -> S3Options {
        S3Options::new(endpoint, "r", "media", ("id", Secret::new("key")))
    }

    #[test]
    fn an_endpoint_is_a_host_or_a_url() {
        let url = |endpoint: &str, ssl, virtual_host_style| {
            let options = S3Options { ssl, virtual_host_style, ..options(endpoint) };
            bucket_url(&options, "endpoint", endpoint).unwrap()
        };
        assert_eq!(url("s3.example.org", true, false), "https://s3.example.org/media");
        assert_eq!(url("127.0.0.1:9000", false, false), "http://127.0.0.1:9000/media");
        assert_eq!(url("http://minio:9000/", true, false), "http://minio:9000/media");
        assert_eq!(url("https://h/s3/", false, false), "https://h/s3/media");
        assert_eq!(url("s3.example.org", true, true), "https://media.s3.example.org");
    }

    #[test]
    fn what_is_no_endpoint_or_bucket_is_refused() {
        for endpoint in ["", "http://", "ftp://h", "https://user:secret@h", "h?x=y"] {
            assert!(ObjectStoreDatastore::s3(options(endpoint)).is_err(), "{endpoint}");
        }
        for bucket in ["", "a/b", "a?b"] {
            let options = S3Options { bucket: bucket.to_owned(), ..options("h") };
            assert!(ObjectStoreDatastore::s3(options).is_err(), "{bucket}");
        }
    }

    #[test]
    fn a_datastore_does_not_show_its_secrets() {
        let mut options = S3Options::new("h", "r", "media", ("id", Secret::new("hunter2")));
        options.encryption = S3Encryption::Customer(CustomerKey::new(*b"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"));
        let text = format!("{:?}", ObjectStoreDatastore::s3(options).unwrap());
        assert!(!text.contains("hunter2") && !text.contains("a2tra"), "{text}");
    }
}
