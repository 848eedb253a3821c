#![doc = include_str!("../README.md")]

pub mod clock;
pub mod datastore;
mod error;
pub mod federation;
pub mod flight;
pub mod lifecycle;
pub mod metrics;
pub mod policy;
pub mod store;
pub mod stream;
pub mod types;
pub mod waiters;

mod access_log;
mod batches;
pub mod download;
pub mod gc;
mod ingest;
mod leases;
pub mod moderation;
mod news;
pub mod purge;
mod record_cache;
pub mod tasks;
pub mod thumbnail;
pub mod upload;

mod repo;

pub mod backend;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use self::{
    error::{Error, ErrorKind, Result},
    repo::{MediaRepository, MediaRepositoryBuilder},
};
