//! WebP sources.

use std::sync::Arc;
use std::time::Duration;

use image::ImageDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;

use super::source::SourceReader;
use super::{Decode, Format, Header, animated_still, into_render_error, steps};
use crate::thumbnail::formats::animated::{Animation, WebPFrames, shown_for};
use crate::thumbnail::render::{RenderError, RenderTask};
use crate::types::Size;

#[derive(Clone, Copy, Debug)]
pub(in crate::thumbnail::formats) struct WebP;

impl Format for WebP {
    fn is(&self, source: &[u8]) -> bool {
        matches!(source, [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..])
    }

    fn open(&self, task: &RenderTask) -> Result<Header, RenderError> {
        open(task)
    }
}

fn open(task: &RenderTask) -> Result<Header, RenderError> {
    let outline = Outline::of(&task.source);
    // The decoder would refuse all of an animation that is cut in the header of a frame.
    let (size, animation, decode) = if let Some(size) = outline.moving_canvas {
        let animation = animation(task, &outline, size);
        let index = animation.still_frame(task.policy.still_frame);
        let decode = animated_still(animation.clone(), index, size, task);
        (size, Some(animation), decode)
    } else {
        let decoder = WebPDecoder::new(SourceReader::new(task)).map_err(into_render_error)?;
        let (width, height) = decoder.dimensions();
        let decode: Decode = Box::new(move |_| steps::decode(decoder));
        (Size::new(width, height), None, decode)
    };
    let pixels = size.area().max(outline.largest_frame);
    // Read here and not by the decoder, which would believe the declared length of these chunks.
    let orientation = outline
        .exif
        .and_then(|exif| Orientation::from_exif_chunk(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif)));
    Ok(Header {
        content_type: "image/webp",
        size,
        pixels,
        orientation: orientation.unwrap_or(Orientation::NoTransforms),
        icc: outline.icc.map(<[u8]>::to_vec),
        animated: animation.is_some(),
        jpeg_if_opaque: true,
        decode_bytes: outline.decode_bytes(size, task.source.len()),
        at_worst_bytes: outline.prefix_code_bytes(),
        animation,
        decode,
    })
}

fn animation(task: &RenderTask, outline: &Outline<'_>, size: Size) -> Animation {
    let frames = WebPFrames { source: task.source.clone(), size, cancelled: task.cancelled.clone() };
    Animation {
        frames: outline.frames,
        plays: outline.plays,
        duration: Duration::from_millis(outline.millis),
        frame_pixels: size.area() + size.area().max(outline.largest_frame),
        drawing_bytes: outline.decode_bytes(size, task.source.len()),
        open: Arc::new(move || frames.open()),
    }
}

/// What the chunk structure says, without decoding anything.
#[derive(Debug, Default)]
struct Outline<'a> {
    /// The canvas, where the file is said to be an animation.
    moving_canvas: Option<Size>,
    frames: u64,
    /// How often they are played; 0 for ever.
    plays: u32,
    /// Milliseconds for which all frames together are shown.
    millis: u64,
    /// Pixels of the largest lossy frame. The decoder makes room for what the frame says before it compares
    /// that with the canvas.
    largest_frame: u64,
    /// Bytes of the largest losslessly compressed picture or alpha channel.
    lossless_bytes: u64,
    exif: Option<&'a [u8]>,
    icc: Option<&'a [u8]>,
}

impl<'a> Outline<'a> {
    fn of(source: &'a [u8]) -> Self {
        let mut outline = Self::default();
        let chunks = source.get(12..).unwrap_or_default();
        for (index, Chunk { name, data, whole }) in Chunks(chunks).enumerate() {
            outline.see(name, data);
            match name {
                b"VP8X" if index == 0 => outline.moving_canvas = moving_canvas(data),
                b"EXIF" if whole && outline.exif.is_none() => outline.exif = Some(data),
                b"ICCP" if whole && outline.icc.is_none() => outline.icc = Some(data),
                b"ANIM" => {
                    if let [_, _, _, _, low, high, ..] = *data {
                        outline.plays = u16::from_le_bytes([low, high]).into();
                    }
                }
                // A frame of an animation: sixteen bytes, then chunks of its own.
                b"ANMF" => {
                    outline.frames += 1;
                    if let Some([low, middle, high]) = data.get(12..15) {
                        let delay = u32::from_le_bytes([*low, *middle, *high, 0]);
                        outline.millis += u64::from(shown_for(delay));
                    }
                    for Chunk { name, data, .. } in Chunks(data.get(16..).unwrap_or_default()) {
                        outline.see(name, data);
                    }
                }
                _ => {}
            }
        }
        outline
    }

