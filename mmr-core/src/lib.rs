//! A Matrix media repository as a library.

pub mod policy;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod thumbnail;
pub mod types;
