//! Uploads, at once or to a name that was reserved earlier (MSC2246).

use std::sync::Arc;

use ruma::{OwnedServerName, OwnedUserId, UserId};

use crate::{
    Error, Result,
    clock::Clock,
    ingest::{Ingest, NewRecord, Published, Staged, Target},
    lifecycle::Background,
    policy::{PolicyHandle, ServerPolicy, UploadPolicy},
    record_cache::RecordCache,
    store::{MediaIndex, NewBlob, NewMedia, Refusal, Reserved, Signal, Signals, UploadIndex, UploadProbe},
    stream::ByteStream,
    types::{ContentType, FileName, Lookup, MediaId, MediaKind, Mxc, Reservation},
    waiters::Waiters,
};

mod decide;

use decide::{Decision, decide};

/// Names tried before giving up on finding a free one. Names have 240 random bits: the first is free.
const NAME_ATTEMPTS: usize = 3;

/// Takes uploads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Uploads(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) ingest: Ingest,
    pub(crate) media: Arc<dyn MediaIndex>,
    pub(crate) reservations: Arc<dyn UploadIndex>,
    pub(crate) signals: Arc<dyn Signals>,
    pub(crate) records: RecordCache,
    pub(crate) waiters: Waiters,
    pub(crate) policies: PolicyHandle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) background: Background,
}

/// Who uploads what to which homeserver.
#[derive(Clone, Debug)]
pub struct UploadRequest {
    /// The uploader.
    pub by: OwnedUserId,
    /// The local homeserver whose media it will be.
    pub server: OwnedServerName,
    /// The type, as the uploader gives it.
    pub content_type: ContentType,
    /// The name, as the uploader gives it.
    pub file_name: Option<FileName>,
    /// Length of the body in bytes, when it was declared.
    pub declared_len: Option<u64>,
}

impl Uploads {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Hands out a name to be filled later ([spec]).
    ///
    /// Errors: [`Error::TooManyPending`].
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav1create
    pub async fn reserve(&self, owner: &UserId, server: &OwnedServerName) -> Result<Reservation> {
        let policy = self.policy(server)?;
        let uploads = &policy.uploads;
        let max_pending = uploads.quota_for(owner).and_then(|rule| rule.max_pending).or(uploads.max_pending);
        let created = self.0.clock.now();
        for _ in 0..NAME_ATTEMPTS {
            let reservation = Reservation {
                mxc: Mxc::new(server.clone(), MediaId::generate()),
                owner: owner.to_owned(),
                created,
                expires: created.plus(uploads.reservation_ttl),
            };
            match self.0.reservations.reserve(&reservation, max_pending).await? {
                Reserved::Reserved => return Ok(reservation),
                Reserved::TooManyPending => return Err(Error::TooManyPending),
                Reserved::Taken => {}
            }
        }
        Err(Error::Internal("no free media ID was found"))
    }

    /// Stores `body` under a new name, or answers the name under which the same user uploaded the same before
    /// ([spec]). The bytes are durable when this returns.
    ///
    /// Errors: [`Error::TooLarge`], [`Error::TooSmall`], [`Error::QuotaExceeded`], [`Error::Forbidden`] for quarantined
    /// bytes, [`Error::Body`] when the sender breaks off.
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav3upload
    pub async fn upload(&self, request: UploadRequest, body: ByteStream) -> Result<Mxc> {
        let policy = self.policy(&request.server)?;
        let staged = self.stage(&policy, &request, body).await?;
        let this = self.clone();
        self.finish(async move { this.publish(&policy.uploads, request, None, staged).await }).await
    }

    /// Whether `by` may fill the reserved name `mxc` now. Called by [`Uploads::fill`] too; servers that want to answer
    /// before they look at the body call it themselves.
    ///
    /// Errors: [`Error::AlreadyUploaded`] before all others, [`Error::NotFound`] for a name that was never handed out, is
    /// not local or has expired, [`Error::Forbidden`] for somebody else's name.
    pub async fn may_fill(&self, by: &UserId, mxc: &Mxc) -> Result<()> {
        if !self.0.policies.snapshot().is_local(mxc.origin()) {
            return Err(Error::NotFound);
        }
        match self.0.media.lookup(mxc).await? {
            Lookup::Stored(_) => Err(Error::AlreadyUploaded),
            Lookup::Unknown => Err(Error::NotFound),
            Lookup::Reserved(reservation) if reservation.has_expired(self.0.clock.now()) => {
                Err(Error::NotFound)
            }
            Lookup::Reserved(reservation) if reservation.owner != by => {
                Err(Error::Forbidden("this media ID was created by another user"))
            }
            Lookup::Reserved(_) => Ok(()),
        }
    }

