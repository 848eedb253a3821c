//! Writing objects: small ones whole at commit, large ones in parts while they come in.

use std::{fs::File, path::PathBuf, sync::Arc};

use ::object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload, path::Path};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::task::TaskTracker;

use super::error::classify;
use crate::datastore::{BlobWriter, DatastoreError};

type Upload = Box<dyn MultipartUpload>;

#[derive(Debug, thiserror::Error)]
#[error("an earlier write to this object failed")]
struct Broken;

#[derive(Debug, thiserror::Error)]
#[error("the commit ended without a result")]
struct NoResult;

/// Where an object goes.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: Path,
    /// In a directory: the file that collects the parts.
    pub(super) staged: Option<PathBuf>,
    /// Whether a commit syncs that file.
    pub(super) fsync: bool,
    pub(super) tasks: TaskTracker,
    pub(super) runtime: Handle,
}

pub(super) struct Writer {
    target: Target,
    part_bytes: usize,
    buffer: BytesMut,
    // The buffer of the part that was sent last, to be used again: two buffers do for an upload of any size.
    last: Bytes,
    // The task that sends the last full part. It owns the upload meanwhile and gives it back, or has aborted it.
    sending: Option<JoinHandle<Result<Upload, DatastoreError>>>,
    // A write failed or was cancelled: bytes may be missing.
    broken: bool,
    // What the disk has been asked to write down already is not waited for at the commit.
    unsynced: usize,
    syncing: Option<JoinHandle<()>>,
}

/// Bytes of a staged file from one sync to the next.
const SYNC_EVERY: usize = 16 << 20;

impl Writer {
    pub(super) fn new(target: Target, part_bytes: usize) -> Self {
        let (buffer, last) = (BytesMut::new(), Bytes::new());
        Self { target, part_bytes, buffer, last, sending: None, broken: false, unsynced: 0, syncing: None }
    }

    async fn append(&mut self, mut chunk: Bytes) -> Result<(), DatastoreError> {
        while !chunk.is_empty() {
            // Sent only when more is to come: what fits in one part is put whole.
            if self.buffer.len() == self.part_bytes {
                self.send_buffer().await?;
            }
            if self.buffer.is_empty() && chunk.len() > self.part_bytes {
                let part = chunk.split_to(self.part_bytes);
                self.send(part).await?;
                continue;
            }
            // Copied rather than kept: a chunk may be a few bytes of a large buffer that it would keep alive.
            let room = self.part_bytes - self.buffer.len();
            self.buffer.extend_from_slice(&chunk.split_to(chunk.len().min(room)));
        }
        Ok(())
    }

    async fn send_buffer(&mut self) -> Result<(), DatastoreError> {
        let part = std::mem::take(&mut self.buffer).freeze();
        let before = std::mem::replace(&mut self.last, part.clone());
        self.send(part).await?;
        // Free by now, unless the store keeps what it is given.
        self.buffer = match before.try_into_mut() {
            Ok(mut buffer) if buffer.capacity() >= self.part_bytes => {
                buffer.clear();
                buffer
            }
            // Not grown step by step: that would leave holes behind.
            _ => BytesMut::with_capacity(self.part_bytes),
        };
        Ok(())
    }

    /// Starts to send a part, once the one before is through.
    async fn send(&mut self, part: Bytes) -> Result<(), DatastoreError> {
        let upload = self.sent().await?;
        self.sync_ahead(part.len()).await;
        let target = self.target.clone();
        self.sending = Some(self.target.tasks.spawn(async move { target.send(upload, part).await }));
        Ok(())
    }

    /// Has the disk write down what has come in, beside what is still coming. One sync at a time: a disk that is slower
    /// than the network slows the sender down now, rather than the commit.
    async fn sync_ahead(&mut self, next: usize) {
        let Some(staged) = self.target.staged.clone().filter(|_| self.target.fsync) else { return };
        if self.unsynced >= SYNC_EVERY {
            if let Some(syncing) = &mut self.syncing {
                syncing.await.unwrap_or_default();
            }
            // What fails here fails at the commit too, which tells.
            self.syncing =
                Some(spawn_blocking(|| drop(File::open(staged).and_then(|file| file.sync_data()))));
            self.unsynced = 0;
        }
        self.unsynced += next;
    }

