//! Animated thumbnails: the frames of an animation are drawn once, one after the other, and every thumbnail takes its own
//! copy. Memory is for one frame, however many there are.
//!
//! What would cost too much becomes a still thumbnail, which is no error: an animation of too many frames or pixels, and a
//! thumbnail of too many pixels or bytes.

mod canvas;
mod changes;
mod from_gif;
mod from_png;
pub(super) mod from_webp;
mod to_apng;

use std::sync::Arc;
use std::time::Duration;

pub(super) use self::changes::{Output, OutputForm, Patch};
pub(super) use self::from_gif::GifFrames;
pub(super) use self::from_png::{ApngOutline, PngFrames};
pub(super) use self::from_webp::WebPFrames;
pub(super) use self::to_apng::Apng;

use self::changes::Changes;
use crate::thumbnail::geometry::Placement;
use crate::thumbnail::render::{Cancelled, RenderError, Rendered};
use crate::types::Size;

/// Frames of the longest animation that stays one.
const MOST_FRAMES: u64 = 1000;

/// Pixels that may be drawn for an animation, those of the canvas and of the frame for each: some ten seconds' worth for the
/// slowest format.
const DRAWN_PIXELS: u64 = 300_000_000;

/// Pixels that all animated thumbnails of one source may have together: five seconds' worth.
const OUTPUT_PIXELS: u64 = 40_000_000;

/// Bytes of the largest animated thumbnail.
const OUTPUT_BYTES: u64 = 16 * 1024 * 1024;

/// Bytes that drawing frames on each other may take; of anything larger only the first frame is shown.
const DRAWING_BYTES: u64 = 192 * 1024 * 1024;

/// Pixels that may be drawn to reach the frame that stands for an animation; an earlier one is shown where that is not
/// enough.
const STILL_FRAME_PIXELS: u64 = 64_000_000;

/// Bytes of a pixel: all frames are RGBA.
const PIXEL_BYTES: usize = 4;

/// The same, where bytes are counted.
pub(super) const CHANNELS: u64 = PIXEL_BYTES as u64;

/// Milliseconds up to which browsers take a delay for none given, and show the frame for [`USUAL_DELAY`].
const NO_DELAY: u32 = 10;

const USUAL_DELAY: u32 = 100;

/// A frame as it is shown.
pub(super) struct Frame {
    /// All of the canvas in RGBA, row by row.
    pub(super) rgba: Vec<u8>,
    /// In milliseconds.
    pub(super) delay: u32,
}

/// The frames of an animation, in their order.
pub(super) type Frames = Box<dyn Iterator<Item = Result<Frame, RenderError>>>;

/// What the structure of a file says about its animation, and the way to its frames.
#[derive(Clone)]
pub(super) struct Animation {
    /// Frames that there are at most.
    pub(super) frames: u64,
    /// How often it is played; 0 for ever.
    pub(super) plays: u32,
    /// How long it is played once.
    pub(super) duration: Duration,
    /// Pixels that one frame takes at most, those of the canvas included.
    pub(super) frame_pixels: u64,
    /// Bytes that drawing takes, a [`Frame`] included.
    pub(super) drawing_bytes: u64,
    /// Begins with the first frame, each time.
    pub(super) open: Arc<dyn Fn() -> Result<Frames, RenderError> + Send + Sync>,
}

impl Animation {
    /// Whether it is short and small enough to stay an animation.
    pub(super) const fn may_move(&self) -> bool {
        self.frames > 1
            && self.frames <= MOST_FRAMES
            && self.frames.saturating_mul(self.frame_pixels) <= DRAWN_PIXELS
            && self.drawing_bytes <= DRAWING_BYTES
    }

    /// Takes the pixels of a thumbnail out of `room`, where there are so many left.
    pub(super) fn fits(&self, placement: &Placement, room: &mut OutputRoom) -> bool {
        let left = room.0.checked_sub(self.frames.saturating_mul(placement.size.area()));
        left.inspect(|&left| room.0 = left).is_some()
    }

    /// Bytes that a thumbnail takes besides the drawing and the resizing.
    pub(super) fn output_bytes(&self, placement: &Placement) -> u64 {
        /// What an encoder takes for a pixel, the one that needs most.
        const ENCODER_BYTES: u64 = 32;
        let area = placement.size.area();
        // The canvas to resize, the thumbnail so far and what is to be added; a buffer that grows is there twice.
        self.frame_pixels * CHANNELS
            + area * (2 * CHANNELS + ENCODER_BYTES)
            + 2 * OUTPUT_BYTES.min(self.frames.saturating_mul(area * CHANNELS + 1024))
    }

