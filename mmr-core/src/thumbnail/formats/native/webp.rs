//! `WebP` sources, where they are still.

use bytes::Bytes;
use webpx::{Decoder, DecoderConfig, Limits};

use super::super::still::{self, Format, Header, Layout, Pixels};
use crate::thumbnail::render::{RenderError, RenderTask};
use crate::types::Size;

/// Bytes for each pixel: as they are decoded with what that takes (lossless pictures are unpacked to four
/// bytes first), and as they are copied out.
const BYTES_PER_PIXEL: u64 = 12;

/// Rows that the decoder works on, and tables, for each column.
const BYTES_PER_COLUMN: u64 = 512;

/// How many pixels scaling leaves for each pixel needed, in both directions: five for four. It takes the average of
/// squares; with so many, Lanczos still makes a sharper thumbnail of them than libvips does.
const ROOM: (u64, u64) = (5, 4);

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
        let decode = move |needed| {
            decode(&source, size, needed).map_or_else(|| safely(needed), |pixels| Ok(pixels.boxed()))
        };
        let natively = size.area() * BYTES_PER_PIXEL + u64::from(size.width) * BYTES_PER_COLUMN;
        let decode_bytes = header.decode_bytes.max(natively);
        Ok(Header { decode: Box::new(decode), decode_bytes, ..header })
    }
}

/// Scaled where that leaves room for Lanczos.
fn decode(source: &Bytes, size: Size, needed: Size) -> Option<Pixels> {
    let decoder = Decoder::new(source).ok()?;
    let found = decoder.info();
    let (same, alpha) = (Size::new(found.width, found.height) == size, found.has_alpha);
    if !same || found.has_animation {
        return None;
    }
    // The header was held against the limits of the policy.
    let config = DecoderConfig::new().limits(Limits::none());
    let (data, width, height, layout) = if alpha {
        // Scaled, what cannot be seen would lend its colours to its neighbours.
        let (data, width, height) = decoder.config(config).decode_rgba_raw().ok()?;
        (data, width, height, Layout::Rgba)
    } else {
        let config = match scaled(size, needed) {
            Some(Size { width, height }) => config.scale(width, height),
            None => config,
        };
        let (data, width, height) = decoder.config(config).decode_rgb_raw().ok()?;
        (data, width, height, Layout::Rgb)
    };
    Some(Pixels::new(data, Size::new(width, height), layout))
}

/// The size to decode at, where it is not the full one.
fn scaled(full: Size, needed: Size) -> Option<Size> {
    let side = |full: u32, needed: u32| {
        let side = (u64::from(needed) * ROOM.0).div_ceil(ROOM.1);
        u32::try_from(side).ok().filter(|&side| side < full)
    };
    Some(Size::new(side(full.width, needed.width)?, side(full.height, needed.height)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::images;

    #[test]
    fn alpha_is_kept() {
        let layout = |source| decode(&source, Size::new(64, 64), Size::new(8, 8)).unwrap().layout();
        assert_eq!(layout(images::alpha_webp(64, 64)), Layout::Rgba);
        assert_eq!(layout(images::lossless_webp(64, 64)), Layout::Rgb);
    }

    #[test]
    fn what_is_scaled_has_a_quarter_more_than_needed() {
        let full = Size::new(2448, 1632);
        assert_eq!(scaled(full, Size::new(800, 533)), Some(Size::new(1000, 667)));
        assert_eq!(scaled(full, Size::new(2000, 1333)), None);
        assert_eq!(scaled(full, full), None);
    }

    #[test]
    fn a_header_that_is_read_differently_is_left_to_the_safe_decoder() {
        assert!(decode(&images::lossless_webp(64, 64), Size::new(64, 63), Size::new(8, 8)).is_none());
        assert!(
            decode(&images::webp_with_frame_larger_than_canvas(), Size::new(8, 8), Size::new(8, 8)).is_none()
        );
    }

    #[test]
    fn animations_are_left_to_the_safe_decoder() {
        assert!(decode(&images::animated_webp(64, 64, 2), Size::new(64, 64), Size::new(8, 8)).is_none());
    }
}
