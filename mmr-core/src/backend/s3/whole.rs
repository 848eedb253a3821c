//! Writing objects for stores that know no multipart uploads: whole, at the commit.

use std::sync::Arc;

use ::object_store::{ObjectStore as _, ObjectStoreExt as _, PutPayload, path::Path};
use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use md5::{Digest as _, Md5};
use ring::digest;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::{S3, S3Encryption};
use crate::{
    backend::{
        cloud::{
            request::{Call, Payload, send},
            transport::Outgoing,
        },
        object_store::{error::classify, extension::Extension as _},
    },
    datastore::{BlobWriter, DatastoreError},
    stream::{Spool, SpoolReader},
    types::BlobKey,
};

/// Keeps up to one part in memory, and what is longer in an unnamed file.
pub(super) struct WholeWriter {
    s3: Arc<S3>,
    key: BlobKey,
    tasks: TaskTracker,
    buffer: BytesMut,
    file: Option<Spool>,
    len: u64,
    digest: Option<digest::Context>,
    broken: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("an earlier write to this object failed")]
struct Broken;

#[derive(Debug, thiserror::Error)]
#[error("the commit ended without a result")]
struct NoResult;

impl WholeWriter {
    pub(super) fn new(s3: Arc<S3>, key: BlobKey, tasks: TaskTracker) -> Self {
        let digest = s3.sign_payload.then(|| digest::Context::new(&digest::SHA256));
        Self { s3, key, tasks, buffer: BytesMut::new(), file: None, len: 0, digest, broken: false }
    }

    async fn append(&mut self, chunk: Bytes) -> Result<(), DatastoreError> {
        let wanted = self.buffer.len() + chunk.len();
        if self.file.is_none() && wanted > self.s3.upload.part_bytes {
            let spool = Spool::create(self.s3.upload.temp_dir.as_deref(), 0).await;
            self.file = Some(spool.map_err(classify)?);
        }
        let Some(file) = &mut self.file else {
            self.buffer.extend_from_slice(&chunk);
            return Ok(());
        };
        for chunk in [std::mem::take(&mut self.buffer).freeze(), chunk] {
            if !chunk.is_empty() {
                file.append(vec![chunk]).await.map_err(classify)?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for WholeWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), DatastoreError> {
        if self.broken {
            return Err(DatastoreError::Other(Broken.into()));
        }
        self.broken = true;
        if let Some(digest) = &mut self.digest {
            digest.update(&chunk);
        }
        self.len += chunk.len() as u64;
        self.append(chunk).await?;
        self.broken = false;
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), DatastoreError> {
        if self.broken {
            return Err(DatastoreError::Other(Broken.into()));
        }
        let Self { s3, key, tasks, buffer, file, len, digest, .. } = *self;
        let (answer, answered) = oneshot::channel();
        tasks.spawn(async move {
            let result = match file {
                None => s3.put_bytes(&key, buffer.freeze()).await,
                Some(file) => {
                    let reader = file.reader();
                    file.finish();
                    let digest = digest.and_then(|digest| digest.finish().as_ref().try_into().ok());
                    s3.put_file(&key, &reader, len, digest).await
                }
            };
            // Nobody will ever name an object whose writer went away during the commit.
            if let Err(Ok(())) = answer.send(result)
                && let Err(error) = s3.store.delete(&Path::from(key.as_str())).await
            {
                tracing::debug!(%key, error = &error as &dyn std::error::Error, "an object was left behind");
            }
        });
        answered.await.unwrap_or_else(|_| Err(DatastoreError::Unavailable(NoResult.into())))
    }

    async fn abort(self: Box<Self>) {}
}

fn customer_header(what: &str) -> HeaderName {
    let name = format!("x-amz-server-side-encryption-customer-{what}");
    name.parse().expect("the names above make valid names of headers")
}

impl S3 {
    async fn put_bytes(&self, key: &BlobKey, bytes: Bytes) -> Result<(), DatastoreError> {
        let options = self.attributes().into();
        let put = self.store.put_opts(&Path::from(key.as_str()), PutPayload::from(bytes), options).await;
        put.map(drop).map_err(|error| self.wire.place.classify(error))
    }

    async fn put_file(
        &self,
        key: &BlobKey,
        file: &SpoolReader,
        len: u64,
        digest: Option<[u8; 32]>,
    ) -> Result<(), DatastoreError> {
        let open = || -> Outgoing {
            let frames = file.read(0..len).map(|chunk| chunk.map(Frame::data).map_err(Into::into));
            StreamBody::new(frames).boxed_unsync()
        };
        let body = Some(Payload { len, digest, open: &open });
        let headers = self.put_headers().map_err(|error| self.wire.place.classify(error))?;
        let call = Call { method: Method::PUT, key: Some(key.as_str()), query: &[], headers, body };
        send(self, &call).await.map(drop)
    }

    fn put_headers(&self) -> Result<HeaderMap, http::header::InvalidHeaderValue> {
        const ENCRYPTION: &str = "x-amz-server-side-encryption";
        let mut headers = HeaderMap::new();
        if let Some(class) = &self.storage_class {
            headers.insert("x-amz-storage-class", class.parse()?);
        }
        match &self.encryption {
            S3Encryption::None => {}
            S3Encryption::Store => {
                headers.insert(ENCRYPTION, HeaderValue::from_static("AES256"));
            }
            S3Encryption::Kms { key_id } => {
                headers.insert(ENCRYPTION, HeaderValue::from_static("aws:kms"));
                headers.insert("x-amz-server-side-encryption-aws-kms-key-id", key_id.parse()?);
            }
            S3Encryption::Customer(key) => {
                let mut text: HeaderValue = BASE64_STANDARD.encode(key.bytes()).parse()?;
                text.set_sensitive(true);
                let fingerprint = BASE64_STANDARD.encode(Md5::digest(key.bytes())).parse()?;
                let names = ["algorithm", "key", "key-md5"].map(customer_header);
                let values = [HeaderValue::from_static("AES256"), text, fingerprint];
                headers.extend(names.into_iter().zip(values));
            }
        }
        Ok(headers)
    }
}
