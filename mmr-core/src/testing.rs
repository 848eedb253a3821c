//! Contract suites, fault injection and fixtures for implementors of the seams.

mod clock;
#[cfg(feature = "images")]
pub mod images;

pub use self::clock::ManualClock;
