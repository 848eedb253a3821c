//! Versions of a schema, as every database backend counts them.

use crate::store::StoreError;

/// One step from a schema to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The version of the schema behind it; the first is 1.
    pub version: u32,
    /// What it does, in a word or two.
    pub name: &'static str,
}

/// Why a database is not one that this version can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A newer version wrote it.
    #[error("the database has schema version {found}, and this software knows versions up to {known} only")]
    Newer {
        /// The database's version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// An older version wrote it, and migrating is not allowed.
    #[error("the database has schema version {found} and needs to be migrated to version {known}")]
    Older {
        /// The database's version.
        found: u32,
        /// The version needed.
        known: u32,
    },
    /// Other software wrote it.
    #[error("the database is one of other software")]
    Foreign,
}

impl From<SchemaError> for StoreError {
    fn from(error: SchemaError) -> Self {
        Self::Other(Box::new(error))
    }
}
