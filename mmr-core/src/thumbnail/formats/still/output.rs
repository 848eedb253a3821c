//! In which format a thumbnail is written.
//!
//! | pixels | format |
//! |---|---|
//! | wanted as WebP, where this build can write it | lossy WebP |
//! | with transparency | PNG |
//! | opaque, from a lossy source | JPEG |
//! | opaque, at most 256 colours | PNG with a palette |
//! | opaque, [flat](is_flat), and as a PNG at most half as large again as the JPEG | PNG |
//! | the rest | JPEG |

use std::fmt;

use jpeg_encoder::SamplingFactor;
use png::{ColorType, Compression, Filter};

use super::palette::Palette;
use super::steps::{Layout, Pixels};
use crate::thumbnail::render::{RenderError, Rendered};
use crate::types::{Size, Variant};

/// Quality of JPEG thumbnails; what Synapse uses.
pub(in crate::thumbnail::formats) const JPEG_QUALITY: u8 = 80;

/// Encoders that differ between builds.
pub(in crate::thumbnail::formats) trait Encoders:
    fmt::Debug + Send + Sync
{
    /// A JPEG with 4:2:0 subsampling of pixels without alpha.
    fn jpeg(&self, pixels: &Pixels) -> Result<Vec<u8>, RenderError>;

    /// A lossy WebP of any pixels; none where it cannot be written.
    fn webp(&self, pixels: &Pixels) -> Option<Result<Vec<u8>, RenderError>>;
}

/// Encoders in safe Rust. They cannot write lossy `WebP`.
#[derive(Clone, Copy, Debug)]
pub(in crate::thumbnail::formats) struct Safe;

impl Encoders for Safe {
    fn jpeg(&self, pixels: &Pixels) -> Result<Vec<u8>, RenderError> {
        let Size { width, height } = pixels.size();
        let color = match pixels.layout() {
            Layout::Grey => jpeg_encoder::ColorType::Luma,
            Layout::Rgb => jpeg_encoder::ColorType::Rgb,
            other => return Err(RenderError::encode(format!("JPEG of {other:?}"))),
        };
        let short = |side: u32| u16::try_from(side).map_err(RenderError::encode);
        let mut bytes = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, JPEG_QUALITY);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        encoder.encode(pixels.bytes(), short(width)?, short(height)?, color).map_err(RenderError::encode)?;
        Ok(bytes)
    }

    fn webp(&self, _: &Pixels) -> Option<Result<Vec<u8>, RenderError>> {
        None
    }
}

/// Encodes upright sRGB pixels. `lossy` tells whether the source was, so that a JPEG loses little more.
pub(super) fn encode(
    pixels: &Pixels,
    variant: Variant,
    lossy: bool,
    encoders: &dyn Encoders,
) -> Result<Rendered, RenderError> {
    let image = |bytes: Vec<u8>, content_type| {
        let Size { width, height } = pixels.size();
        Rendered::Image { bytes: bytes.into(), content_type, width, height }
    };
    if variant == Variant::WebP
        && let Some(webp) = encoders.webp(pixels)
    {
        return Ok(image(webp?, "image/webp"));
    }
    if lossy && !pixels.has_alpha() {
        return Ok(image(encoders.jpeg(pixels)?, "image/jpeg"));
    }
    if let Some(palette) = Palette::of(pixels) {
        return Ok(image(palette.encode(pixels.size())?, "image/png"));
    }
    if pixels.has_alpha() {
        return Ok(image(encode_png(pixels)?, "image/png"));
    }
    let jpeg = encoders.jpeg(pixels)?;
    if is_flat(pixels) {
        let png = encode_png(pixels)?;
        if png.len() <= jpeg.len() + jpeg.len() / 2 {
            return Ok(image(png, "image/png"));
        }
    }
    Ok(image(jpeg, "image/jpeg"))
}

/// Whether half of all pixels are exactly like the one to their left: two thirds or more are in drawings and charts, of
/// which JPEG would blur the edges; a tenth in photographs, a quarter in blurred ones, and half in screenshots of text,
/// which as PNG take three times the bytes of a JPEG. Every other row is looked at.
fn is_flat(pixels: &Pixels) -> bool {
    let channels = pixels.layout().channels();
    let row_bytes = pixels.size().width as usize * channels;
    let (mut same, mut all) = (0_usize, 0_usize);
    for row in pixels.bytes().chunks_exact(row_bytes.max(1)).step_by(2) {
        let (left, right) = (row.chunks_exact(channels), row.chunks_exact(channels).skip(1));
        same += left.zip(right).filter(|(left, right)| left == right).count();
        all += row.len() / channels;
    }
    2 * same >= all
}

