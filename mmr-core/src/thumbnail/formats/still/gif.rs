//! GIF sources: one frame of them.

use image::codecs::gif::GifDecoder;
use image::metadata::Orientation;
use image::{AnimationDecoder, ImageDecoder, Limits};

use super::source::SourceReader;
use super::steps::Pixels;
use super::{Format, Header, into_render_error, steps};
use crate::thumbnail::render::{Cancelled, RenderError, RenderTask};
use crate::types::Size;

/// Pixels that may be drawn to reach the frame that stands for an animation; an earlier one is shown
/// where that is not enough.
const STILL_FRAME_PIXELS: u64 = 64_000_000;

const CHANNELS: u64 = 4;

#[derive(Clone, Copy, Debug)]
pub(in crate::thumbnail::formats) struct Gif;

impl Format for Gif {
    fn is(&self, source: &[u8]) -> bool {
        matches!(source, [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..])
    }

    fn open(&self, task: &RenderTask) -> Result<Header, RenderError> {
        open(task)
    }
}

fn open(task: &RenderTask) -> Result<Header, RenderError> {
    let mut decoder = GifDecoder::new(SourceReader::new(task)).map_err(into_render_error)?;
    let (width, height) = decoder.dimensions();
    let size = Size::new(width, height);
    let icc = decoder.icc_profile().ok().flatten();
    let outline = Outline::of(&task.source);
    let index = outline.still_frame(task.policy.still_frame, size);

    let (canvas, frame) = (size.area() * CHANNELS, outline.largest_frame * CHANNELS);
    // Two canvases and a frame inside the decoder when it draws one frame over the other.
    let allocated = if index == 0 { frame } else { 2 * canvas + frame };
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(allocated);
    decoder.set_limits(limits).map_err(into_render_error)?;
    let cancelled = task.cancelled.clone();
    Ok(Header {
        content_type: "image/gif",
        size,
        pixels: size.area().max(outline.largest_frame),
        orientation: Orientation::NoTransforms,
        icc,
        animated: outline.frames > 1,
        jpeg_if_opaque: false,
        // Besides, the frame drawn last and the one before it.
        decode_bytes: allocated + if index == 0 { canvas } else { 2 * canvas },
        at_worst_bytes: 0,
        decode: Box::new(
            move |_| {
                if index == 0 { steps::decode(decoder) } else { draw(decoder, index, &cancelled) }
            },
        ),
    })
}

/// Draws the frames up to `index`, or up to the last undamaged one.
fn draw(decoder: GifDecoder<SourceReader>, index: u64, cancelled: &Cancelled) -> Result<Pixels, RenderError> {
    let mut shown = Err(RenderError::decode("animation has no frames"));
    for (number, frame) in (0..=index).zip(decoder.into_frames()) {
        match frame {
            Ok(frame) => shown = Ok(frame.into_buffer()),
            Err(error) if number == 0 => shown = Err(into_render_error(error)),
            Err(_) => break,
        }
        if shown.is_err() || cancelled.get() {
            break;
        }
    }
    let canvas = shown?;
    let size = Size::new(canvas.width(), canvas.height());
    Ok(Pixels::rgba(canvas.into_raw(), size))
}

/// What the block structure says, without decompressing anything.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outline {
    frames: u64,
    /// Pixels of the largest frame, which need not fit the canvas.
    largest_frame: u64,
}

impl Outline {
    fn of(source: &[u8]) -> Self {
        let mut outline = Self::default();
        // A file that ends early, or in garbage, has the frames until there.
        let _ = outline.walk(&mut Blocks(source));
        outline
    }

    fn walk(&mut self, blocks: &mut Blocks<'_>) -> Option<()> {
        let screen = blocks.take(13)?;
        blocks.skip_colours(screen[10])?;
        loop {
            match blocks.take(1)?[0] {
                b',' => {
                    let frame = blocks.take(9)?;
                    let side = |at: usize| u64::from(u16::from_le_bytes([frame[at], frame[at + 1]]));
                    self.frames += 1;
                    self.largest_frame = self.largest_frame.max(side(4) * side(6));
                    blocks.skip_colours(frame[8])?;
                    blocks.take(1)?;
                    blocks.skip_data()?;
                }
                b'!' => {
                    blocks.take(1)?;
                    blocks.skip_data()?;
                }
                _ => return None,
            }
        }
    }

    /// The frame to show: at `position` (0 the first, 1 the last) of all, but not too many pixels away.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a rounding error of one frame does not matter, and the cast saturates"
    )]
    fn still_frame(&self, position: f32, canvas: Size) -> u64 {
        let wanted = (f64::from(position.clamp(0.0, 1.0)) * self.frames as f64) as u64;
        let affordable = STILL_FRAME_PIXELS / (canvas.area() + self.largest_frame).max(1);
        wanted.min(self.frames.saturating_sub(1)).min(affordable)
    }
}

struct Blocks<'a>(&'a [u8]);

impl<'a> Blocks<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip_colours(&mut self, flags: u8) -> Option<()> {
        if flags & 0x80 != 0 {
            self.take(3 << ((flags & 7) + 1))?;
        }
        Some(())
    }

    fn skip_data(&mut self) -> Option<()> {
        loop {
            let len = self.take(1)?[0];
            if len == 0 {
                return Some(());
            }
            self.take(usize::from(len))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::images;

    #[test]
    fn the_outline_counts_frames_and_finds_the_largest() {
        assert_eq!(Outline::of(&images::animated_gif(8, 6, 5)), Outline { frames: 5, largest_frame: 48 });
        assert_eq!(Outline::of(&images::gif(8, 6)), Outline { frames: 1, largest_frame: 48 });
    }

    #[test]
    fn the_outline_of_a_cut_file_has_the_frames_until_there() {
        let whole = images::animated_gif(8, 6, 5);
        for len in 0..whole.len() {
            assert!(Outline::of(&whole[..len]).frames <= 5, "{len}");
        }
        assert_eq!(Outline::of(&whole[..10]).frames, 0);
    }

    #[test]
    fn the_still_frame_lies_where_the_policy_says() {
        let outline = Outline { frames: 30, largest_frame: 1 };
        let canvas = Size::new(1, 1);
        let chosen = [0.0, 0.5, 0.99, 1.0, 7.0, -1.0, f32::NAN].map(|at| outline.still_frame(at, canvas));
        assert_eq!(chosen, [0, 15, 29, 29, 29, 0, 0]);
    }

    #[test]
    fn reaching_the_still_frame_is_bounded() {
        let outline = Outline { frames: 1_000_000, largest_frame: 1_000_000 };
        assert_eq!(outline.still_frame(1.0, Size::new(1000, 1000)), 32);
        assert_eq!(outline.still_frame(1.0, Size::new(65_535, 65_535)), 0);
    }
}
