//! A store that fails on demand.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use ruma::{ServerName, UserId};

use super::{Fault, FaultPlan};
use crate::{
    store::{
        Attributes, BlobIndex, DatastoreUsage, ExportIndex, ExportPart, Inserted, LeaseIndex, MediaFilter,
        MediaIndex, MediaStore, MediaUsage, ModerationIndex, NewBlob, NewMedia, NewTask, NewThumbnail, Page,
        PreviewIndex, PreviewRecord, Quarantine, Removed, RemovedThumbnails, Reserved, Signal, Signals,
        StoreError, StoredBlob, TaskIndex, TaskRecord, ThumbnailIndex, ThumbnailLookup, UploadFacts,
        UploadIndex, UploadProbe, UsageIndex, UserUsage,
    },
    types::{
        BlobKey, BlobLocation, ContentHash, DatastoreId, Lookup, MediaRecord, Mxc, Reservation,
        ThumbnailRecord, ThumbnailSpec, Timestamp,
    },
};

/// Any [`MediaStore`], with calls that suffer what a [`FaultPlan`] says.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn MediaStore>,
    plan: FaultPlan,
}

impl FaultyStore {
    /// Wraps a store.
    #[must_use]
    pub fn new(inner: Arc<dyn MediaStore>, plan: FaultPlan) -> Self {
        Self { inner, plan }
    }
}

/// Forwards the methods of a facet through the plan.
macro_rules! facet {
    ($facet:ident { $(fn $method:ident($($arg:ident: $type:ty),* $(,)?) -> $answer:ty;)* }) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl $facet for FaultyStore {
            $(
                async fn $method(&self, $($arg: $type),*) -> Result<$answer, StoreError> {
                    const NAME: &str = concat!(stringify!($facet), "::", stringify!($method));
                    self.plan.call(NAME, self.inner.$method($($arg),*)).await
                }
            )*
        }
    };
}

facet!(MediaIndex {
    fn lookup(mxc: &Mxc) -> Lookup;
    fn upload_facts(probe: &UploadProbe) -> UploadFacts;
    fn insert(media: &NewMedia) -> Inserted;
    fn list(filter: &MediaFilter, page: &Page) -> Vec<MediaRecord>;
    fn remove(filter: &MediaFilter, limit: u32, now: Timestamp) -> Removed;
    fn touch(seen: &[(ContentHash, Timestamp)]) -> ();
});

facet!(BlobIndex {
    fn garbage(limit: u32, before: Timestamp) -> Vec<BlobLocation>;
    fn forget(garbage: &[BlobLocation]) -> ();
    fn unreferenced(datastore: &DatastoreId, keys: &[BlobKey]) -> Vec<BlobKey>;
    fn relocate(blob: &ContentHash, from: &BlobLocation, to: &BlobLocation, now: Timestamp) -> bool;
    fn blobs_in(datastore: &DatastoreId, after: Option<&BlobKey>, limit: u32) -> Vec<StoredBlob>;
    fn datastore_usage(datastore: &DatastoreId) -> DatastoreUsage;
    fn datastores() -> Vec<DatastoreId>;
});

facet!(UploadIndex {
    fn reserve(reservation: &Reservation, max_pending: Option<u32>) -> Reserved;
    fn pending(owner: &UserId, now: Timestamp) -> u32;
    fn expire(now: Timestamp, limit: u32) -> u32;
});

facet!(ThumbnailIndex {
    fn thumbnail(mxc: &Mxc, spec: &ThumbnailSpec) -> ThumbnailLookup;
    fn thumbnails_of(source: &ContentHash, limit: u32) -> Vec<ThumbnailRecord>;
    fn insert_thumbnail(thumbnail: &NewThumbnail) -> Inserted;
    fn remove_thumbnails(filter: &MediaFilter, rendered_before: Timestamp, limit: u32, now: Timestamp) -> RemovedThumbnails;
});

facet!(PreviewIndex {
    fn preview(url: &str, language: &str, not_before: Timestamp) -> Option<PreviewRecord>;
    fn put_preview(preview: &PreviewRecord) -> ();
    fn remove_previews(before: Timestamp, limit: u32) -> u32;
});

facet!(ModerationIndex {
    fn set_quarantine(filter: &MediaFilter, quarantine: &Quarantine) -> Vec<Mxc>;
    fn attributes(mxc: &Mxc) -> Option<Attributes>;
    fn set_attributes(mxc: &Mxc, attributes: &Attributes) -> bool;
});

facet!(UsageIndex {
    fn usage_of_user(user: &UserId) -> MediaUsage;
    fn usage_of_server(origin: &ServerName) -> MediaUsage;
    fn usage_by_user(origin: &ServerName, after: Option<&UserId>, limit: u32) -> Vec<UserUsage>;
});

facet!(TaskIndex {
    fn enqueue(task: &NewTask) -> u64;
    fn claim(holder: &str, ttl: Duration, now: Timestamp) -> Option<TaskRecord>;
    fn renew(id: u64, holder: &str, until: Timestamp, progress: &str) -> bool;
    fn finish(id: u64, holder: &str, at: Timestamp, error: Option<&str>) -> bool;
    fn task(id: u64) -> Option<TaskRecord>;
    fn tasks(unfinished_only: bool, before: Option<u64>, limit: u32) -> Vec<TaskRecord>;
});

facet!(ExportIndex {
    fn create_export(id: &str, entity: &str, now: Timestamp) -> ();
    fn add_part(id: &str, index: u32, name: &str, blob: &NewBlob) -> Inserted;
    fn export(id: &str) -> Option<(String, Vec<ExportPart>)>;
    fn remove_export(id: &str, now: Timestamp) -> bool;
});

facet!(LeaseIndex {
    fn try_lease(name: &str, holder: &str, ttl: Duration, now: Timestamp) -> bool;
    fn release(name: &str, holder: &str) -> ();
});

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Signals for FaultyStore {
    async fn publish(&self, signal: &Signal) -> Result<(), StoreError> {
        self.plan.call("Signals::publish", self.inner.publish(signal)).await
    }

    // Cannot fail, but it can tell the subscriber that something was missed.
    fn subscribe(&self) -> BoxStream<'static, Signal> {
        let signals = self.inner.subscribe();
        match self.plan.next("Signals::subscribe") {
            Some(Fault::Before | Fault::After) => stream::iter([Signal::Lost]).chain(signals).boxed(),
            Some(Fault::Delay) => {
                let plan = self.plan.clone();
                let late = stream::once(async move {
                    plan.inner.gate.pass().await;
                    signals
                });
                late.flatten().boxed()
            }
            None | Some(Fault::Truncate) => signals,
        }
    }
}
