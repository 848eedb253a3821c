//! `mmr-server migrate`.

use std::{path::Path, process::ExitCode};

use clap::Args;

use crate::config::{self, Database, Loaded};

/// Options of `mmr-server migrate`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only show what would be done.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(config: &Path, options: &Options) -> anyhow::Result<ExitCode> {
    let Loaded { settings, .. } = config::load(&config::path_or_environment(config))?;
    let database = &settings.database;
    let (steps, done) = super::serve::runtime()?.block_on(async {
        anyhow::Ok(if options.dry_run {
            (Database::pending_migrations(database).await?, "to do")
        } else {
            (Database::migrate(database).await?, "done")
        })
    })?;
    let name = database.named();
    if steps.is_empty() {
        println!("{name}: nothing to do, the schema is current");
    }
    for step in steps {
        println!("{name}: {} {done}", step.name);
    }
    Ok(ExitCode::SUCCESS)
}
