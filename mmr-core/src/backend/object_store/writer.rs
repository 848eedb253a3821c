//! Writing objects: small ones whole at commit, large ones in parts while they come in.

use std::{collections::VecDeque, fs::File, path::PathBuf, sync::Arc};

use ::object_store::{
    Attributes, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions,
    PutPayload, path::Path,
};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::task::TaskTracker;

use super::{
    error::{Place, classify},
    sync_ahead::SyncAhead,
};
use crate::datastore::{BlobWriter, DatastoreError};

type Upload = Box<dyn MultipartUpload>;
type Part = JoinHandle<Result<(), DatastoreError>>;

#[derive(Debug, thiserror::Error)]
#[error("an earlier write to this object failed")]
struct Broken;

#[derive(Debug, thiserror::Error)]
#[error("the commit ended without a result")]
pub(super) struct NoResult;

#[derive(Debug, thiserror::Error)]
#[error("the upload is gone before it was finished")]
struct Vanished;

/// Where an object goes.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: Path,
    /// In a directory: the file that collects the parts.
    pub(super) staged: Option<PathBuf>,
    /// Whether a commit syncs that file.
    pub(super) fsync: bool,
    pub(super) attributes: Attributes,
    pub(super) place: Place,
    /// How many parts may be on their way at a time.
    pub(super) parts_in_flight: usize,
    pub(super) tasks: TaskTracker,
    pub(super) runtime: Handle,
}

pub(super) struct Writer {
    target: Target,
    part_bytes: usize,
    buffer: BytesMut,
    // The buffers of the parts that were sent last, to be used again: they do for an upload of any size.
    last: VecDeque<Bytes>,
    sending: Sending,
    // Bytes of all parts so far.
    sent_bytes: u64,
    // A write failed or was cancelled: bytes may be missing.
    broken: bool,
    // What the disk has been asked to write down already is not waited for at the commit.
    synced: SyncAhead,
}

/// An upload under way. The tasks go on when nobody waits for them, so that none is lost: a writer can be dropped at
/// any time.
#[derive(Default)]
struct Sending {
    // Begins the upload, and then lets the first part go.
    begun: Option<JoinHandle<Result<(Upload, Part), DatastoreError>>>,
    upload: Option<Upload>,
    // In the order they were sent.
    parts: VecDeque<Part>,
}

impl Writer {
    pub(super) fn new(target: Target, part_bytes: usize) -> Self {
        Self {
            target,
            part_bytes,
            buffer: BytesMut::new(),
            last: VecDeque::new(),
            sending: Sending::default(),
            sent_bytes: 0,
            broken: false,
            synced: SyncAhead::default(),
        }
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
        self.last.push_back(part.clone());
        self.send(part).await?;
        // All but those on their way are free by now, unless the store keeps what it is given.
        let before = if self.last.len() > self.target.parts_in_flight { self.last.pop_front() } else { None };
        self.buffer = match before.unwrap_or_default().try_into_mut() {
            Ok(mut buffer) if buffer.capacity() >= self.part_bytes => {
                buffer.clear();
                buffer
            }
            // Not grown step by step: that would leave holes behind.
            _ => BytesMut::with_capacity(self.part_bytes),
        };
        Ok(())
    }

    /// Starts to send a part, once there is room for it among those on their way.
    async fn send(&mut self, part: Bytes) -> Result<(), DatastoreError> {
        self.sending.make_room(self.target.parts_in_flight).await?;
        self.sync_ahead(part.len()).await;
        self.sent_bytes += part.len() as u64;
        let target = self.target.clone();
        match &mut self.sending.upload {
            Some(upload) => {
                let part = target.send(upload, part);
                self.sending.parts.push_back(part);
            }
            None => {
                self.sending.begun = Some(self.target.tasks.spawn(async move {
                    let mut upload = target.begin().await?;
                    let part = target.send(&mut upload, part);
                    Ok((upload, part))
                }));
            }
        }
        Ok(())
    }

    async fn sync_ahead(&mut self, next: usize) {
        let Some(staged) = self.target.staged.clone().filter(|_| self.target.fsync) else { return };
        self.synced.before(next, || File::open(staged).and_then(|file| file.sync_data())).await;
    }

