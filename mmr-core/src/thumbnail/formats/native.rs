//! Pictures by way of decoders that are not in safe Rust: faster, AVIF, and lossy `WebP`. Only for
//! [workers](crate::thumbnail::worker).
//!
//! Where there is a format in safe Rust too, that reads the header and books the memory; what a C library says about a
//! source is only compared with it, and whatever it refuses is left to the safe decoder. Ordinary JPEGs are read by the
//! safe decoder first, since that is the faster one.

pub(super) mod avif;
mod encode;
mod jpeg;
mod webp;

pub(super) use self::{avif::Avif, encode::Native, jpeg::Jpeg, webp::WebP};
