//! JPEG sources, scaled while they are decoded.

use bytes::Bytes;
use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat, ScalingFactor};

use super::super::still::{self, Format, Header, Layout, Pixels};
use crate::thumbnail::render::{RenderError, RenderTask};
use crate::types::Size;

/// Scans of a progressive file before it is left to the safe decoder, which stops when nobody waits any
/// more. Encoders write about ten.
const MOST_SCANS: u32 = 64;

/// How many pixels scaling leaves for each pixel needed, in both directions. Scaling a cosine transform cuts
/// frequencies off sharply; with twice the pixels nothing of it is left after Lanczos.
const MARGIN: u32 = 2;

#[derive(Clone, Copy, Debug)]
pub(in crate::thumbnail::formats) struct Jpeg;

impl Format for Jpeg {
    fn is(&self, source: &[u8]) -> bool {
        still::Jpeg.is(source)
    }

    fn open(&self, task: &RenderTask) -> Result<Header, RenderError> {
        let header = still::Jpeg.open(task)?;
        let (source, size, safely) = (task.source.clone(), header.size, header.decode);
        let decode = move |needed| decode(&source, size, needed).map_or_else(|_| safely(needed), Ok);
        Ok(Header { decode: Box::new(decode), ..header })
    }
}

/// Takes no more memory than the safe decoder: the same coefficients, and no more pixels.
fn decode(source: &Bytes, size: Size, needed: Size) -> Result<Pixels, RenderError> {
    let mut decoder = Decompressor::new().map_err(RenderError::decode)?;
    decoder.set_scan_limit(MOST_SCANS).map_err(RenderError::decode)?;
    let found = decoder.read_header(source).map_err(RenderError::decode)?;
    let (layout, format) = match found.colorspace {
        Colorspace::Gray => (Layout::Grey, PixelFormat::GRAY),
        Colorspace::RGB | Colorspace::YCbCr => (Layout::Rgb, PixelFormat::RGB),
        _ => return Err(RenderError::decode("printing colours")),
    };
    let same = found.width == size.width as usize && found.height == size.height as usize;
    if !same || found.is_lossless || found.is_arithmetic {
        return Err(RenderError::decode("decoders disagree"));
    }
    let factor = factor(size, needed);
    decoder.set_scaling_factor(factor).map_err(RenderError::decode)?;
    let (width, height) = (factor.scale(found.width), factor.scale(found.height));
    let pitch = width * format.size();
    let mut pixels = vec![0; pitch * height];
    let into = Image { pixels: &mut pixels[..], width, pitch, height, format };
    decoder.decompress(source, into).map_err(RenderError::decode)?;
    let narrow = |length: usize| u32::try_from(length).map_err(RenderError::decode);
    Ok(Pixels::new(pixels, Size::new(narrow(width)?, narrow(height)?), layout))
}

/// The smallest scale with enough pixels. Only powers of two have fast transforms.
fn factor(full: Size, needed: Size) -> ScalingFactor {
    let wanted = Size::new(needed.width.saturating_mul(MARGIN), needed.height.saturating_mul(MARGIN));
    [8, 4, 2]
        .into_iter()
        .find(|&by| Size::new(full.width.div_ceil(by), full.height.div_ceil(by)).contains(wanted))
        .map_or(ScalingFactor::ONE, |by| ScalingFactor::new(1, by as usize))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::images;

    #[test]
    fn no_more_is_decoded_than_twice_what_is_needed_asks_for() {
        let full = Size::new(4032, 3024);
        let by = |width, height| factor(full, Size::new(width, height)).denom();
        assert_eq!(by(800, 600), 2);
        assert_eq!(by(504, 378), 4);
        assert_eq!(by(128, 96), 8);
        assert_eq!(by(1009, 600), 1);
    }

    #[test]
    fn a_scaled_picture_has_the_size_that_was_chosen() {
        let pixels = decode(&images::jpeg(801, 599), Size::new(801, 599), Size::new(100, 60)).unwrap();
        assert_eq!(pixels.size(), Size::new(201, 150));
    }

    #[test]
    fn a_header_that_is_read_differently_is_left_to_the_safe_decoder() {
        let result = decode(&images::jpeg(80, 60), Size::new(80, 61), Size::new(8, 6));
        assert!(matches!(result, Err(RenderError::Decode(_))), "{result:?}");
    }

    #[test]
    fn printing_colours_and_cut_files_are_left_to_the_safe_decoder() {
        for source in [images::cmyk_jpeg(64, 64), images::ycck_jpeg(64, 64), images::truncated_jpeg(64, 64)] {
            assert!(decode(&source, Size::new(64, 64), Size::new(8, 8)).is_err());
        }
    }

    #[test]
    fn grey_stays_grey() {
        let pixels = decode(&images::grey_jpeg(64, 64), Size::new(64, 64), Size::new(8, 8)).unwrap();
        assert_eq!(pixels.layout(), Layout::Grey);
    }

    proptest! {
        #[test]
        fn what_is_scaled_has_twice_the_pixels_needed(
            full in (1_u32..=65_535, 1_u32..=65_535), needed in (1_u32..=65_535, 1_u32..=65_535),
        ) {
            let full = Size::new(full.0, full.1);
            let needed = Size::new(needed.0.min(full.width), needed.1.min(full.height));
            let factor = factor(full, needed);
            let scaled = factor.scale(full.width as usize);
            prop_assert!(scaled >= needed.width as usize);
            prop_assert!(factor == ScalingFactor::ONE || scaled >= 2 * needed.width as usize);
        }
    }
}
