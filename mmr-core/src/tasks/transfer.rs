//! Moving blobs from one datastore to another.

use std::{sync::Arc, time::Duration};

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
/// Time between two announcements of what moved; well below the age at which originals are deleted.
const TELL: Duration = Duration::from_mins(1);
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
    /// Objects that were not there, that cannot be read, or whose bytes are not those recorded. They stay where they are.
    missing: u64,
    unreadable: u64,
    damaged: u64,
    /// Everything up to this key is done.
    after: Option<String>,
}

enum Outcome {
    Moved(u64),
    Spared,
    Missing,
    Unreadable,
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
    // Whoever remembers where a moved object was must look again before the original is deleted. An earlier attempt may have
    // ended before it said so.
    let mut untold =
        report != Report { total: report.total, total_bytes: report.total_bytes, ..Report::default() };
    let mut told = tokio::time::Instant::now();
    let mover = Mover { inner, target, datastore, transfer, pace: Pace::new(transfer.bytes_per_second) };
    loop {
        let after = report.after.as_deref().map(BlobKey::parse).transpose();
        let after = after.map_err(|_| Error::Internal("the progress of a transfer cannot be read"))?;
        let page = inner.blobs.blobs_in(&source, after.as_ref(), PAGE).await?;
        let Some(last) = page.last().map(|stored| stored.blob.location.key.to_string()) else { break };
        let mut outcomes = stream::iter(page).map(|stored| mover.take(stored)).buffer_unordered(AT_ONCE);
        let mut whole = report.clone();
        let before = report.moved;
        while let Some(outcome) = outcomes.try_next().await? {
            whole.count(&outcome);
            // What has moved does not come up again when the page is taken up once more; the rest does.
            (report.moved, report.moved_bytes) = (whole.moved, whole.moved_bytes);
            progress.set(report.as_json());
        }
        whole.after = Some(last);
        progress.set(whole.as_json());
        report = whole;
        untold |= report.moved > before;
        if untold && told.elapsed() >= TELL {
            inner.news.media_changed(&[]).await?;
            (untold, told) = (false, tokio::time::Instant::now());
        }
    }
    if untold {
        inner.news.media_changed(&[]).await?;
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
            Outcome::Unreadable => self.unreadable += 1,
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
        let copied = self.copy(blob, &mut *writer).await;
        let trouble = match copied {
            Ok(digests) if digests.hash == blob.hash => None,
            // Other bytes, or too few.
            Ok(_) | Err(Trouble::Source(Error::Body(StreamError::Length { .. }))) => {
                Some(Ok(Outcome::Damaged))
            }
            Err(Trouble::Source(Error::Datastore(DatastoreError::NotFound))) => Some(Ok(Outcome::Missing)),
            Err(Trouble::Source(Error::Datastore(error))) if error.is_transient() => Some(Err(error.into())),
            Err(Trouble::Source(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, %datastore, %key, "an object to move cannot be read and stays where it is");
                Some(Ok(Outcome::Unreadable))
            }
            Err(Trouble::Ours(error)) => Some(Err(error)),
        };
        if let Some(outcome) = trouble {
            writer.abort().await;
            if let Ok(Outcome::Missing | Outcome::Damaged) = outcome {
                let hash = &blob.hash;
                tracing::error!(%datastore, %key, %hash, "an object to move is missing or damaged and stays where it is");
            }
            return outcome;
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

    async fn copy(&self, blob: &BlobRecord, writer: &mut dyn BlobWriter) -> Result<Digests, Trouble> {
        let source = |error: Error| Trouble::Source(error);
        let mut digests = Digesting::new();
        if blob.size > 0 {
            let read = self.inner.datastores.read(&blob.location, None).await;
            let mut body = read.map_err(|error| source(error.into()))?.body;
            while let Some(chunk) = body.next().await {
                let chunk = chunk.map_err(|error| source(error.into()))?;
                self.pace.wait_for(chunk.len() as u64).await;
                digests.update(&chunk).await.map_err(Trouble::Ours)?;
                writer.write(chunk).await.map_err(|error| Trouble::Ours(error.into()))?;
            }
        }
        digests.finish().await.map_err(Trouble::Ours)
    }
}

/// Whose fault it is that a blob was not copied.
enum Trouble {
    Source(Error),
    Ours(Error),
}
