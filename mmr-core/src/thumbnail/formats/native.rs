//! Pictures by way of C libraries: faster, and lossy `WebP`. Only for [workers](crate::thumbnail::worker).
//!
//! The headers are read, and the memory booked, by the formats in safe Rust; what a C library says about a
//! source is only compared with that. Whatever it refuses is left to the safe decoder.

mod encode;
mod jpeg;
mod webp;

pub(super) use self::{encode::Native, jpeg::Jpeg, webp::WebP};
