//! Values without I/O.

pub mod thumbnail;
