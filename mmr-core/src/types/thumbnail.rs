//! Thumbnail requests and the keys they are stored under. (replaced at merge)

/// x
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// x
    Scale,
    /// x
    Crop,
}
/// x
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a method")]
pub struct InvalidMethod;
/// x
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThumbnailSpec {
    /// x
    pub width: u32,
    /// x
    pub height: u32,
    /// x
    pub method: Method,
    /// x
    pub animated: bool,
}
/// x
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThumbnailRequest {
    /// x
    pub width: u32,
    /// x
    pub height: u32,
    /// x
    pub method: Method,
    /// x
    pub animated: Option<bool>,
}