    /// Cleans up in a task of its own, for there may be nobody left to wait for it.
    fn abandon(&mut self) -> Option<JoinHandle<()>> {
        let mut sending = std::mem::take(&mut self.sending);
        if sending.is_nothing() {
            return None;
        }
        let target = self.target.clone();
        let clean_up = async move { target.discard(&mut sending).await };
        Some(self.target.tasks.spawn_on(clean_up, &self.target.runtime))
    }
}

impl Sending {
    fn is_nothing(&self) -> bool {
        self.begun.is_none() && self.upload.is_none()
    }

    /// Waits until fewer than `room` parts are on their way, and at least until the upload has begun. In place, so that
    /// whoever is dropped meanwhile still knows of everything.
    async fn make_room(&mut self, room: usize) -> Result<(), DatastoreError> {
        if let Some(begun) = &mut self.begun {
            let result = begun.await;
            self.begun = None;
            let (upload, part) = result.map_err(classify)??;
            self.upload = Some(upload);
            self.parts.push_back(part);
        }
        while self.parts.len() >= room.max(1) {
            let Some(part) = self.parts.front_mut() else { break };
            let result = part.await;
            self.parts.pop_front();
            result.map_err(classify)??;
        }
        Ok(())
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
        let mut sending = std::mem::take(&mut self.sending);
        let last = std::mem::take(&mut self.buffer).freeze();
        let len = self.sent_bytes + last.len() as u64;
        let target = self.target.clone();
        let (answer, answered) = oneshot::channel();
        self.target.tasks.spawn(async move {
            let mut result = target.finish(&mut sending, last).await;
            if let Err(error) = result {
                result = target.finished_anyway(len, error).await;
            }
            if result.is_err() {
                target.discard(&mut sending).await;
            }
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
    /// Lets a part go.
    fn send(&self, upload: &mut Upload, part: Bytes) -> Part {
        let (sent, place) = (upload.put_part(part.into()), self.place.clone());
        self.tasks.spawn(async move { sent.await.map_err(|error| place.classify(error)) })
    }

    async fn begin(&self) -> Result<Upload, DatastoreError> {
        if self.staged.is_none() {
            let options = PutMultipartOptions::from(self.attributes.clone());
            let upload = self.store.put_multipart_opts(&self.path, options).await;
            return upload.map_err(|error| self.place.classify(error));
        }
        // `LocalFileSystem` makes the file right on the calling thread, which waits when the disk is busy.
        let (store, path) = (Arc::clone(&self.store), self.path.clone());
        let begin = move || store.put_multipart(&path).now_or_never();
        match spawn_blocking(begin).await.map_err(classify)? {
            Some(upload) => upload.map_err(classify),
            None => self.store.put_multipart(&self.path).await.map_err(classify),
        }
    }

    async fn finish(&self, sending: &mut Sending, last: Bytes) -> Result<(), DatastoreError> {
        sending.make_room(self.parts_in_flight).await?;
        let Some(upload) = &mut sending.upload else {
            let options = PutOptions::from(self.attributes.clone());
            let put = self.store.put_opts(&self.path, PutPayload::from(last), options).await;
            return put.map(drop).map_err(|error| self.place.classify(error));
        };
        if !last.is_empty() {
            sending.parts.push_back(self.send(upload, last));
        }
        sending.make_room(1).await?;
        let Some(upload) = &mut sending.upload else { return Err(DatastoreError::Other(NoResult.into())) };
        upload.complete().await.map_err(|error| self.place.classify(error))?;
        // Nothing is left to abort.
        sending.upload = None;
        Ok(())
    }

    /// A commit whose answer was lost is refused when it is repeated: the upload is known no longer. Keys are fresh, so
    /// an object of this length is ours.
    async fn finished_anyway(&self, len: u64, error: DatastoreError) -> Result<(), DatastoreError> {
        if self.staged.is_none()
            && matches!(error, DatastoreError::NotFound)
            && let Ok(meta) = self.store.head(&self.path).await
            && meta.size == len
        {
            return Ok(());
        }
        match error {
            DatastoreError::NotFound => Err(DatastoreError::Other(Vanished.into())),
            error => Err(error),
        }
    }

    /// Waits for what is on its way, which would otherwise come after the end, and aborts the upload.
    async fn discard(&self, sending: &mut Sending) {
        while let Err(error) = sending.make_room(1).await {
            tracing::debug!(key = %self.path, error = &error as &dyn std::error::Error, "a part was not sent");
        }
        let Some(mut upload) = sending.upload.take() else { return };
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
