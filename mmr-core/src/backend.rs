//! Ready implementations of the seams. Each is one directory, gated by one line here.

mod board;
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
