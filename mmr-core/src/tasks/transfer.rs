//! Moving blobs from one datastore to another.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::{Inner, Progress, Transfer, estimate::is_due, pace::Pace};
use crate::{
    Error, Result,
    datastore::{BlobWriter, Datastore, DatastoreError},
    ingest::Digesting,
    store::StoredBlob,
    stream::StreamError,
    types::{BlobKey, BlobLocation, BlobRecord, DatastoreId, Digests},
};

/// Blobs taken up in one step; what is done again after a crash are at most so many.
const PAGE: u32 = 100;
/// Blobs copied at the same time.
const AT_ONCE: usize = 4;

/// How far a transfer is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Report {
    /// What lay in the source at the beginning.
    total: u64,
    total_bytes: u64,
    moved: u64,
    moved_bytes: u64,
    /// Used too recently.
    spared: u64,
    /// Objects that were not there, or whose bytes are not those recorded. They stay where they are.
    missing: u64,
    damaged: u64,
    /// Everything up to this key is done.
    after: Option<String>,
}

enum Outcome {
    Moved(u64),
    Spared,
    Missing,
    Damaged,
    /// Moved by somebody else, or removed meanwhile.
    Gone,
}

/// Where to, and how fast.
struct Mover<'t> {
    inner: &'t Inner,
    target: DatastoreId,
    datastore: Arc<dyn Datastore>,
    transfer: &'t Transfer,
    pace: Pace,
}

pub(super) async fn run(inner: &Inner, transfer: &Transfer, progress: &Progress) -> Result<()> {
    let (source, target) = (transfer.source()?, transfer.target()?);
    let mut report: Report = serde_json::from_value(progress.get()).unwrap_or_default();
    if report == Report::default() {
        let usage = inner.blobs.datastore_usage(&source).await?;
        (report.total, report.total_bytes) = (usage.blobs, usage.bytes);
    }
    let datastore = Arc::clone(inner.datastores.get(&target)?);
    let mover = Mover { inner, target, datastore, transfer, pace: Pace::new(transfer.bytes_per_second) };
    loop {
        let after = report.after.as_deref().map(BlobKey::parse).transpose();
        let after = after.map_err(|_| Error::Internal("the progress of a transfer cannot be read"))?;
        let page = inner.blobs.blobs_in(&source, after.as_ref(), PAGE).await?;
        let Some(last) = page.last().map(|stored| stored.blob.location.key.to_string()) else { break };
        let mut outcomes = stream::iter(page).map(|stored| mover.take(stored)).buffer_unordered(AT_ONCE);
        let mut whole = report.clone();
        while let Some(outcome) = outcomes.try_next().await? {
            whole.count(&outcome);
            // What has moved does not come up again when the page is taken up once more; the rest does.
            (report.moved, report.moved_bytes) = (whole.moved, whole.moved_bytes);
            progress.set(report.as_json());
        }
        whole.after = Some(last);
        progress.set(whole.as_json());
        report = whole;
    }
    Ok(())
}

impl Report {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Moved(bytes) => {
                self.moved += 1;
                self.moved_bytes += bytes;
            }
            Outcome::Spared => self.spared += 1,
            Outcome::Missing => self.missing += 1,
            Outcome::Damaged => self.damaged += 1,
            Outcome::Gone => {}
        }
    }

    fn as_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("strings and numbers are always JSON")
    }
}

impl Mover<'_> {
    async fn take(&self, stored: StoredBlob) -> Result<Outcome> {
        if !is_due(&stored, self.transfer.before()) {
            return Ok(Outcome::Spared);
        }
        let blob = &stored.blob;
        let (key, datastore) = (&blob.location.key, &blob.location.datastore);
        let to = BlobLocation { datastore: self.target.clone(), key: BlobKey::generate() };
        let mut writer = self.datastore.create(&to.key).await?;
        match self.copy(blob, &mut *writer).await {
            Ok(digests) if digests.hash == blob.hash => {}
            Err(Error::Datastore(DatastoreError::NotFound)) => {
                tracing::warn!(%datastore, %key, "an object to move is not there");
                writer.abort().await;
                return Ok(Outcome::Missing);
            }
            // Its bytes are others, or they end too early.
            Ok(_) | Err(Error::Body(StreamError::Length { .. })) => {
                tracing::error!(%datastore, %key, hash = %blob.hash, "an object to move is damaged and stays where it is");
                writer.abort().await;
                return Ok(Outcome::Damaged);
            }
            Err(error) => {
                writer.abort().await;
                return Err(match error {
                    Error::Body(broken) => DatastoreError::Unavailable(Box::new(broken)).into(),
                    error => error,
                });
            }
        }
        writer.commit().await?;
        let now = self.inner.clock.now();
        if self.inner.blobs.relocate(&blob.hash, &blob.location, &to, now).await? {
            self.inner.datastores.raise_level(&to.datastore, blob.size);
            return Ok(Outcome::Moved(blob.size));
        }
        self.inner.datastores.delete(&to).await?;
        Ok(Outcome::Gone)
    }

    async fn copy(&self, blob: &BlobRecord, writer: &mut dyn BlobWriter) -> Result<Digests> {
        let mut digests = Digesting::new();
        if blob.size > 0 {
            let mut body = self.inner.datastores.read(&blob.location, None).await?.body;
            while let Some(chunk) = body.next().await {
                let chunk = chunk?;
                self.pace.wait_for(chunk.len() as u64).await;
                digests.update(&chunk).await?;
                writer.write(chunk).await?;
            }
        }
        digests.finish().await
    }
}
