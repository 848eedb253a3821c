//! Media of other servers: one fetch for everybody who wants it, readable while it arrives.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::OwnedServerName;
use tokio::sync::watch;
use tokio_util::sync::DropGuard;

use super::{
    Found,
    arrival::Arrival,
    queue::{FetchLimits, FetchQueue, Place},
    trouble::Troubles,
};
use crate::{
    Error, Result,
    clock::Clock,
    federation::{Federation, FederationError, FetchRequest, RemoteMedia},
    ingest::{Ingest, NewRecord, Published, Staged, Target},
    leases::Leases,
    lifecycle::Background,
    metrics,
    policy::ServerPolicy,
    record_cache::RecordCache,
    store::{
        BlobIndex, MediaFilter, MediaIndex, NewBlob, NewMedia, QuotaCap, Refusal, UploadFacts, UploadProbe,
    },
    stream::{Spool, StreamError},
    types::{ContentType, FileName, Lookup, MediaKind, MediaRecord, Mxc},
};

/// What readers do not get before the whole body has been judged by its length and its hash. A body that is not longer is
/// judged before its first byte.
pub(super) const HOLD_BACK: u64 = 64 << 10;

/// Fetches media. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Remote(Arc<Inner>, Arc<State>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) federation: Arc<dyn Federation>,
    pub(crate) ingest: Ingest,
    pub(crate) media: Arc<dyn MediaIndex>,
    pub(crate) blobs: Arc<dyn BlobIndex>,
    pub(crate) records: RecordCache,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) background: Background,
    /// Where bodies lie while they arrive; `None` is the system's directory for temporary files.
    pub(crate) spool_directory: Option<PathBuf>,
    pub(crate) limits: FetchLimits,
    /// What nodes on the same store agree by on who fetches; `None` where there is one node.
    pub(crate) leases: Option<Leases>,
}

/// What is under way, and what went wrong.
#[derive(Debug)]
struct State {
    queue: FetchQueue,
    troubles: Troubles,
    fetches: Mutex<HashMap<Mxc, watch::Receiver<Progress>>>,
}

/// What is to be fetched, for which local homeserver.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) mxc: Mxc,
    pub(super) server: OwnedServerName,
    pub(super) policy: Arc<ServerPolicy>,
    /// A record whose object is lost.
    pub(super) lost: Option<Arc<MediaRecord>>,
}

/// What the origin says about a file.
struct Label {
    content_type: ContentType,
    file_name: Option<FileName>,
}

/// Who fetches.
enum Leased {
    ByUs(Option<DropGuard>),
    /// Another node, and here is the result.
    Before(Arc<MediaRecord>),
}

/// How far a fetch is.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// Readers have to wait.
    Pending,
    Arriving(Arrival),
    Stored(Arc<MediaRecord>),
    Failed(Arc<Error>),
}

impl Remote {
    pub(crate) fn new(inner: Inner) -> Self {
        let queue = FetchQueue::new(inner.limits);
        let state = State { queue, troubles: Troubles::new(), fetches: Mutex::default() };
        Self(Arc::new(inner), Arc::new(state))
    }

    /// Starts or joins the fetch, and returns when the body can be read.
    pub(super) async fn open(&self, wanted: Wanted) -> Result<Found> {
        let whole = wanted.policy.downloads.verify_first;
        self.follow(wanted, whole).await
    }

    /// Starts or joins the fetch, and returns when it is over.
    pub(super) async fn store(&self, wanted: Wanted) -> Result<Arc<MediaRecord>> {
        match self.follow(wanted, true).await? {
            Found::Stored(record) => Ok(record),
            Found::Arriving(_) => Err(Error::Internal("a fetch ended before its end")),
        }
    }

    async fn follow(&self, wanted: Wanted, whole: bool) -> Result<Found> {
        let mut progress = self.join(wanted)?;
        let settled = |progress: &Progress| match progress {
            Progress::Pending => false,
            Progress::Arriving(_) => !whole,
            Progress::Stored(_) | Progress::Failed(_) => true,
        };
        let settled = progress.wait_for(settled).await.map(|progress| progress.clone());
        match settled {
            Ok(Progress::Stored(record)) => Ok(Found::Stored(record)),
            Ok(Progress::Arriving(arrival)) => Ok(Found::Arriving(arrival)),
            Ok(Progress::Failed(error)) => Err(Error::Shared(error)),
            Ok(Progress::Pending) | Err(_) => Err(Error::Internal("a fetch was dropped")),
        }
    }

