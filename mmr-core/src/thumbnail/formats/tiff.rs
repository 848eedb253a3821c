//! TIFF sources: the first picture in them.

mod directory;

use image::codecs::tiff::TiffDecoder;
use image::metadata::Orientation;
use image::{ExtendedColorType, ImageDecoder, Limits};

use self::directory::Directory;
use super::still::{self, Format, Header, SourceReader, into_render_error};
use crate::thumbnail::render::{RenderError, RenderTask};
use crate::types::Size;

/// TIFF and `BigTIFF`, of either byte order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiff;

impl Format for Tiff {
    fn is(&self, source: &[u8]) -> bool {
        matches!(source, [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..])
    }

    fn open(&self, task: &RenderTask) -> Result<Header, RenderError> {
        let directory = Directory::of(&task.source).map_err(RenderError::decode)?;
        let mut decoder = TiffDecoder::new(SourceReader::new(task)).map_err(into_render_error)?;
        let (width, height) = decoder.dimensions();
        let size = Size::new(width, height);
        let output = decoder.total_bytes();
        // The decoder fills a buffer of its own first, which for CMYK has a channel more.
        let buffer = match decoder.original_color_type() {
            ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16 => output / 3 * 4,
            _ => output,
        };
        let between = task.source.len() as u64 + directory.chunk_row_bytes();
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(buffer.saturating_add(between));
        decoder.set_limits(limits).map_err(into_render_error)?;
        let jpeg = if directory.is_jpeg() { JPEG_BYTES_PER_PIXEL * size.area() } else { 0 };
        let decode_bytes =
            [output, buffer, between, jpeg, 256 * 1024].into_iter().fold(0, u64::saturating_add);
        Ok(Header {
            content_type: "image/tiff",
            size,
            pixels: size.area(),
            orientation: directory
                .orientation
                .and_then(Orientation::from_exif)
                .unwrap_or(Orientation::NoTransforms),
            icc: directory.icc.clone().map(|profile| task.source.slice(profile).to_vec()),
            animated: false,
            animation: None,
            jpeg_if_opaque: false,
            decode_bytes,
            // A JPEG inside is as large as it says itself, whatever the directory says.
            at_worst_bytes: if directory.is_jpeg() { LARGEST_JPEG_BYTES } else { 0 },
            decode: Box::new(move |_| still::decode(decoder)),
        })
    }
}

/// Pixels of up to four channels, and their 16-bit coefficients.
const JPEG_BYTES_PER_PIXEL: u64 = 12;

/// What the decoder makes of the largest JPEG that it takes.
const LARGEST_JPEG_BYTES: u64 = 16_384 * 16_384 * 4;

#[cfg(test)]
mod tests;
