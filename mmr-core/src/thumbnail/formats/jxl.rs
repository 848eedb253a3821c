//! JPEG XL sources; of animations the first frame.
//!
//! The decoder turns pictures upright and into sRGB, high dynamic range included.

mod header;

use std::fmt::Display;

use bytes::Bytes;
use image::metadata::Orientation;
use jxl_oxide::{
    AllocTracker, EnumColourEncoding, InitializeResult, JxlImage, JxlThreadPool, PixelFormat, RenderingIntent,
};
use moxcms::{ColorProfile, TransformOptions};

use self::header::CodestreamHeader;
use super::still::{Format, Header, Layout, Pixels};
use crate::thumbnail::render::{Cancelled, RenderError, RenderTask};
use crate::types::Size;

/// JPEG XL, bare or in a container.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jxl;

/// What the decoder may take for a pixel: channels of 32 bits as they are, filtered, and in other colours. Measured were
/// 26 of a lossy picture.
const BYTES_PER_PIXEL: u64 = 32;

/// The same for each further channel of a pixel.
const BYTES_PER_EXTRA_CHANNEL: u64 = 8;

/// What the decoder takes for any picture: groups of 256 by 256 pixels, and tables of entropy codes.
const WORKING_BYTES: u64 = 24 * 1024 * 1024;

/// What a colour profile may become when it is decompressed, in two steps.
const PROFILE_BYTES: u64 = 512 * 1024 * 1024;

/// Pixels whose colours are converted at once.
const PIXELS_AT_ONCE: usize = 4096;

/// Bytes given to the decoder between two looks at whether anybody waits.
const STRIDE: usize = 64 * 1024;

impl Format for Jxl {
    fn is(&self, source: &[u8]) -> bool {
        source.starts_with(&header::CODESTREAM) || source.starts_with(&header::CONTAINER)
    }

    fn open(&self, task: &RenderTask) -> Result<Header, RenderError> {
        let header = CodestreamHeader::of(&task.source).map_err(RenderError::decode)?;
        let size = header.upright();
        let area = size.area();
        let (source, cancelled) = (task.source.clone(), task.cancelled.clone());
        let per_pixel = BYTES_PER_PIXEL + BYTES_PER_EXTRA_CHANNEL * u64::from(header.extra_channels);
        let tracked = area.saturating_mul(per_pixel).saturating_add(WORKING_BYTES);
        // The decoder copies its input, twice while a frame is not complete.
        let untracked = area.saturating_mul(4).saturating_add(3 * source.len() as u64);
        Ok(Header {
            content_type: "image/jxl",
            size,
            pixels: area,
            orientation: Orientation::NoTransforms,
            icc: None,
            animated: header.animated,
            animation: None,
            jpeg_if_opaque: true,
            decode_bytes: tracked.saturating_add(untracked),
            at_worst_bytes: if header.has_profile { PROFILE_BYTES } else { 0 },
            decode: Box::new(move |_| decode(&source, size, tracked, &cancelled).map(Pixels::boxed)),
        })
    }
}

