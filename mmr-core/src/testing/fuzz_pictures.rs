//! As [`fuzz`](super::fuzz), for parsers of pictures.

/// Width and height of an AVIF, and its tiles, alpha channel included; `None` when it is refused without being decoded.
#[must_use]
pub fn avif(source: &[u8]) -> Option<(u32, u32, usize)> {
    crate::thumbnail::formats::outline_of_avif(source)
}
