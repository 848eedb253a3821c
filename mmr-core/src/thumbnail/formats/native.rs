//! Picture formats whose decoders are not in safe Rust.

pub(super) mod avif;

pub(super) use self::avif::Avif;
