//! `mmr-server migrate`.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use clap::Args;
use mmr_core::backend::sqlite::SqliteStore;

use crate::config::{self, DatabaseSettings, Loaded};

/// Options of `mmr-server migrate`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only show what would be done.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(config: &Path, options: &Options) -> anyhow::Result<ExitCode> {
    let Loaded { settings, .. } = config::load(&config::path_or_environment(config))?;
    let DatabaseSettings::Sqlite(path) = settings.database;
    let failed = || format!("database.sqlite: {} cannot be migrated", path.display());
    let (steps, done) = if options.dry_run {
        (SqliteStore::pending_migrations(&path).with_context(failed)?, "to do")
    } else {
        (SqliteStore::migrate(&path).with_context(failed)?, "done")
    };
    if steps.is_empty() {
        println!("{}: nothing to do, the schema is current", path.display());
    }
    for step in steps {
        println!("{}: {} {done}", path.display(), step.name);
    }
    Ok(ExitCode::SUCCESS)
}
