//! BMP sources.

use image::ImageDecoder;
use image::codecs::bmp::BmpDecoder;
use image::metadata::Orientation;

use super::still::{self, Format, Header, SourceReader, into_render_error};
use crate::thumbnail::render::{RenderError, RenderTask};
use crate::types::Size;

/// BMP, of Windows and of OS/2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bmp;

impl Format for Bmp {
    fn is(&self, source: &[u8]) -> bool {
        // Two letters are too little: the length of the second header tells the versions there are.
        let header = source.get(14..18).and_then(|len| len.try_into().ok()).map(u32::from_le_bytes);
        source.starts_with(b"BM") && matches!(header, Some(12 | 16 | 40 | 52 | 56 | 64 | 108 | 124))
    }

    fn open(&self, task: &RenderTask) -> Result<Header, RenderError> {
        let decoder = BmpDecoder::new(SourceReader::new(task)).map_err(into_render_error)?;
        let (width, height) = decoder.dimensions();
        let size = Size::new(width, height);
        // Besides the pixels the decoder keeps a row as stored, a palette and a run.
        let working_bytes = 8 * u64::from(width) + 64 * 1024;
        Ok(Header {
            content_type: "image/bmp",
            size,
            pixels: size.area(),
            orientation: Orientation::NoTransforms,
            icc: None,
            animated: false,
            animation: None,
            jpeg_if_opaque: false,
            decode_bytes: decoder.total_bytes().saturating_add(working_bytes),
            at_worst_bytes: 0,
            decode: Box::new(move |_| still::decode(decoder)),
        })
    }
}

#[cfg(test)]
mod tests;