fn decode(source: &Bytes, size: Size, limit: u64, cancelled: &Cancelled) -> Result<Pixels, RenderError> {
    let tracker = AllocTracker::with_limit(usize::try_from(limit).unwrap_or(usize::MAX));
    let mut image = load(source, tracker, cancelled)?;
    let convert = image.original_icc().is_some() && !image.image_header().metadata.xyb_encoded;
    if !convert {
        // Grey stays grey, in the same curve.
        let srgb = if image.pixel_format().is_grayscale() {
            EnumColourEncoding::gray_srgb(RenderingIntent::Relative)
        } else {
            EnumColourEncoding::srgb(RenderingIntent::Relative)
        };
        image.request_color_encoding(srgb);
    }
    let layout = match image.pixel_format() {
        PixelFormat::Gray => Layout::Grey,
        PixelFormat::Graya => Layout::GreyAlpha,
        PixelFormat::Rgb => Layout::Rgb,
        PixelFormat::Rgba => Layout::Rgba,
        PixelFormat::Cmyk | PixelFormat::Cmyka => {
            return Err(RenderError::Unsupported("CMYK in JPEG XL".to_owned()));
        }
    };
    let rendered =
        if image.num_loaded_keyframes() > 0 { image.render_frame(0) } else { image.render_loading_frame() };
    let rendered = rendered.map_err(error)?;
    let mut stream = rendered.stream();
    let channels = layout.channels();
    if (stream.width(), stream.height()) != (size.width, size.height)
        || stream.channels() as usize != channels
    {
        return Err(RenderError::decode("frame is not as its header says"));
    }
    let pixels = usize::try_from(size.area()).map_err(RenderError::decode)?;
    let mut data = vec![0_u8; pixels * channels];
    stream.write_to_buffer(&mut data);
    if convert {
        to_srgb(&mut data, &image.rendered_icc(), layout);
    }
    Ok(Pixels::new(data, size, layout))
}

/// Reads until the first frame that is shown is complete, or the file ends.
fn load(source: &Bytes, tracker: AllocTracker, cancelled: &Cancelled) -> Result<JxlImage, RenderError> {
    let mut pending = JxlImage::builder().alloc_tracker(tracker).pool(JxlThreadPool::none()).build_uninit();
    // Each try to begin starts over, so each is with twice as much as the one before.
    let (mut at, mut step) = (0, STRIDE);
    let mut image = loop {
        let next = source.get(at..).filter(|rest| !rest.is_empty()).ok_or_else(ends)?;
        let consumed = pending.feed_bytes(next.get(..step).unwrap_or(next)).map_err(error)?;
        if consumed == 0 {
            return Err(ends());
        }
        at += consumed;
        step = at;
        match pending.try_init().map_err(error)? {
            InitializeResult::NeedMoreData(more) => pending = more,
            InitializeResult::Initialized(image) => break image,
        }
        if cancelled.get() {
            return Err(RenderError::Deadline);
        }
    };
    while image.num_loaded_keyframes() == 0 && !image.is_loading_done() {
        let Some(next) = source.get(at..).filter(|rest| !rest.is_empty()) else { break };
        let consumed = image.feed_bytes(next.get(..STRIDE).unwrap_or(next)).map_err(error)?;
        if consumed == 0 {
            break;
        }
        at += consumed;
        if cancelled.get() {
            return Err(RenderError::Deadline);
        }
    }
    if image.num_loaded_keyframes() == 0 && image.frame(0).is_none() {
        return Err(ends());
    }
    Ok(image)
}

/// Colours of a profile that the decoder does not know become sRGB; they stay as they are where that cannot be.
fn to_srgb(data: &mut [u8], profile: &[u8], layout: Layout) {
    let kind = match layout {
        Layout::Rgb => moxcms::Layout::Rgb,
        Layout::Rgba => moxcms::Layout::Rgba,
        Layout::Grey | Layout::GreyAlpha => return,
    };
    let Ok(profile) = ColorProfile::new_from_slice(profile) else { return };
    let srgb = ColorProfile::new_srgb();
    let Ok(transform) = profile.create_transform_8bit(kind, &srgb, kind, TransformOptions::default()) else {
        return;
    };
    let mut before = Vec::with_capacity(PIXELS_AT_ONCE * layout.channels());
    for pixels in data.chunks_mut(PIXELS_AT_ONCE * layout.channels()) {
        before.clear();
        before.extend_from_slice(pixels);
        if transform.transform(&before, pixels).is_err() {
            return;
        }
    }
}

fn error(error: impl Display) -> RenderError {
    RenderError::decode(error.to_string())
}

fn ends() -> RenderError {
    RenderError::decode("file ends before its first frame")
}

#[cfg(test)]
mod tests;
