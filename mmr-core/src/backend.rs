//! Ready implementations of the seams. Each is one directory, gated by one line here.

#[cfg(feature = "azure")]
pub mod azure;
mod board;
#[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
mod cloud;
#[cfg(any(feature = "gcs", feature = "s3"))]
mod dialect;
#[cfg(feature = "gcs")]
pub mod gcs;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod group;
pub mod memory;
#[cfg(feature = "net")]
pub mod net;
#[cfg(feature = "fs")]
pub mod object_store;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod schema;
#[cfg(feature = "sqlite")]
pub mod sqlite;
