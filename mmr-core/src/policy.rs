//! Limits and choices of the operator.

pub use crate::thumbnail::ThumbnailPolicy;