/// PNG of 8 bits per channel.
///
/// Compressing harder takes ten to twenty times as long. Charts, which are small, lose 40 % of their bytes; larger
/// drawings 8 %, and photographs 3 %.
fn encode_png(pixels: &Pixels) -> Result<Vec<u8>, RenderError> {
    const SMALL: usize = 64 * 1024;
    let fast = compress_png(pixels, Compression::Fast)?;
    if fast.len() > SMALL || !is_flat(pixels) {
        Ok(fast)
    } else {
        compress_png(pixels, Compression::Balanced)
    }
}

fn compress_png(pixels: &Pixels, compression: Compression) -> Result<Vec<u8>, RenderError> {
    let color = match pixels.layout() {
        Layout::Grey => ColorType::Grayscale,
        Layout::GreyAlpha => ColorType::GrayscaleAlpha,
        Layout::Rgb => ColorType::Rgb,
        Layout::Rgba => ColorType::Rgba,
    };
    let Size { width, height } = pixels.size();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_compression(compression);
    encoder.set_filter(Filter::Adaptive);
    let mut writer = encoder.write_header().map_err(RenderError::encode)?;
    writer.write_image_data(pixels.bytes()).map_err(RenderError::encode)?;
    writer.finish().map_err(RenderError::encode)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rgb(width: u32, height: u32, field: impl Fn(u32, u32) -> [u8; 3]) -> Pixels {
        let field = &field;
        let data = (0..height).flat_map(|y| (0..width).flat_map(move |x| field(x, y))).collect();
        Pixels::new(data, Size::new(width, height), Layout::Rgb)
    }

    fn byte(value: u32) -> u8 {
        u8::try_from(value % 256).unwrap()
    }

    fn noise(x: u32, y: u32) -> [u8; 3] {
        [byte(x * 7919 + y * 104_729), byte(x * x + y * 31), byte(x * 13 + y * y * 7)]
    }

    /// A window with lines and a gradient of more than 256 colours.
    fn drawing(x: u32, y: u32) -> [u8; 3] {
        if y < 20 {
            [byte(x), byte(255 - x), byte(y * 12)]
        } else {
            [[250; 3], [40, 90, 160]][(x / 40 % 2) as usize]
        }
    }

    fn type_of(pixels: &Pixels, lossy: bool) -> &'static str {
        match encode(pixels, Variant::Still, lossy, &Safe).unwrap() {
            Rendered::Image { content_type, .. } => content_type,
            Rendered::Original { .. } => panic!("nothing was encoded"),
        }
    }

    #[test]
    fn photographs_become_jpeg_whatever_they_were_stored_as() {
        assert_eq!(type_of(&rgb(64, 64, noise), false), "image/jpeg");
        assert_eq!(type_of(&rgb(64, 64, noise), true), "image/jpeg");
    }

    #[test]
    fn drawings_with_many_colours_stay_sharp() {
        assert_eq!(type_of(&rgb(256, 200, drawing), false), "image/png");
    }

    #[test]
    fn a_drawing_that_was_lossy_already_stays_so() {
        assert_eq!(type_of(&rgb(256, 200, drawing), true), "image/jpeg");
    }

    #[test]
    fn a_flat_picture_that_is_much_larger_as_png_becomes_jpeg() {
        // Pairs of equal pixels: half of all are like their left neighbour, and still nothing compresses.
        let pairs = rgb(256, 256, |x, y| {
            let mut seed = (x / 2 + 1).wrapping_mul(0x9E37_79B1) ^ (y + 1).wrapping_mul(0x85EB_CA6B);
            seed ^= seed >> 15;
            seed = seed.wrapping_mul(0x2C1B_3C6D);
            let base = 100 + (seed >> 24) % 8;
            [byte(base), byte(base + (seed >> 12) % 8), byte(base + (seed >> 8) % 8)]
        });
        assert!(is_flat(&pairs));
        assert_eq!(type_of(&pairs, false), "image/jpeg");
    }

    #[test]
    fn transparency_is_kept() {
        let data = (0..64 * 64_u32).flat_map(|i| [byte(i), byte(i / 7), byte(i / 3), byte(i / 64)]).collect();
        let pixels = Pixels::new(data, Size::new(64, 64), Layout::Rgba);
        assert_eq!(type_of(&pixels, true), "image/png");
    }
}