    fn see(&mut self, name: &[u8], data: &[u8]) {
        // Whatever the name: the decoder takes what follows an alpha channel for a frame.
        if let [_, _, _, 0x9D, 0x01, 0x2A, w0, w1, h0, h1, ..] = *data {
            let side = |low, high| u64::from(u16::from_le_bytes([low, high]) & 0x3FFF);
            self.largest_frame = self.largest_frame.max(side(w0, w1) * side(h0, h1));
        }
        if matches!(name, b"VP8L" | b"ALPH") {
            self.lossless_bytes = self.lossless_bytes.max(data.len() as u64);
        }
    }

    /// What decoding takes at most, the decoded pixels included.
    fn decode_bytes(&self, size: Size, source_bytes: usize) -> u64 {
        let pixels = size.area().max(self.largest_frame);
        pixels.saturating_mul(self.bytes_per_pixel()).saturating_add(3 * source_bytes as u64)
    }

    fn bytes_per_pixel(&self) -> u64 {
        if self.moving_canvas.is_some() {
            19 // canvas 4, frame 4, its planes 2, its alpha 5, the frame before 4
        } else if self.lossless_bytes > 0 {
            11 // output 4, planes 2, alpha 5; or output 3, lossless 4, its transforms
        } else {
            5 // output 3, planes 2
        }
    }

    /// What the tables of prefix codes could take. A lossless picture brings as many codes as it likes, up to
    /// five times 65536, and the decoder builds a table of 4 KiB from as little as 11 bytes of each. Encoders
    /// write a few hundred.
    fn prefix_code_bytes(&self) -> u64 {
        const MOST: u64 = 5 * 65_536 * 4_400;
        const BYTES_PER_BYTE: u64 = 400;
        (self.lossless_bytes * BYTES_PER_BYTE).min(MOST)
    }
}

/// Width and height of an animation, from the first chunk of its file.
fn moving_canvas(extended: &[u8]) -> Option<Size> {
    const ANIMATION: u8 = 0x02;
    let [flags, _, _, _, w0, w1, w2, h0, h1, h2, ..] = *extended else { return None };
    let side = |bytes: [u8; 3]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) + 1;
    (flags & ANIMATION != 0).then(|| Size::new(side([w0, w1, w2]), side([h0, h1, h2])))
}

struct Chunk<'a> {
    name: &'a [u8],
    /// As much of it as there is.
    data: &'a [u8],
    /// Whether that is all.
    whole: bool,
}

/// The chunks of a RIFF container.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let (name, rest) = self.0.split_at_checked(4)?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let len = u32::from_le_bytes(*len) as usize;
        let data = rest.get(..len);
        self.0 = rest.get(len.saturating_add(len % 2)..).unwrap_or_default();
        Some(Chunk { name, data: data.unwrap_or(rest), whole: data.is_some() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::images;

    #[test]
    fn a_lossy_frame_is_measured_by_its_own_header() {
        let outline_area = |source: &[u8]| Outline::of(source).largest_frame;
        assert_eq!(outline_area(&images::lossy_webp()), 16 * 16);
        assert_eq!(outline_area(&images::webp_with_frame_larger_than_canvas()), 16_383 * 16_383);
    }

    #[test]
    fn metadata_that_claims_to_be_longer_than_the_file_is_not_read() {
        let mut source = images::webp_with_orientation(8, 8, 6).to_vec();
        assert!(Outline::of(&source).exif.is_some());
        source.pop();
        assert!(Outline::of(&source).exif.is_none());
    }

    #[test]
    fn lossless_data_is_expected_to_be_able_to_explode() {
        assert_eq!(Outline::of(&images::lossy_webp()).prefix_code_bytes(), 0);
        assert!(Outline::of(&images::lossless_webp(8, 8)).prefix_code_bytes() > 0);
    }
}
