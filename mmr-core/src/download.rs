//! Downloads of media that is here, and of media that is elsewhere.

use std::{sync::Arc, time::Duration};

use ruma::{OwnedServerName, ServerName};
use url::Url;

use crate::{
    Error, Result,
    access_log::AccessLog,
    clock::Clock,
    datastore::{BlobRead, DatastoreError, Datastores, LinkRequest},
    policy::PolicyHandle,
    record_cache::RecordCache,
    store::MediaIndex,
    stream::ByteStream,
    types::{Caller, ContentRange, Lookup, MediaRecord, Mxc, RangeRequest},
    waiters::Waiters,
};

pub(crate) mod access;
mod arrival;
mod queue;
pub(crate) mod remote;
mod trouble;

use self::remote::{Remote, Wanted};
pub use self::{arrival::Arrival, queue::FetchLimits};

/// How long a link works at most; datastores may make it shorter. Nobody can take it back.
const LINK_TTL: Duration = Duration::from_mins(5);

/// Finds and reads media. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Downloads(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) media: Arc<dyn MediaIndex>,
    pub(crate) datastores: Datastores,
    pub(crate) records: RecordCache,
    pub(crate) waiters: Waiters,
    pub(crate) access_log: AccessLog,
    pub(crate) policies: PolicyHandle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) remote: Remote,
}

/// Who wants which media.
#[derive(Clone, Debug)]
pub struct DownloadRequest {
    /// The media.
    pub mxc: Mxc,
    /// Who asks.
    pub caller: Caller,
    /// The local homeserver through which the request came; its policy rules.
    pub server: OwnedServerName,
    /// How long to wait for media that is still to be uploaded (`timeout_ms`); cut to the policy's maximum.
    pub wait: Duration,
    /// Whether media of other servers that is not here may be fetched (`allow_remote`).
    pub remote: bool,
}

/// Media that was found.
#[derive(Debug)]
pub enum Found {
    /// It is here.
    Stored(Arc<MediaRecord>),
    /// It is coming from its origin.
    Arriving(Arrival),
}

/// Media on its way out.
#[derive(Debug)]
pub struct Download {
    /// What is known about it.
    pub record: Arc<MediaRecord>,
    /// Which of its bytes `body` yields.
    pub range: ContentRange,
    /// The bytes. They end with an error rather than early.
    pub body: ByteStream,
}

impl Downloads {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Finds media that the caller may have, waiting for a pending upload ([spec]). Media of another server that is not
    /// here is fetched, once however many ask, and answered as soon as it can be read.
    ///
    /// Errors: [`Error::NotFound`], [`Error::NotYetUploaded`], [`Error::Quarantined`], [`Error::AuthRequired`];
    /// [`Error::Federation`] when it could not be fetched.
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediadownloadservernamemediaid
    pub async fn find(&self, request: &DownloadRequest) -> Result<Found> {
        match self.look(request).await? {
            Some(record) => self.checked(request, record).map(Found::Stored),
            None => match self.0.remote.open(self.wanted(request)?).await? {
                Found::Stored(record) => self.checked(request, record).map(Found::Stored),
                arriving @ Found::Arriving(_) => Ok(arriving),
            },
        }
    }

    /// The same, but media of another server is waited for until all of it is here.
    ///
    /// Errors: those of [`Downloads::find`].
    pub async fn describe(&self, request: &DownloadRequest) -> Result<Arc<MediaRecord>> {
        let record = match self.look(request).await? {
            Some(record) => record,
            None => self.0.remote.store(self.wanted(request)?).await?,
        };
        self.checked(request, record)
    }

    /// Opens media that is here. An object of remote media that is lost is fetched again.
    ///
    /// Errors: [`Error::RangeNotSatisfiable`]; [`Error::NotFound`] when it was removed since; [`Error::Datastore`].
    pub async fn read(&self, record: &Arc<MediaRecord>, range: RangeRequest) -> Result<Download> {
        let range =
            range.resolve(record.blob.size).map_err(|error| Error::RangeNotSatisfiable { len: error.len })?;
        let read = match self.read_blob(record, &range).await {
            Err(Error::Datastore(DatastoreError::NotFound)) => match self.read_again(record, &range).await {
                Err(Error::Datastore(DatastoreError::NotFound)) => self.fetch_again(record, &range).await?,
                read => read?,
            },
            read => read?,
        };
        if read.len != range.selected() {
            return Err(Error::Internal("a stored object does not have its recorded length"));
        }
        self.0.access_log.note(record.blob.hash, self.0.clock.now());
        Ok(Download { record: Arc::clone(record), range, body: read.body })
    }