    /// Waits for the part that is being sent. In place, so that a writer dropped meanwhile still knows of it.
    async fn sent(&mut self) -> Result<Option<Upload>, DatastoreError> {
        let Some(sending) = &mut self.sending else { return Ok(None) };
        let result = sending.await;
        self.sending = None;
        result.map_err(classify)?.map(Some)
    }

    /// Cleans up in a task of its own, for there may be nobody left to wait for it.
    fn abandon(&mut self) -> Option<JoinHandle<()>> {
        let sending = self.sending.take()?;
        let target = self.target.clone();
        let clean_up = async move {
            if let Ok(Ok(upload)) = sending.await {
                target.discard(upload).await;
            }
        };
        Some(self.target.tasks.spawn_on(clean_up, &self.target.runtime))
    }
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<(), DatastoreError> {
        if self.broken {
            return Err(DatastoreError::Other(Broken.into()));
        }
        self.broken = true;
        self.append(chunk).await?;
        self.broken = false;
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), DatastoreError> {
        if self.broken {
            self.abort().await;
            return Err(DatastoreError::Other(Broken.into()));
        }
        let upload = self.sent().await?;
        let last = std::mem::take(&mut self.buffer).freeze();
        let target = self.target.clone();
        let (answer, answered) = oneshot::channel();
        self.target.tasks.spawn(async move {
            let result = target.finish(upload, last).await;
            // Nobody will ever name an object whose writer went away during the commit.
            if let Err(Ok(())) = answer.send(result) {
                target.remove().await;
            }
        });
        answered.await.unwrap_or_else(|_| Err(DatastoreError::Unavailable(NoResult.into())))
    }

    async fn abort(mut self: Box<Self>) {
        if let Some(cleaned_up) = self.abandon() {
            // It fails only when the runtime shuts down.
            cleaned_up.await.unwrap_or_default();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl Target {
    async fn send(&self, upload: Option<Upload>, part: Bytes) -> Result<Upload, DatastoreError> {
        let mut upload = match upload {
            Some(upload) => upload,
            None => self.begin().await?,
        };
        match upload.put_part(part.into()).await {
            Ok(()) => Ok(upload),
            Err(error) => {
                self.discard(upload).await;
                Err(classify(error))
            }
        }
    }

    async fn begin(&self) -> Result<Upload, DatastoreError> {
        if self.staged.is_none() {
            return self.store.put_multipart(&self.path).await.map_err(classify);
        }
        // `LocalFileSystem` makes the file right on the calling thread, which waits when the disk is busy.
        let (store, path) = (Arc::clone(&self.store), self.path.clone());
        let begin = move || store.put_multipart(&path).now_or_never();
        match spawn_blocking(begin).await.map_err(classify)? {
            Some(upload) => upload.map_err(classify),
            None => self.store.put_multipart(&self.path).await.map_err(classify),
        }
    }

    async fn finish(&self, upload: Option<Upload>, last: Bytes) -> Result<(), DatastoreError> {
        let Some(upload) = upload else {
            let put = self.store.put(&self.path, PutPayload::from(last)).await;
            return put.map(drop).map_err(classify);
        };
        let mut upload = if last.is_empty() { upload } else { self.send(Some(upload), last).await? };
        match upload.complete().await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.discard(upload).await;
                Err(classify(error))
            }
        }
    }

    async fn discard(&self, mut upload: Upload) {
        if let Err(error) = upload.abort().await {
            tracing::debug!(key = %self.path, error = &error as &dyn std::error::Error, "abort of an upload failed");
        }
        // `LocalFileSystem` forgets the file once it began to complete.
        if let Some(staged) = self.staged.clone() {
            drop(spawn_blocking(|| std::fs::remove_file(staged)).await);
        }
    }

    async fn remove(&self) {
        if let Err(error) = self.store.delete(&self.path).await {
            tracing::debug!(key = %self.path, error = &error as &dyn std::error::Error, "an object was left behind");
        }
    }
}
