//! Ordinary pictures, at a size of which there is enough to make thumbnails.

use super::headers::{Headers, Refused};
use super::planes::Planes;
use super::scan;
use super::transform::{Eight, Four, One, Six, Three, Two};
use crate::types::Size;

/// How many pixels there are for each eight, in both directions. Others would save little.
pub(super) const SCALES: [u32; 6] = [1, 2, 3, 4, 6, 8];

/// Decodes a picture that is known to have that size, until `cancelled`.
pub(super) fn decode(
    source: &[u8],
    size: Size,
    grey: bool,
    needed: Size,
    cancelled: &dyn Fn() -> bool,
) -> Result<Planes, Refused> {
    let headers = Headers::read(source)?;
    if headers.size != size || grey != (headers.components.len() == 1) {
        return Err(Refused("decoders disagree"));
    }
    at_scale(&headers, eighths(size, needed), cancelled)
}

/// Decodes all, at one of the [`SCALES`].
pub(super) fn at_scale(
    headers: &Headers<'_>,
    eighths: u32,
    cancelled: &dyn Fn() -> bool,
) -> Result<Planes, Refused> {
    let decode = match eighths {
        1 => scan::decode::<One>,
        2 => scan::decode::<Two>,
        3 => scan::decode::<Three>,
        4 => scan::decode::<Four>,
        6 => scan::decode::<Six>,
        _ => scan::decode::<Eight>,
    };
    let scan::Decoded { samples, planes } = decode(headers, cancelled)?;
    let mut planes = planes.into_iter();
    let luma = planes.next().ok_or(Refused("no components"))?;
    let chroma = planes.next().zip(planes.next()).map(<[_; 2]>::from);
    let shared = headers.components.first().map_or(Size::new(1, 1), |luma| Size::new(luma.across, luma.down));
    Ok(Planes { samples, size: scaled(headers.size, eighths), luma, chroma, shared })
}

/// The size of a picture with so many pixels for each eight, as all decoders round it.
pub(super) fn scaled(Size { width, height }: Size, eighths: u32) -> Size {
    Size::new((width * eighths).div_ceil(8), (height * eighths).div_ceil(8))
}

/// How large a picture has to be decoded. Scaling a cosine transform cuts frequencies off sharply; with twice the pixels in
/// both directions nothing of it is left after Lanczos.
pub(in crate::thumbnail::formats) fn with_margin(needed: Size) -> Size {
    Size::new(needed.width.saturating_mul(2), needed.height.saturating_mul(2))
}

/// The smallest scale with enough pixels.
pub(super) fn eighths(full: Size, needed: Size) -> u32 {
    let wanted = with_margin(needed);
    SCALES.into_iter().find(|&eighths| scaled(full, eighths).contains(wanted)).unwrap_or(8)
}

/// What decoding takes at most.
pub(super) fn bytes(size: Size, grey: bool) -> u64 {
    /// Tables of codes and waves.
    const TABLES: u64 = 256 * 1024;
    /// Units may have samples beyond the edges.
    const UNIT: u64 = 32;
    let (width, height) = (u64::from(size.width) + UNIT, u64::from(size.height) + UNIT);
    width * height * if grey { 1 } else { 3 } + TABLES
}