    /// Stores `body` under the reserved name `mxc` and wakes who waits for it ([spec]). The bytes are durable when this
    /// returns.
    ///
    /// Errors: those of [`Uploads::may_fill`] and of [`Uploads::upload`].
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#put_matrixmediav3uploadservernamemediaid
    pub async fn fill(&self, mxc: &Mxc, request: UploadRequest, body: ByteStream) -> Result<()> {
        self.may_fill(&request.by, mxc).await?;
        let policy = self.policy(mxc.origin())?;
        let staged = self.stage(&policy, &request, body).await?;
        let (this, mxc) = (self.clone(), mxc.clone());
        self.finish(async move { this.publish(&policy.uploads, request, Some(mxc), staged).await }).await?;
        Ok(())
    }

    async fn stage(
        &self,
        policy: &ServerPolicy,
        request: &UploadRequest,
        body: ByteStream,
    ) -> Result<Staged> {
        let body = check_declared_len(&policy.uploads, request.declared_len, body)?;
        let target = Target { kind: MediaKind::Local, placement: policy.placement.as_ref() };
        self.0.ingest.stage(target, body).await
    }

    /// From here on the outcome must not depend on whether the client still listens.
    async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.0.background.spawn(work).await.map_err(|_| Error::Internal("an upload panicked"))?
    }

    async fn publish(
        &self,
        policy: &UploadPolicy,
        request: UploadRequest,
        reserved: Option<Mxc>,
        staged: Staged,
    ) -> Result<Mxc> {
        let digests = *staged.digests();
        let probe = UploadProbe {
            hash: digests.hash,
            origin: request.server,
            uploader: Some(request.by),
            content_type: request.content_type,
            file_name: request.file_name,
        };
        let facts = match self.0.media.upload_facts(&probe).await {
            Ok(facts) => facts,
            Err(error) => {
                staged.discard().await;
                return Err(error.into());
            }
        };
        let known = match decide(facts, policy, &probe, digests.len, reserved.is_some()) {
            Decision::Reject(error) => {
                staged.discard().await;
                return Err(error);
            }
            Decision::Reuse(mxc) => {
                staged.discard().await;
                return Ok(mxc);
            }
            Decision::Link(blob) => Some(blob),
            Decision::Store => None,
        };
        let UploadProbe { hash, origin, uploader, content_type, file_name } = probe;
        let fills_reservation = reserved.is_some();
        let mxc = reserved.unwrap_or_else(|| Mxc::new(origin, MediaId::generate()));
        let quota = uploader
            .as_ref()
            .and_then(|user| policy.quota_for(user))
            .map(|rule| rule.cap)
            .unwrap_or_default();
        let record = NewMedia {
            mxc: mxc.clone(),
            blob: NewBlob::Link(hash),
            content_type,
            file_name,
            uploader,
            created: self.0.clock.now(),
            requires_auth: policy.freeze,
            restriction: None,
            expires: None,
            fills_reservation,
            quota,
        };
        match self.0.ingest.publish(staged, NewRecord::Media(record), known).await? {
            Published::Recorded(_) => {}
            Published::Refused(refusal) => return Err(refused(refusal)),
            Published::Gone => return Err(Error::Internal("a stored blob was not found")),
        }
        if fills_reservation {
            self.announce(&mxc).await;
        }
        Ok(mxc)
    }

    /// Wakes this node's waiters at once and the other nodes' by signal. A lost signal costs them a wait, not media.
    async fn announce(&self, mxc: &Mxc) {
        self.0.records.forget(mxc);
        self.0.waiters.wake(mxc);
        if let Err(error) = self.0.signals.publish(&Signal::Uploaded(mxc.clone())).await {
            tracing::warn!(%error, %mxc, "other nodes were not told that {mxc} is uploaded");
        }
    }

    fn policy(&self, server: &ruma::ServerName) -> Result<Arc<ServerPolicy>> {
        self.0.policies.snapshot().for_server(server).cloned().ok_or(Error::NotFound)
    }
}

/// Refuses by the declared length before anything is read, and holds the body to what was declared.
fn check_declared_len(policy: &UploadPolicy, declared: Option<u64>, body: ByteStream) -> Result<ByteStream> {
    let too_large = |limit: &u64| declared.is_some_and(|len| len > *limit);
    if let Some(limit) = policy.max_bytes.filter(too_large) {
        return Err(Error::TooLarge { limit, unit: "bytes allowed" });
    }
    if declared.is_some_and(|len| len < policy.min_bytes) {
        return Err(Error::TooSmall { limit: policy.min_bytes });
    }
    Ok(match (declared, policy.max_bytes) {
        (Some(len), _) => body.of_length(len),
        (None, Some(limit)) => body.limited(limit),
        (None, None) => body,
    })
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Taken => Error::AlreadyUploaded,
        Refusal::NotReserved => Error::NotFound,
        Refusal::Quarantined => decide::QUARANTINED,
        Refusal::QuotaExceeded => Error::QuotaExceeded,
    }
}
