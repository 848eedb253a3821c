//! Fixtures, fakes and contract suites.

#[cfg(feature = "images")]
pub mod images;
