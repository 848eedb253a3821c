//! `WebP` sources, where they are still.

use bytes::Bytes;
use webp::{BitstreamFeatures, Decoder};

use super::super::still::{self, Format, Header, Layout, Pixels};
use crate::thumbnail::render::{RenderError, RenderTask};
use crate::types::Size;

/// Bytes for each pixel: as they are decoded with what that takes (lossless pictures are unpacked to four
/// bytes first), and as they are copied out.
const BYTES_PER_PIXEL: u64 = 12;

/// Rows that the decoder works on, and tables, for each column.
const BYTES_PER_COLUMN: u64 = 512;

#[derive(Clone, Copy, Debug)]
pub(in crate::thumbnail::formats) struct WebP;

impl Format for WebP {
    fn is(&self, source: &[u8]) -> bool {
        still::WebP.is(source)
    }

    fn open(&self, task: &RenderTask) -> Result<Header, RenderError> {
        let header = still::WebP.open(task)?;
        if header.animated {
            return Ok(header);
        }
        let (source, size, safely) = (task.source.clone(), header.size, header.decode);
        let decode = move |needed| decode(&source, size).map_or_else(|| safely(needed), Ok);
        let natively = size.area() * BYTES_PER_PIXEL + u64::from(size.width) * BYTES_PER_COLUMN;
        let decode_bytes = header.decode_bytes.max(natively);
        Ok(Header { decode: Box::new(decode), decode_bytes, ..header })
    }
}

fn decode(source: &Bytes, size: Size) -> Option<Pixels> {
    let found = BitstreamFeatures::new(source)?;
    let same = Size::new(found.width(), found.height()) == size;
    if !same || found.has_animation() {
        return None;
    }
    let picture = Decoder::new(source).decode()?;
    let layout = if picture.is_alpha() { Layout::Rgba } else { Layout::Rgb };
    Some(Pixels::new(picture.to_vec(), size, layout))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::images;

    #[test]
    fn alpha_is_kept() {
        let layout = |source| decode(&source, Size::new(64, 64)).unwrap().layout();
        assert_eq!(layout(images::alpha_webp(64, 64)), Layout::Rgba);
        assert_eq!(layout(images::lossless_webp(64, 64)), Layout::Rgb);
    }

    #[test]
    fn a_header_that_is_read_differently_is_left_to_the_safe_decoder() {
        assert!(decode(&images::lossless_webp(64, 64), Size::new(64, 63)).is_none());
        assert!(decode(&images::webp_with_frame_larger_than_canvas(), Size::new(8, 8)).is_none());
    }

    #[test]
    fn animations_are_left_to_the_safe_decoder() {
        assert!(decode(&images::animated_webp(64, 64, 2), Size::new(64, 64)).is_none());
    }
}