    /// The frame to show where nothing may move: at `position` (0 the first, 1 the last) of all, but not too many pixels
    /// away.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a rounding error of one frame does not matter, and the cast saturates"
    )]
    pub(super) fn still_frame(&self, position: f32) -> u64 {
        let wanted = (f64::from(position.clamp(0.0, 1.0)) * self.frames as f64) as u64;
        let affordable = match self.drawing_bytes {
            0..=DRAWING_BYTES => STILL_FRAME_PIXELS / self.frame_pixels.max(1),
            _ => 0,
        };
        wanted.min(self.frames.saturating_sub(1)).min(affordable)
    }

    /// Draws the frames up to `index`, or up to the last undamaged one, and returns its pixels.
    pub(super) fn draw(&self, index: u64, cancelled: &Cancelled) -> Result<Vec<u8>, RenderError> {
        let mut shown = Err(RenderError::decode("animation has no frames"));
        for (number, frame) in (0..=index).zip((self.open)()?) {
            match frame {
                Ok(frame) => shown = Ok(frame.rgba),
                Err(error) if number == 0 => return Err(error),
                Err(_) => break,
            }
            if cancelled.get() {
                return Err(RenderError::Deadline);
            }
        }
        shown
    }
}

/// Pixels that the animated thumbnails of a source may still have.
pub(super) struct OutputRoom(u64);

impl Default for OutputRoom {
    fn default() -> Self {
        Self(OUTPUT_PIXELS)
    }
}

/// What a file to write an animation into is told first.
#[derive(Clone, Copy)]
pub(super) struct OutputHeader {
    pub(super) size: Size,
    /// Frames that come at most.
    pub(super) frames: u32,
    /// How often it is to be played; 0 for ever.
    pub(super) plays: u32,
}

/// Opens a file of the format in which this build writes animations.
pub(super) type NewOutput = fn(OutputHeader) -> Result<Box<dyn Output>, RenderError>;

/// Brings RGBA pixels of the canvas to the size of a thumbnail.
pub(super) type Resize<'a> = &'a mut dyn FnMut(Vec<u8>, &Placement) -> Result<Vec<u8>, RenderError>;

/// Makes a thumbnail for each placement; `None` for one that had better be still. Damage after the first frame ends the
/// animation there.
pub(super) fn render(
    animation: &Animation,
    placements: &[Placement],
    new: NewOutput,
    resize: Resize<'_>,
    cancelled: &Cancelled,
) -> Result<Vec<Option<Rendered>>, RenderError> {
    let header = |size| OutputHeader {
        size,
        frames: u32::try_from(animation.frames).unwrap_or(u32::MAX),
        plays: animation.plays,
    };
    let mut tracks = Vec::with_capacity(placements.len());
    for placement in placements {
        let size = placement.size;
        tracks.push(Track { placement, changes: Some(Changes::new(new(header(size))?, size)) });
    }
    for (number, frame) in (0..animation.frames).zip((animation.open)()?) {
        if cancelled.get() {
            return Err(RenderError::Deadline);
        }
        match frame {
            Ok(frame) => add(&mut tracks, &frame, resize)?,
            Err(error) if number == 0 => return Err(error),
            Err(_) => break,
        }
        if tracks.iter().all(|track| track.changes.is_none()) {
            break;
        }
    }
    // The end may be one that the sources made, since nobody waits.
    if cancelled.get() {
        return Err(RenderError::Deadline);
    }
    tracks.into_iter().map(Track::finish).collect()
}

/// Milliseconds for which a frame with this delay is shown.
pub(super) const fn shown_for(delay: u32) -> u32 {
    if delay <= NO_DELAY { USUAL_DELAY } else { delay }
}

fn add(tracks: &mut [Track<'_>], frame: &Frame, resize: Resize<'_>) -> Result<(), RenderError> {
    let delay = shown_for(frame.delay);
    for Track { placement, changes } in tracks {
        let Some(added) = changes else { continue };
        added.add(resize(frame.rgba.clone(), placement)?, delay)?;
        if added.bytes() > OUTPUT_BYTES {
            *changes = None;
        }
    }
    Ok(())
}

/// A thumbnail on its way.
struct Track<'a> {
    placement: &'a Placement,
    /// `None` since it became too long.
    changes: Option<Changes>,
}

impl Track<'_> {
    fn finish(self) -> Result<Option<Rendered>, RenderError> {
        let Some(changes) = self.changes else { return Ok(None) };
        let Some((bytes, content_type)) = changes.finish()? else { return Ok(None) };
        if bytes.len() as u64 > OUTPUT_BYTES {
            return Ok(None);
        }
        let Size { width, height } = self.placement.size;
        Ok(Some(Rendered::Image { bytes: bytes.into(), content_type, width, height }))
    }
}

#[cfg(test)]
mod tests;
