//! JPEG sources that are not [ordinary](still::Jpeg), most of all progressive ones: scaled while they are decoded.

use bytes::Bytes;
use turbojpeg::{
    Colorspace, DecompressHeader, Decompressor, Image, PixelFormat, ScalingFactor, Subsamp, YuvImage,
};

use super::super::still::{self, Format, Header, Layout, Pixels, Plane, Planes, Source};
use crate::thumbnail::render::{RenderError, RenderTask};
use crate::types::Size;

/// Scans of a progressive file before it is left to the safe decoder, which stops when nobody waits any
/// more. Encoders write about ten.
const MOST_SCANS: u32 = 64;

/// Samples that are decoded beyond the edges of a picture, before they are cut off.
const BYTES_PER_COLUMN: u64 = 128;

/// Such samples, and where the rows of each plane begin.
const BYTES_PER_ROW: u64 = 64;

#[derive(Clone, Copy, Debug)]
pub(in crate::thumbnail::formats) struct Jpeg;

impl Format for Jpeg {
    fn is(&self, source: &[u8]) -> bool {
        still::Jpeg.is(source)
    }

    fn open(&self, task: &RenderTask) -> Result<Header, RenderError> {
        let header = still::open_jpeg(task, decode)?;
        let [width, height] = [header.size.width, header.size.height].map(u64::from);
        let decode_bytes = header.decode_bytes + width * BYTES_PER_COLUMN + height * BYTES_PER_ROW;
        Ok(Header { decode_bytes, ..header })
    }
}

/// Takes the same coefficients as the safe decoder, and no more pixels.
fn decode(source: &Bytes, size: Size, needed: Size) -> Result<Box<dyn Source>, RenderError> {
    let mut decoder = Decompressor::new().map_err(RenderError::decode)?;
    decoder.set_scan_limit(MOST_SCANS).map_err(RenderError::decode)?;
    let found = decoder.read_header(source).map_err(RenderError::decode)?;
    let same = found.width == size.width as usize && found.height == size.height as usize;
    if !same || found.is_lossless || found.is_arithmetic {
        return Err(RenderError::decode("decoders disagree"));
    }
    let factor = factor(size, needed);
    decoder.set_scaling_factor(factor).map_err(RenderError::decode)?;
    let scaled = found.scaled(factor);
    match found.colorspace {
        Colorspace::Gray => Ok(Box::new(planes(&mut decoder, source, &scaled)?)),
        Colorspace::YCbCr if found.subsamp != Subsamp::Unknown => {
            Ok(Box::new(planes(&mut decoder, source, &scaled)?))
        }
        Colorspace::RGB | Colorspace::YCbCr => rgb(&mut decoder, source, &scaled).map(Pixels::boxed),
        _ => Err(RenderError::decode("printing colours")),
    }
}

fn planes(
    decoder: &mut Decompressor,
    source: &Bytes,
    scaled: &DecompressHeader,
) -> Result<Planes, RenderError> {
    let &DecompressHeader { width, height, subsamp, .. } = scaled;
    let align = 1;
    let len = turbojpeg::yuv_pixels_len(width, align, height, subsamp).map_err(RenderError::decode)?;
    let mut image = YuvImage { pixels: vec![0; len], width, align, height, subsamp };
    decoder.decompress_to_yuv(source, image.as_deref_mut()).map_err(RenderError::decode)?;
    let mut end = 0;
    let mut next = |(width, height): (usize, usize)| {
        let start = end;
        end += width * height;
        Ok::<_, RenderError>(Plane { bytes: start..end, stored: narrow(width, height)? })
    };
    let luma = next(image.y_size())?;
    let chroma = match subsamp {
        Subsamp::Gray => None,
        _ => Some([next(image.uv_size())?, next(image.uv_size())?]),
    };
    let (across, down) = subsamp.size();
    let (size, shared) = (narrow(width, height)?, narrow(across, down)?);
    Ok(Planes { samples: image.pixels, size, luma, chroma, shared })
}

fn rgb(decoder: &mut Decompressor, source: &Bytes, scaled: &DecompressHeader) -> Result<Pixels, RenderError> {
    let &DecompressHeader { width, height, .. } = scaled;
    let format = PixelFormat::RGB;
    let pitch = width * format.size();
    let mut pixels = vec![0; pitch * height];
    let into = Image { pixels: &mut pixels[..], width, pitch, height, format };
    decoder.decompress(source, into).map_err(RenderError::decode)?;
    Ok(Pixels::new(pixels, narrow(width, height)?, Layout::Rgb))
}

fn narrow(width: usize, height: usize) -> Result<Size, RenderError> {
    let narrow = |side: usize| u32::try_from(side).map_err(RenderError::decode);
    Ok(Size::new(narrow(width)?, narrow(height)?))
}

/// The smallest scale with enough pixels. Only powers of two have fast transforms.
fn factor(full: Size, needed: Size) -> ScalingFactor {
    let wanted = still::with_margin(needed);
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
    use crate::thumbnail::formats::tests::checks::task;

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
        let decoded = decode(&images::grey_jpeg(64, 64), Size::new(64, 64), Size::new(8, 8)).unwrap();
        let pixels = decoded.into_pixels().unwrap();
        assert_eq!(pixels.layout(), Layout::Grey);
    }

    /// The picture of waves as libjpeg-turbo writes it.
    fn written(size: Size, subsampling: Subsamp, optimized: bool) -> Bytes {
        let waves = images::wavy_jpegs(size.width, size.height).remove(0);
        let pixels = image::load_from_memory(&waves).unwrap().into_rgb8();
        let mut encoder = turbojpeg::Compressor::new().unwrap();
        encoder.set_subsamp(subsampling).unwrap();
        encoder.set_optimize(optimized).unwrap();
        let (width, height, format) = (size.width as usize, size.height as usize, PixelFormat::RGB);
        let image = Image { pixels: pixels.as_raw().as_slice(), width, pitch: 3 * width, height, format };
        encoder.compress_to_vec(image).unwrap().into()
    }

    #[test]
    fn in_full_ordinary_pictures_are_as_libjpeg_decodes_them() {
        let samplings = [
            Subsamp::None,
            Subsamp::Sub2x1,
            Subsamp::Sub1x2,
            Subsamp::Sub2x2,
            Subsamp::Sub4x1,
            Subsamp::Gray,
        ];
        for (subsampling, optimized) in samplings.into_iter().flat_map(|each| [(each, false), (each, true)]) {
            for size in [Size::new(1, 1), Size::new(17, 33), Size::new(127, 95)] {
                let source = written(size, subsampling, optimized);
                assert_eq!(still::decoded_at_each_scale(&source, size.area()), Some([true; 6]));
                let ours = (still::Jpeg.open(&task(source.clone())).unwrap().decode)(size).unwrap();
                let [ours, theirs] = [ours, decode(&source, size, size).unwrap()]
                    .map(|decoded| decoded.into_pixels().unwrap());
                let away =
                    ours.bytes().iter().zip(theirs.bytes()).map(|(one, other)| one.abs_diff(*other)).max();
                assert!(away <= Some(3), "{subsampling:?}, {size:?}: {away:?}");
                assert_eq!(ours.layout(), theirs.layout());
            }
        }
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