    /// An address from which whoever asked for this media can fetch it for a short while, with the headers that are asked
    /// for, where the policy allows it and its datastore has one. Without one, and when the datastore fails to make it,
    /// [`Downloads::read`] is the way.
    pub async fn link(
        &self,
        asked: &DownloadRequest,
        record: &MediaRecord,
        content_disposition: impl FnOnce() -> String + Send,
    ) -> Option<Url> {
        let policies = self.0.policies.snapshot();
        if !policies.for_server(&asked.server).is_some_and(|policy| policy.downloads.redirect) {
            return None;
        }
        let content_disposition = content_disposition();
        let request = LinkRequest {
            ttl: LINK_TTL,
            content_type: record.content_type.as_str(),
            content_disposition: Some(&content_disposition),
            len: record.blob.size,
        };
        match self.0.datastores.link(&record.blob.location, &request).await {
            Ok(link) => {
                if link.is_some() {
                    self.0.access_log.note(record.blob.hash, self.0.clock.now());
                }
                link
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, mxc = %record.mxc, "no link to an object could be made, its bytes are sent instead");
                None
            }
        }
    }

    /// [`Downloads::describe`] and [`Downloads::read`] in one.
    pub async fn open(&self, request: &DownloadRequest, range: RangeRequest) -> Result<Download> {
        let record = self.describe(request).await?;
        self.read(&record, range).await
    }

    fn checked(&self, request: &DownloadRequest, record: Arc<MediaRecord>) -> Result<Arc<MediaRecord>> {
        access::check(&record, &request.caller, self.0.clock.now())?;
        Ok(record)
    }

    /// What is here; `None` when it could be fetched.
    async fn look(&self, request: &DownloadRequest) -> Result<Option<Arc<MediaRecord>>> {
        let policies = self.0.policies.snapshot();
        let origin = request.mxc.origin();
        let is_admin = matches!(request.caller, Caller::Admin(_));
        if !is_admin
            && policies.for_server(&request.server).is_some_and(|policy| policy.downloads.ignores(origin))
            && !policies.is_local(origin)
        {
            return Err(Error::NotFound);
        }
        if let Some(record) = self.0.records.get(&request.mxc) {
            return Ok(Some(record));
        }
        match self.lookup(&request.mxc).await? {
            Lookup::Stored(record) => Ok(Some(record)),
            Lookup::Unknown if policies.is_local(origin) => Err(Error::NotFound),
            Lookup::Unknown => Ok(None),
            Lookup::Reserved(_) => self.find_when_uploaded(request).await.map(Some),
        }
    }

    /// A fetch on behalf of the caller, if that is allowed.
    fn wanted(&self, request: &DownloadRequest) -> Result<Wanted> {
        let policies = self.0.policies.snapshot();
        let policy = policies.for_server(&request.server).ok_or(Error::NotFound)?;
        access::check_fetch(&request.caller, request.remote, policy)?;
        Ok(Wanted {
            mxc: request.mxc.clone(),
            server: request.server.clone(),
            policy: Arc::clone(policy),
            lost: None,
        })
    }

    async fn find_when_uploaded(&self, request: &DownloadRequest) -> Result<Arc<MediaRecord>> {
        let mxc = &request.mxc;
        // Registered before the second look: an upload between the two would otherwise wake nobody.
        let waiter = self.0.waiters.register(mxc);
        let mut found = self.lookup(mxc).await?;
        if let (Lookup::Reserved(reservation), Some(waiter)) = (&found, waiter) {
            let now = self.0.clock.now();
            if reservation.has_expired(now) {
                return Err(Error::NotFound);
            }
            let wait = request.wait.min(self.max_wait(&request.server)).min(reservation.expires.since(now));
            if waiter.wait(wait).await {
                found = self.lookup(mxc).await?;
            }
        }
        match found {
            Lookup::Stored(record) => Ok(record),
            Lookup::Unknown => Err(Error::NotFound),
            Lookup::Reserved(reservation) if reservation.has_expired(self.0.clock.now()) => {
                Err(Error::NotFound)
            }
            Lookup::Reserved(_) => Err(Error::NotYetUploaded),
        }
    }

    fn max_wait(&self, server: &ServerName) -> Duration {
        let policies = self.0.policies.snapshot();
        policies.for_server(server).map_or(Duration::ZERO, |policy| policy.downloads.max_wait)
    }

    async fn lookup(&self, mxc: &Mxc) -> Result<Lookup> {
        let ticket = self.0.records.ticket();
        let found = self.0.media.lookup(mxc).await?;
        if let Lookup::Stored(record) = &found {
            self.0.records.keep(ticket, record);
        }
        Ok(found)
    }

    async fn read_blob(&self, record: &MediaRecord, range: &ContentRange) -> Result<BlobRead> {
        // An empty body has no byte that a range could name.
        if record.blob.size == 0 {
            return Ok(BlobRead { len: 0, body: ByteStream::empty() });
        }
        Ok(self.0.datastores.read(&record.blob.location, range.part()).await?)
    }

    /// The object may have moved, or gone with its record, since the record was read.
    async fn read_again(&self, stale: &MediaRecord, range: &ContentRange) -> Result<BlobRead> {
        self.0.records.forget(&stale.mxc);
        let Lookup::Stored(record) = self.lookup(&stale.mxc).await? else { return Err(Error::NotFound) };
        if record.blob.hash != stale.blob.hash || record.quarantined != stale.quarantined {
            return Err(Error::NotFound);
        }
        self.read_blob(&record, range).await.inspect_err(|_| {
            let (mxc, location) = (&record.mxc, &record.blob.location);
            tracing::error!(%mxc, datastore = %location.datastore, key = %location.key, "the object of {mxc} is missing");
        })
    }

    /// What other servers have need not stay lost here.
    async fn fetch_again(&self, lost: &Arc<MediaRecord>, range: &ContentRange) -> Result<BlobRead> {
        let policies = self.0.policies.snapshot();
        let on_behalf_of = policies.servers().next().filter(|_| !policies.is_local(lost.mxc.origin()));
        let Some((server, policy)) = on_behalf_of else { return Err(DatastoreError::NotFound.into()) };
        let wanted = Wanted {
            mxc: lost.mxc.clone(),
            server: server.to_owned(),
            policy: Arc::clone(policy),
            lost: Some(Arc::clone(lost)),
        };
        let record = self.0.remote.store(wanted).await?;
        if record.blob.hash != lost.blob.hash || record.quarantined != lost.quarantined {
            return Err(Error::NotFound);
        }
        self.read_blob(&record, range).await
    }
}
