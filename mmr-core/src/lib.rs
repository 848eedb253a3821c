#![doc = include_str!("../README.md")]

pub mod clock;
pub mod datastore;
mod error;
pub mod federation;
pub mod lifecycle;
pub mod policy;
pub mod store;
pub mod stream;
pub mod thumbnail;
pub mod types;

pub mod backend;
#[cfg(feature = "testing")]
pub mod testing;

pub use self::error::{Error, ErrorKind, Result};