    fn join(&self, wanted: Wanted) -> Result<watch::Receiver<Progress>> {
        let mut fetches = self.fetches();
        if let Some(progress) = fetches.get(&wanted.mxc) {
            return Ok(progress.clone());
        }
        // A fetch may have ended since the reader looked.
        if wanted.lost.is_none()
            && let Some(record) = self.0.records.get(&wanted.mxc)
        {
            return Ok(watch::channel(Progress::Stored(record)).1);
        }
        self.1.troubles.check(&wanted.mxc, self.0.clock.now())?;
        let place = self.1.queue.enter(wanted.mxc.origin())?;
        let (sender, receiver) = watch::channel(Progress::Pending);
        fetches.insert(wanted.mxc.clone(), receiver.clone());
        let landing = Landing { remote: self.clone(), mxc: wanted.mxc.clone(), place };
        self.0.background.spawn(self.clone().drive(wanted, sender, landing));
        Ok(receiver)
    }

    /// Goes on whoever leaves: whoever comes next wants the same.
    async fn drive(self, wanted: Wanted, progress: watch::Sender<Progress>, landing: Landing) {
        let outcome = self.fetch(&wanted, &progress, &landing.place).await.map_err(Arc::new);
        if let Err(error) = &outcome {
            tracing::info!(mxc = %wanted.mxc, error = &**error as &dyn std::error::Error, "a fetch failed");
        }
        metrics::fetched(outcome.as_ref().err().map(|error| error.kind().as_str()));
        self.1.troubles.note(&wanted, outcome.as_ref().err(), self.0.clock.now());
        // Stored before it leaves the table, so that there is no moment at which a second fetch could begin.
        drop(landing);
        progress.send_replace(outcome.map_or_else(Progress::Failed, Progress::Stored));
    }

    async fn fetch(
        &self,
        wanted: &Wanted,
        progress: &watch::Sender<Progress>,
        place: &Place,
    ) -> Result<Arc<MediaRecord>> {
        let _lease = match self.lease(wanted).await? {
            Leased::ByUs(lease) => lease,
            Leased::Before(record) => return Ok(record),
        };
        let downloads = &wanted.policy.downloads;
        let request = FetchRequest {
            mxc: wanted.mxc.clone(),
            sign_as: wanted.server.clone(),
            max_bytes: downloads.max_bytes.unwrap_or(u64::MAX),
            timeout: downloads.fetch_timeout,
        };
        let RemoteMedia { content_type, file_name, restriction, len, body } =
            self.0.federation.fetch(request).await?;
        // No kind of restriction is understood yet (MSC3911), and what is not understood denies.
        if restriction.is_some() {
            return Err(FederationError::Denied("the origin restricts who may see it".to_owned()).into());
        }
        // Promised by the seam, and held to here: what is stored short stays short.
        let body = match len {
            Some(len) => body.of_length(len),
            None => body,
        };
        let is_small = len.is_some_and(|len| len <= HOLD_BACK);
        let turn = if is_small { None } else { Some(place.turn().await) };
        let target = Target { kind: MediaKind::Remote, placement: wanted.policy.placement.as_ref() };
        let (opened, mut spool) = if is_small {
            (self.0.ingest.open(target).await?, None)
        } else {
            let opened = self.0.ingest.open_to_readers(target).await?;
            let spool = match opened.spool(HOLD_BACK) {
                Some(spool) => Some(spool),
                None => self.spool().await,
            };
            (opened, spool)
        };
        if let Some(spool) = &spool {
            let (content_type, file_name) = (content_type.clone(), file_name.clone());
            let arrival = Arrival::new(content_type, file_name, len, spool.reader());
            progress.send_replace(Progress::Arriving(arrival));
        }
        let copied = |spool: &Option<Spool>| {
            // Readers to come have to wait for the end.
            if spool.is_none() {
                progress.send_if_modified(|progress| {
                    let arriving = matches!(progress, Progress::Arriving(_));
                    if arriving {
                        *progress = Progress::Pending;
                    }
                    arriving
                });
            }
        };
        let staging = Ingest::stage_beside(opened, body, &mut spool, copied);
        let staged = match turn {
            Some(turn) => turn.hold_for(staging).await,
            None => staging.await,
        };
        let staged = staged.map_err(origins_fault)?;
        self.publish(wanted, Label { content_type, file_name }, staged, spool).await
    }

    /// Waits until no other node fetches the same.
    async fn lease(&self, wanted: &Wanted) -> Result<Leased> {
        let (Some(leases), None) = (&self.0.leases, &wanted.lost) else { return Ok(Leased::ByUs(None)) };
        loop {
            let lease = leases.take(format!("fetch {}", wanted.mxc)).await?;
            // Somebody may have stored it since the reader looked.
            if let Some(record) = self.lookup(&wanted.mxc).await? {
                return Ok(Leased::Before(record));
            }
            if lease.is_some() {
                return Ok(Leased::ByUs(lease));
            }
        }
    }

