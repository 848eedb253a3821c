//! Thumbnails.
/// x
#[derive(Clone, Debug, Default)]
pub struct ThumbnailPolicy;
