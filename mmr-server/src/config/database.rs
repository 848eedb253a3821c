//! The database that the settings name.

use std::sync::Arc;

use anyhow::Context as _;
use mmr_core::{
    backend::{
        postgres::{Migration, PostgresStore},
        sqlite::{SqliteOptions, SqliteStore},
    },
    store::MediaStore,
};

use super::DatabaseSettings;

/// An open database.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl Database {
    /// Opens it, and brings its schema up to date.
    pub(crate) async fn open(settings: &DatabaseSettings) -> anyhow::Result<Self> {
        let opened = match settings {
            DatabaseSettings::Sqlite(path) => {
                SqliteStore::open(path, SqliteOptions::default()).map(Self::Sqlite)
            }
            DatabaseSettings::Postgres(options) => {
                PostgresStore::connect(options.clone()).await.map(Self::Postgres)
            }
        };
        opened.with_context(|| format!("{} cannot be opened", settings.named()))
    }

    /// The migrations that opening it would run.
    pub(crate) async fn pending_migrations(settings: &DatabaseSettings) -> anyhow::Result<Vec<Migration>> {
        let pending = match settings {
            DatabaseSettings::Sqlite(path) => SqliteStore::pending_migrations(path),
            DatabaseSettings::Postgres(options) => PostgresStore::pending_migrations(options).await,
        };
        pending.with_context(|| format!("{} cannot be read", settings.named()))
    }

    /// Runs the pending migrations.
    pub(crate) async fn migrate(settings: &DatabaseSettings) -> anyhow::Result<Vec<Migration>> {
        let done = match settings {
            DatabaseSettings::Sqlite(path) => SqliteStore::migrate(path),
            DatabaseSettings::Postgres(options) => PostgresStore::migrate(options).await,
        };
        done.with_context(|| format!("{} cannot be migrated", settings.named()))
    }

    pub(crate) fn store(&self) -> Arc<dyn MediaStore> {
        match self {
            Self::Sqlite(store) => Arc::new(store.clone()),
            Self::Postgres(store) => Arc::new(store.clone()),
        }
    }

    /// Whether there may be other nodes.
    pub(crate) const fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}