    /// What readers read from while a body arrives that goes into no file. Without one they get what is stored, when it is;
    /// so they do when the whole body would be held back anyway.
    async fn spool(&self) -> Option<Spool> {
        let spool = Spool::create(self.0.spool_directory.as_deref(), HOLD_BACK).await;
        spool
            .inspect_err(|error| {
                tracing::warn!(%error, "no temporary file for remote media: readers wait for the whole of it");
            })
            .ok()
    }

    async fn publish(
        &self,
        wanted: &Wanted,
        label: Label,
        staged: Staged,
        spool: Option<Spool>,
    ) -> Result<Arc<MediaRecord>> {
        if let Some(lost) = &wanted.lost {
            if lost.blob.hash == staged.digests().hash {
                spool.into_iter().for_each(Spool::finish);
                return self.restore(lost, staged).await;
            }
            // Media never changes; what is lost here and different there is gone.
            let filter = MediaFilter { mxcs: Some(vec![lost.mxc.clone()]), ..MediaFilter::default() };
            self.0.media.remove(&filter, 1, self.0.clock.now()).await?;
            self.0.records.forget(&lost.mxc);
        }
        let hash = staged.digests().hash;
        let probe = UploadProbe {
            hash,
            origin: wanted.mxc.origin().to_owned(),
            uploader: None,
            content_type: label.content_type,
            file_name: label.file_name,
        };
        let facts = self.0.media.upload_facts(&probe).await;
        let known = match facts {
            Ok(UploadFacts { quarantined: false, blob, .. }) => blob,
            refused => {
                staged.discard().await;
                return Err(refused.map_or_else(Error::from, |_| Error::Quarantined));
            }
        };
        // The verdict is in. Whoever reads need not wait until the disk has it too.
        spool.into_iter().for_each(Spool::finish);
        let UploadProbe { content_type, file_name, .. } = probe;
        let new = NewMedia {
            mxc: wanted.mxc.clone(),
            blob: NewBlob::Link(hash),
            content_type,
            file_name,
            uploader: None,
            created: self.0.clock.now(),
            requires_auth: wanted.policy.uploads.freeze,
            restriction: None,
            expires: None,
            fills_reservation: false,
            quota: QuotaCap::default(),
        };
        let ticket = self.0.records.ticket();
        match self.0.ingest.publish(staged, NewRecord::Media(new.clone()), known).await? {
            Published::Recorded(blob) => {
                let record = Arc::new(new.recorded(blob));
                self.0.records.keep(ticket, &record);
                Ok(record)
            }
            // Another node was faster.
            Published::Refused(Refusal::Taken) => self.lookup(&wanted.mxc).await?.ok_or(Error::NotFound),
            Published::Refused(Refusal::Quarantined) => Err(Error::Quarantined),
            Published::Refused(_) => Err(Error::Internal("fetched media was refused")),
            Published::Gone => Err(Error::Internal("a stored blob was not found")),
        }
    }

    /// Puts the bytes back that a blob has lost.
    async fn restore(&self, lost: &MediaRecord, staged: Staged) -> Result<Arc<MediaRecord>> {
        self.0.ingest.restore(staged, &lost.blob, &*self.0.blobs, self.0.clock.now()).await?;
        self.0.records.forget(&lost.mxc);
        self.lookup(&lost.mxc).await?.ok_or(Error::NotFound)
    }

    async fn lookup(&self, mxc: &Mxc) -> Result<Option<Arc<MediaRecord>>> {
        let ticket = self.0.records.ticket();
        let Lookup::Stored(record) = self.0.media.lookup(mxc).await? else { return Ok(None) };
        self.0.records.keep(ticket, &record);
        Ok(Some(record))
    }

    fn fetches(&self) -> MutexGuard<'_, HashMap<Mxc, watch::Receiver<Progress>>> {
        self.1.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body from another server that breaks off is that server's failure, and no bad request.
fn origins_fault(error: Error) -> Error {
    match error {
        Error::TooLarge { limit, .. } => FederationError::TooLarge { limit }.into(),
        Error::Body(error @ StreamError::Storage(_)) => Error::Body(error),
        Error::Body(error) => FederationError::Unreachable(Box::new(error)).into(),
        error => error,
    }
}

/// Takes a fetch out of the table, also when it panics.
struct Landing {
    remote: Remote,
    mxc: Mxc,
    place: Place,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.remote.fetches().remove(&self.mxc);
    }
}
