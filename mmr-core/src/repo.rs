//! The composition root: builds the services and hands them out.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::sync::watch;

use crate::{
    access_log::AccessLog,
    datastore::Datastores,
    download::Downloads,
    federation::Federation,
    gc::Collector,
    lifecycle::Background,
    moderation::Moderation,
    policy::{Policies, PolicyHandle},
    purge::Purge,
    record_cache::RecordCache,
    store::{MediaStore, Signal},
    tasks::Tasks,
    thumbnail::Thumbnails,
    upload::Uploads,
    waiters::Waiters,
};

mod builder;

pub use self::builder::MediaRepositoryBuilder;

/// Time between two looks at how full the datastores are.
const MEASURE_LEVELS: Duration = Duration::from_mins(1);
/// Time between two writes of what was read when.
const ACCESS_LOG_FLUSH: Duration = Duration::from_mins(1);

/// A media repository: the services over one store and its datastores.
///
/// Dropping it stops nothing; call [`MediaRepository::shutdown`].
#[derive(Debug)]
pub struct MediaRepository {
    uploads: Uploads,
    downloads: Downloads,
    thumbnails: Thumbnails,
    collector: Collector,
    moderation: Moderation,
    purge: Purge,
    tasks: Tasks,
    datastores: Datastores,
    policies: watch::Sender<Arc<Policies>>,
    policy_handle: PolicyHandle,
    background: Background,
    access_log: AccessLog,
    store: Arc<dyn MediaStore>,
    federation: Arc<dyn Federation>,
}

impl MediaRepository {
    /// Starts with where metadata and bytes are kept, and the rules of the local homeservers.
    pub fn builder(
        store: Arc<dyn MediaStore>,
        datastores: Datastores,
        policies: Policies,
    ) -> MediaRepositoryBuilder {
        MediaRepositoryBuilder::new(store, datastores, policies)
    }

    /// Takes uploads.
    #[must_use]
    pub const fn uploads(&self) -> &Uploads {
        &self.uploads
    }

    /// Finds and reads media.
    #[must_use]
    pub const fn downloads(&self) -> &Downloads {
        &self.downloads
    }

    /// Makes and serves thumbnails.
    #[must_use]
    pub const fn thumbnails(&self) -> &Thumbnails {
        &self.thumbnails
    }

    /// Clears away what nothing refers to; runs by itself, too.
    #[must_use]
    pub const fn collector(&self) -> &Collector {
        &self.collector
    }

    /// Withdraws media and gives it back.
    #[must_use]
    pub const fn moderation(&self) -> &Moderation {
        &self.moderation
    }

    /// Removes media.
    #[must_use]
    pub const fn purge(&self) -> &Purge {
        &self.purge
    }

    /// Runs work in the background.
    #[must_use]
    pub const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// The rules in force.
    #[must_use]
    pub const fn policies(&self) -> &PolicyHandle {
        &self.policy_handle
    }

    /// Where bytes lie.
    #[must_use]
    pub const fn datastores(&self) -> &Datastores {
        &self.datastores
    }

    /// Everything that is remembered.
    #[must_use]
    pub const fn store(&self) -> &Arc<dyn MediaStore> {
        &self.store
    }

    /// The rest of the Matrix network.
    #[must_use]
    pub const fn federation(&self) -> &Arc<dyn Federation> {
        &self.federation
    }

    /// Replaces the rules for requests to come.
    pub fn set_policies(&self, policies: Policies) {
        self.policies.send_replace(Arc::new(policies));
    }

    /// Stops background work, waiting up to `grace` for uploads and renderings under way. False when some were still
    /// running.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        let done = self.background.stop(grace).await;
        if let Err(error) = self.access_log.flush().await {
            tracing::warn!(%error, "what was read when could not be written");
        }
        done
    }

    fn start(&self, records: RecordCache, waiters: Waiters) {
        self.background.spawn_until_stop(self.collector.clone().run());
        self.background.spawn_until_stop(self.tasks.clone().run());
        self.background.spawn_until_stop(measure_regularly(self.datastores.clone(), Arc::clone(&self.store)));
        self.background.spawn_until_stop(flush_regularly(self.access_log.clone()));
        self.background.spawn_until_stop(listen(self.store.subscribe(), records, waiters));
    }
}

async fn flush_regularly(access_log: AccessLog) {
    let mut ticks = tokio::time::interval(ACCESS_LOG_FLUSH);
    loop {
        ticks.tick().await;
        if let Err(error) = access_log.flush().await {
            tracing::warn!(%error, "what was read when could not be written, will try again");
        }
    }
}

/// Keeps the levels true by which [`Datastores::pick`] chooses: other nodes store and remove, too.
async fn measure_regularly(datastores: Datastores, store: Arc<dyn MediaStore>) {
    let mut ticks = tokio::time::interval(MEASURE_LEVELS);
    // Where there is one there is no choice.
    while datastores.iter().count() > 1 {
        ticks.tick().await;
        for (id, _) in datastores.iter() {
            match store.datastore_usage(id).await {
                Ok(usage) => datastores.set_level(id, usage.bytes),
                Err(error) => {
                    tracing::warn!(%error, datastore = %id, "how much lies in a datastore could not be read");
                }
            }
        }
    }
}

/// Acts on what other nodes, and this one, publish.
async fn listen(mut signals: BoxStream<'static, Signal>, records: RecordCache, waiters: Waiters) {
    while let Some(signal) = signals.next().await {
        match signal {
            Signal::Uploaded(mxc) => {
                records.forget(&mxc);
                waiters.wake(&mxc);
            }
            Signal::MediaChanged(mxc) => records.forget(&mxc),
            Signal::AllMediaChanged => records.forget_all(),
            Signal::Lost => {
                records.forget_all();
                waiters.wake_all();
            }
            Signal::LoggedOut(_) => {}
        }
    }
}
