//! JPEG sources, scaled while they are decoded where they are ordinary ones.

mod bits;
mod headers;
mod huffman;
mod planes;
mod scaled;
mod scan;
mod transform;
mod unscaled;

use bytes::Bytes;
use image::codecs::jpeg::JpegDecoder;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder};

pub(in crate::thumbnail::formats) use self::planes::{Plane, Planes};
pub(in crate::thumbnail::formats) use self::scaled::with_margin;
use super::source::SourceReader;
use super::{Format, Header, Source, into_render_error, steps};
use crate::thumbnail::render::{RenderError, RenderTask};
use crate::types::Size;

#[derive(Clone, Copy, Debug)]
pub(in crate::thumbnail::formats) struct Jpeg;

impl Format for Jpeg {
    fn is(&self, source: &[u8]) -> bool {
        matches!(source, [0xFF, 0xD8, 0xFF, ..])
    }

    fn open(&self, task: &RenderTask) -> Result<Header, RenderError> {
        open_with(task, |_, _, _| Err(RenderError::decode("there is no other decoder")))
    }
}

/// Decodes a source of that size, at one that has as many pixels as are needed.
pub(in crate::thumbnail::formats) type Decoder =
    fn(&Bytes, Size, Size) -> Result<Box<dyn Source>, RenderError>;

/// Reads the header. Pictures that are not ordinary are first given to `instead`, then to a decoder that takes more time,
/// and more kinds of them.
pub(in crate::thumbnail::formats) fn open_with(
    task: &RenderTask,
    instead: Decoder,
) -> Result<Header, RenderError> {
    let mut decoder = JpegDecoder::new(SourceReader::new(task)).map_err(into_render_error)?;
    let (width, height) = decoder.dimensions();
    let size = Size::new(width, height);
    // Damaged metadata is no reason to refuse a picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let icc = decoder.icc_profile().ok().flatten();
    let grey = decoder.color_type() == ColorType::L8;
    let decode_bytes =
        (decoder.total_bytes() + unscaled::working_bytes(&task.source, size)).max(scaled::bytes(size, grey));
    // It holds a copy of the source, and is seldom needed again.
    drop(decoder);
    let (source, cancelled) = (task.source.clone(), task.cancelled.clone());
    let decode = move |needed| {
        let scaled = scaled::decode(&source, size, grey, needed, &|| cancelled.get());
        if let Ok(planes) = scaled {
            return Ok(Box::new(planes) as Box<dyn Source>);
        }
        if cancelled.get() {
            return Err(RenderError::Deadline);
        }
        instead(&source, size, needed).or_else(|_| {
            let reader = SourceReader::over(source, cancelled);
            steps::decode(JpegDecoder::new(reader).map_err(into_render_error)?)
        })
    };
    Ok(Header {
        content_type: "image/jpeg",
        size,
        pixels: size.area(),
        orientation,
        icc,
        animated: false,
        animation: None,
        jpeg_if_opaque: true,
        decode_bytes,
        at_worst_bytes: 0,
        decode: Box::new(decode),
    })
}

/// Whether a picture of at most so many pixels is decoded at each of the scales; none of larger ones. For fuzzing.
pub(in crate::thumbnail::formats) fn decoded_at_each_scale(
    source: &[u8],
    max_pixels: u64,
) -> Option<[bool; 6]> {
    let headers = headers::Headers::read(source).ok().filter(|headers| headers.size.area() <= max_pixels)?;
    Some(scaled::SCALES.map(|eighths| scaled::at_scale(&headers, eighths, &|| false).is_ok()))
}

#[cfg(test)]
mod tests;
