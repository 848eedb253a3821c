//! PNG sources.

use std::sync::Arc;
use std::time::Duration;

use image::codecs::png::PngDecoder;
use image::metadata::Orientation;
use image::{ImageDecoder, Limits};

use super::source::SourceReader;
use super::{Decode, Format, Header, animated_still, into_render_error, steps};
use crate::thumbnail::formats::animated::{Animation, ApngOutline, CHANNELS, PngFrames};
use crate::thumbnail::render::{RenderError, RenderTask};
use crate::types::Size;

/// Most that a colour profile may become when it is decompressed.
const PROFILE_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Clone, Copy, Debug)]
pub(in crate::thumbnail::formats) struct Png;

impl Format for Png {
    fn is(&self, source: &[u8]) -> bool {
        matches!(source, [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..])
    }

    fn open(&self, task: &RenderTask) -> Result<Header, RenderError> {
        open(task)
    }
}

fn open(task: &RenderTask) -> Result<Header, RenderError> {
    let mut limits = Limits::no_limits();
    // Everything in front of the pixels: chunks are read into a buffer, and texts copied out of it. The
    // decoder also counts one row, so that pictures millions of pixels wide are refused here.
    let chunk_bytes = 3 * task.source.len() as u64 + PROFILE_BYTES;
    limits.max_alloc = Some(chunk_bytes);
    let mut decoder = PngDecoder::with_limits(SourceReader::new(task), limits).map_err(into_render_error)?;
    let (width, height) = decoder.dimensions();
    let size = Size::new(width, height);
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let icc = decoder.icc_profile().ok().flatten();
    let animated = decoder.is_apng().unwrap_or(false);
    // Besides the pixels the decoder keeps a few rows, and a window of the compressed stream.
    let row_bytes = u64::from(width) * u64::from(decoder.color_type().bytes_per_pixel());
    let working_bytes = 8 * row_bytes + 256 * 1024;
    let animation = animated.then(|| animation(task, size, chunk_bytes, working_bytes));
    let still =
        animation.as_ref().map(|animation| (animation, animation.still_frame(task.policy.still_frame)));
    // The first frame may not be the default picture, but is as good.
    let (decode_bytes, decode): (_, Decode) = match still {
        Some((animation, index)) if index > 0 => {
            (animation.drawing_bytes, animated_still(animation.clone(), index, size, task))
        }
        _ => (decoder.total_bytes().saturating_add(working_bytes), Box::new(move |_| steps::decode(decoder))),
    };
    Ok(Header {
        content_type: if animated { "image/apng" } else { "image/png" },
        size,
        pixels: size.area(),
        orientation,
        icc,
        animated,
        animation,
        jpeg_if_opaque: false,
        decode_bytes,
        at_worst_bytes: 0,
        decode,
    })
}

fn animation(task: &RenderTask, size: Size, chunk_bytes: u64, working_bytes: u64) -> Animation {
    /// As decoded, the same in RGBA, the canvas, what it was before, and the frame handed out.
    const COPIES: u64 = 5;
    let ApngOutline { frames, plays, millis } = ApngOutline::of(&task.source);
    let frames_of = PngFrames { source: task.source.clone(), cancelled: task.cancelled.clone(), chunk_bytes };
    Animation {
        frames,
        plays,
        duration: Duration::from_millis(millis),
        frame_pixels: 2 * size.area(),
        drawing_bytes: (COPIES * CHANNELS * size.area()).saturating_add(working_bytes),
        open: Arc::new(move || frames_of.open()),
    }
}
