//! s3s-fs, and what it lacks for our tests.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use async_trait::async_trait;
use s3s::{
    S3, S3Request, S3Response, S3Result,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
        DeleteObjectInput, DeleteObjectOutput, GetObjectInput, GetObjectOutput, HeadBucketInput,
        HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListMultipartUploadsInput,
        ListMultipartUploadsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput,
        MultipartUpload, PutObjectInput, PutObjectOutput, Timestamp, UploadPartInput, UploadPartOutput,
    },
    s3_error,
};
use s3s_fs::FileSystem;

use super::locked;

/// Unfinished multipart uploads by ID.
pub(super) type Uploads = Arc<Mutex<BTreeMap<String, Upload>>>;

#[derive(Clone, Debug)]
pub(super) struct Upload {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) initiated: SystemTime,
}

/// s3s-fs with a listing of unfinished uploads, and without two limits that S3 does not have: it cannot tell a key from
/// a directory, and puts keys into names of files, which are to be short.
pub(super) struct Backend {
    fs: FileSystem,
    root: PathBuf,
    uploads: Uploads,
    // Keys that are too long, by what they are called instead.
    long_keys: Mutex<BTreeMap<String, String>>,
}

impl Backend {
    pub(super) fn new(fs: FileSystem, root: PathBuf, uploads: Uploads) -> Self {
        Self { fs, root, uploads, long_keys: Mutex::default() }
    }

    /// A name of moderate length for a key.
    fn shorten(&self, key: &mut String) {
        if key.len() > 100 {
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            let short = format!("~{:016x}", hasher.finish());
            locked(&self.long_keys).insert(short.clone(), std::mem::replace(key, short));
        }
    }

    fn refuse_directories(&self, bucket: &str, key: &str) -> S3Result<()> {
        if self.root.join(bucket).join(key).is_dir() { Err(s3_error!(NoSuchKey)) } else { Ok(()) }
    }

    fn finished(&self, id: &str) {
        locked(&self.uploads).remove(id);
    }

    fn listed(&self, input: &ListMultipartUploadsInput) -> ListMultipartUploadsOutput {
        let marker = (
            input.key_marker.clone().unwrap_or_default(),
            input.upload_id_marker.clone().unwrap_or_default(),
        );
        let mut all: Vec<_> = locked(&self.uploads).clone().into_iter().collect();
        all.retain(|(_, upload)| upload.bucket == input.bucket);
        all.sort_by_key(|(id, upload)| (upload.key.clone(), id.clone()));
        all.retain(|(id, upload)| (&upload.key, id) > (&marker.0, &marker.1));
        let more = all.len() > PAGE;
        all.truncate(PAGE);
        let last = all.last().filter(|_| more).cloned();
        let uploads = all.into_iter().map(|(id, upload)| MultipartUpload {
            key: Some(upload.key),
            upload_id: Some(id),
            initiated: Some(Timestamp::from(upload.initiated)),
            ..MultipartUpload::default()
        });
        ListMultipartUploadsOutput {
            bucket: Some(input.bucket.clone()),
            uploads: Some(uploads.collect()),
            is_truncated: Some(more),
            next_key_marker: last.as_ref().map(|(_, upload)| upload.key.clone()),
            next_upload_id_marker: last.map(|(id, _)| id),
            ..ListMultipartUploadsOutput::default()
        }
    }
}

/// Uploads in one page of a listing: few, so that tests turn pages.
const PAGE: usize = 2;

#[async_trait]
impl S3 for Backend {
    async fn create_multipart_upload(
        &self,
        mut request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        self.shorten(&mut request.input.key);
        let response = self.fs.create_multipart_upload(request).await?;
        let id = response.output.upload_id.clone().unwrap_or_default();
        locked(&self.uploads).insert(id, Upload { bucket, key, initiated: SystemTime::now() });
        Ok(response)
    }

    async fn complete_multipart_upload(
        &self,
        mut request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.shorten(&mut request.input.key);
        let id = request.input.upload_id.clone();
        if !locked(&self.uploads).contains_key(&id) {
            return Err(s3_error!(NoSuchUpload));
        }
        // s3s-fs makes its answer while it is read, so what comes of it is not known here.
        let response = self.fs.complete_multipart_upload(request).await?;
        self.finished(&id);
        Ok(response)
    }

    async fn abort_multipart_upload(
        &self,
        mut request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.shorten(&mut request.input.key);
        let id = request.input.upload_id.clone();
        if !locked(&self.uploads).contains_key(&id) {
            return Err(s3_error!(NoSuchUpload));
        }
        let response = self.fs.abort_multipart_upload(request).await?;
        self.finished(&id);
        Ok(response)
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        Ok(S3Response::new(self.listed(&request.input)))
    }

    async fn upload_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        self.shorten(&mut request.input.key);
        self.fs.upload_part(request).await
    }

    async fn list_parts(
        &self,
        mut request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        self.shorten(&mut request.input.key);
        self.fs.list_parts(request).await
    }

    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        self.shorten(&mut request.input.key);
        self.fs.put_object(request).await
    }

    async fn get_object(
        &self,
        mut request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        self.shorten(&mut request.input.key);
        self.refuse_directories(&request.input.bucket, &request.input.key)?;
        self.fs.get_object(request).await
    }

    async fn head_object(
        &self,
        mut request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.shorten(&mut request.input.key);
        self.refuse_directories(&request.input.bucket, &request.input.key)?;
        self.fs.head_object(request).await
    }

    async fn delete_object(
        &self,
        mut request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.shorten(&mut request.input.key);
        self.fs.delete_object(request).await
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.fs.head_bucket(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let mut response = self.fs.list_objects_v2(request).await?;
        for object in response.output.contents.iter_mut().flatten() {
            let long = object.key.as_ref().and_then(|key| locked(&self.long_keys).get(key).cloned());
            object.key = long.or(object.key.take());
        }
        Ok(response)
    }
}
