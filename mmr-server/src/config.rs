//! Configuration: matrix-media-repo's YAML in, checked [`Settings`] out.
//!
//! Reading never stops at the first mistake: all errors of all files are reported at once, each with file, line, key, what
//! was found and what is accepted.

use std::path::PathBuf;

mod database;
mod load;
mod node;
mod problem;
mod raw;
mod readiness;
mod schema;
mod settings;
mod storage;
mod stores;
mod suggest;
#[cfg(test)]
mod tests;
mod validate;
mod values;
mod wire;

pub(crate) use self::{
    database::Database,
    storage::{cached, open_bucket},
    stores::kind_name,
    wire::network,
};
pub use self::{
    load::{Loaded, load},
    problem::{ConfigError, Place, Problem},
    settings::{
        AppService, BucketSettings, BucketStore, CacheSettings, DatabaseSettings, DatastoreSettings,
        HomeserverSettings, HttpSettings, LogSettings, NetworkSettings, Settings, StorageSettings,
    },
    values::{LogLevel, Pattern, Secret},
    wire::{Wired, wire},
};

/// The directory for a user's own data, `mmr` in it (XDG base directory specification).
#[expect(clippy::disallowed_methods, reason = "this module is where the environment is read")]
pub(crate) fn data_directory() -> Option<PathBuf> {
    let data = std::env::var("XDG_DATA_HOME").ok().filter(|path| path.starts_with('/')).map(PathBuf::from);
    let home = || std::env::var("HOME").ok().filter(|home| !home.is_empty()).map(PathBuf::from);
    Some(data.or_else(|| Some(home()?.join(".local/share")))?.join("mmr"))
}

/// What the command line asks for; the environment variable `REPO_CONFIG` wins over it, as in matrix-media-repo.
#[expect(clippy::disallowed_methods, reason = "this module is where the environment is read")]
pub(crate) fn path_or_environment(path: &std::path::Path) -> PathBuf {
    match std::env::var("REPO_CONFIG") {
        Ok(path) if !path.is_empty() => PathBuf::from(path),
        _ => path.to_path_buf(),
    }
}
