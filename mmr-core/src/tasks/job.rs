//! What can be queued.

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    datastore::Datastores,
    types::{DatastoreId, Timestamp},
};

/// Work for the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Job {
    /// Moves what lies in one datastore to another.
    Transfer(Transfer),
}

/// Moves blobs from one datastore to another: each is copied, the copy checked, and only then used in place of the original,
/// which becomes garbage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Where they lie.
    #[serde(rename = "source_datastore_id")]
    pub source: String,
    /// Where they go.
    #[serde(rename = "target_datastore_id")]
    pub target: String,
    /// Only what was last used before this moment, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_ts: Option<u64>,
    /// Most bytes to copy per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
}

/// Why a task of a newer version is left to nodes of that version.
pub(super) const UNKNOWN_KIND: &str = "this version does not know such background tasks";

const TRANSFER: &str = "storage_migration";

impl Job {
    /// The name of its kind, as matrix-media-repo calls it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Transfer(_) => TRANSFER,
        }
    }

    pub(super) fn params(&self) -> String {
        let Self::Transfer(transfer) = self;
        serde_json::to_string(transfer).expect("strings and numbers are always JSON")
    }

    /// A queued job. A kind that this version does not know will have been put there by a newer node.
    pub(super) fn parse(name: &str, params: &str) -> Result<Self> {
        match name {
            TRANSFER => serde_json::from_str(params)
                .map(Self::Transfer)
                .map_err(|_| Error::Internal("the parameters of a background task cannot be read")),
            _ => Err(Error::Internal(UNKNOWN_KIND)),
        }
    }

    pub(super) fn check(&self, datastores: &Datastores) -> Result<()> {
        let Self::Transfer(transfer) = self;
        let (source, target) = (transfer.source()?, transfer.target()?);
        datastores.get(&source)?;
        datastores.get(&target)?;
        if source == target {
            return Err(Error::Forbidden("source and target are the same datastore"));
        }
        Ok(())
    }
}

impl Transfer {
    pub(super) fn source(&self) -> Result<DatastoreId> {
        parse(&self.source)
    }

    pub(super) fn target(&self) -> Result<DatastoreId> {
        parse(&self.target)
    }

    pub(super) fn before(&self) -> Option<Timestamp> {
        self.before_ts.map(Timestamp::from_millis)
    }
}

fn parse(id: &str) -> Result<DatastoreId> {
    DatastoreId::parse(id).map_err(|_| Error::NotFound)
}
