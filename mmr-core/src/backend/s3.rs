//! Buckets of S3-compatible stores.
//!
//! `object_store` does what it can over our transport. Beside it, with requests that are signed here: listings, which
//! pass over names that `object_store` fails on; unfinished multipart uploads, which it cannot list; and uploads from
//! a file, which it would have to hold in memory.
//!
//! Payloads are not hashed for the signature where TLS protects them.

use std::{fmt, sync::Arc};

use ::object_store::{
    Attribute, Attributes, ObjectStore, ObjectStoreExt as _,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredential},
    client::HttpRequest,
    path::Path,
    signer::{SignedUrlOptions, Signer as _},
};
use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::Method;
use tokio_util::task::TaskTracker;
use url::Url;

use self::whole::WholeWriter;
use super::{
    cloud::{
        self, Invalid, Wire, list, probe,
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

mod link;
mod options;
mod whole;

pub use self::options::{CustomerKey, S3Encryption, S3Options, S3Upload};
pub use super::cloud::{Links as S3Links, Network as S3Network, Presign, Secret};

/// What a bucket can do beyond `ObjectStore`.
struct S3 {
    store: Arc<AmazonS3>,
    wire: Wire,
    upload: S3Upload,
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
    fn new(options: S3Options) -> Result<Self, Source> {
        let name = format!("bucket {} at {}", options.bucket, options.endpoint);
        let wire = Wire::new(&name, options.network.clone())?;
        let at = |option, endpoint: &str| bucket_url(&options, option, endpoint);
        let bucket_url = at("endpoint", &options.endpoint)?;
        let sign_payload = !bucket_url.starts_with("https:");
        let store = build(&options, &bucket_url, &wire)?;
        let signer = match (&options.links.presign, options.links.endpoint()) {
            (_, Some(endpoint)) => {
                let url = at("presign.endpoint", endpoint)?;
                Some(build(&options, &url, &wire)?)
            }
            (Some(_), None) => Some(store.clone()),
            (None, None) => None,
        };
        options.links.check()?;
        Ok(Self {
            store: Arc::new(store),
            wire,
            upload: options.upload,
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
        })
    }
}

#[async_trait]
impl Extension for S3 {
    fn place(&self) -> Place {
        self.wire.place.clone()
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
        list::objects(&self, prefix, |s3, prefix, token| Box::pin(dialect::page(s3, prefix, token)))
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), DatastoreError> {
        match self.store.delete(&Path::from(key.as_str())).await {
            Ok(()) | Err(::object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.wire.place.classify(error)),
        }
    }

    async fn link(&self, key: &BlobKey, request: &LinkRequest<'_>) -> Result<Option<Url>, DatastoreError> {
        self.link_to(key, request).await
    }

    async fn remove_unfinished(&self, before: Timestamp) -> Result<u64, DatastoreError> {
        dialect::abort_uploads(self, &*self.store, before).await
    }

    async fn try_links(&self, key: &BlobKey, expected: &Bytes) -> Vec<Tried> {
        if matches!(self.encryption, S3Encryption::Customer(_)) {
            return vec![];
        }
        let options = SignedUrlOptions::new().with_query([("response-content-type", probe::CONTENT_TYPE)]);
        let path = Path::from(key.as_str());
        let signed = self.store.signed_url_opts(Method::GET, &path, probe::TTL, &options).await;
        probe::try_links(&self.wire, signed.map_err(Into::into), "X-Amz-Signature", expected).await
    }
}

#[async_trait]
impl Signs for S3 {
    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn bucket_url(&self) -> &str {
        &self.bucket_url
    }

    async fn sign(&self, call: &Call<'_>, request: &mut HttpRequest) -> Result<(), Source> {
        let digest = call.body.as_ref().and_then(|payload| payload.digest);
        let unsigned = call.body.is_some() && digest.is_none();
        AwsAuthorizer::new(&self.credential, "s3", &self.region)
            .with_sign_payload(!unsigned)
            .try_authorize(request, digest.as_ref().map(<[u8; 32]>::as_slice))?;
        Ok(())
    }
}

fn build(options: &S3Options, bucket_url: &str, wire: &Wire) -> ::object_store::Result<AmazonS3> {
    let mut builder = AmazonS3Builder::new()
        .with_http_connector(wire.transport.clone())
        .with_access_key_id(&options.access_key_id)
        .with_secret_access_key(options.secret_access_key.reveal())
        .with_region(&options.region)
        .with_bucket_name(&options.bucket)
        // Which makes it take the URL of the bucket as it is.
        .with_virtual_hosted_style_request(true)
        .with_endpoint(bucket_url)
        .with_unsigned_payload(bucket_url.starts_with("https:"))
        .with_disable_bulk_delete(true)
        .with_retry(wire.retry_config());
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

/// The URL of the bucket without a slash at the end.
fn bucket_url(options: &S3Options, option: &'static str, endpoint: &str) -> Result<String, Invalid> {
    let scheme = if options.ssl { "https" } else { "http" };
    let text = if endpoint.contains("://") { endpoint.to_owned() } else { format!("{scheme}://{endpoint}") };
    let mut url = cloud::parse(&text, option)?;
    let bucket = &options.bucket;
    cloud::check_name(bucket, "bucket")?;
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
