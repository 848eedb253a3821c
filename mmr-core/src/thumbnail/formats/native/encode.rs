//! JPEG by libjpeg-turbo and lossy `WebP` by libwebp.

use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};
use webpx::{Encoder, EncoderConfig, Unstoppable};

use super::super::still::{Encoders, JPEG_QUALITY, Layout, Pixels};
use crate::thumbnail::render::RenderError;
use crate::types::Size;

/// Quality of `WebP` thumbnails.
const WEBP_QUALITY: f32 = 80.0;

/// Effort, 0 to 6. Four, the default, takes three times as long as two to save 4 % of the bytes.
const WEBP_METHOD: u8 = 2;

/// Longest side of a `WebP` picture.
const WEBP_SIDE: u32 = 16_383;

#[derive(Clone, Copy, Debug)]
pub(in crate::thumbnail::formats) struct Native;

impl Encoders for Native {
    fn jpeg(&self, pixels: &Pixels) -> Result<Vec<u8>, RenderError> {
        let (format, subsampling) = match pixels.layout() {
            Layout::Grey => (PixelFormat::GRAY, Subsamp::Gray),
            Layout::Rgb => (PixelFormat::RGB, Subsamp::Sub2x2),
            other => return Err(RenderError::encode(format!("JPEG of {other:?}"))),
        };
        let Size { width, height } = pixels.size();
        let (width, height) = (width as usize, height as usize);
        let mut encoder = Compressor::new().map_err(RenderError::encode)?;
        encoder.set_quality(i32::from(JPEG_QUALITY)).map_err(RenderError::encode)?;
        encoder.set_subsamp(subsampling).map_err(RenderError::encode)?;
        let image = Image { pixels: pixels.bytes(), width, pitch: width * format.size(), height, format };
        encoder.compress_to_vec(image).map_err(RenderError::encode)
    }

    fn webp(&self, pixels: &Pixels) -> Option<Result<Vec<u8>, RenderError>> {
        let Size { width, height } = pixels.size();
        if width.max(height) > WEBP_SIDE {
            return None;
        }
        let encode = |encoder: Encoder<'_>| {
            let config = EncoderConfig::new().quality(WEBP_QUALITY).method(WEBP_METHOD);
            encoder.config(config).encode(Unstoppable).map_err(RenderError::encode)
        };
        let rgb = |data: &[u8]| encode(Encoder::new_rgb(data, width, height));
        let rgba = |data: &[u8]| encode(Encoder::new_rgba(data, width, height));
        let spread = |channels: usize| -> Vec<u8> {
            pixels
                .bytes()
                .chunks_exact(channels)
                .flat_map(|pixel| [&[pixel[0]; 3][..], &pixel[1..]].concat())
                .collect()
        };
        Some(match pixels.layout() {
            Layout::Grey => rgb(&spread(1)),
            Layout::GreyAlpha => rgba(&spread(2)),
            Layout::Rgb => rgb(pixels.bytes()),
            Layout::Rgba => rgba(pixels.bytes()),
        })
    }
}
