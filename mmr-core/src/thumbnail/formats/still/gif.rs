//! GIF sources.

use std::sync::Arc;
use std::time::Duration;

use image::codecs::gif::GifDecoder;
use image::metadata::Orientation;
use image::{ImageDecoder, Limits};

use super::source::SourceReader;
use super::{Decode, Format, Header, animated_still, into_render_error, steps};
use crate::thumbnail::formats::animated::{Animation, CHANNELS, GifFrames, shown_for};
use crate::thumbnail::render::{RenderError, RenderTask};
use crate::types::Size;

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

    let (canvas, frame) = (size.area() * CHANNELS, outline.largest_frame * CHANNELS);
    // Two canvases and a frame inside the decoder when it draws one frame over the other.
    let allocated = 2 * canvas + frame;
    let frames = GifFrames { source: task.source.clone(), cancelled: task.cancelled.clone(), allocated };
    let animation = Animation {
        frames: outline.frames,
        plays: outline.plays,
        duration: Duration::from_millis(outline.millis),
        frame_pixels: size.area() + outline.largest_frame,
        // Besides, the frame drawn last and the one before it.
        drawing_bytes: allocated + 2 * canvas,
        open: Arc::new(move || frames.open()),
    };
    let index = animation.still_frame(task.policy.still_frame);
    let (decode_bytes, decode): (_, Decode) = if index == 0 {
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(frame);
        decoder.set_limits(limits).map_err(into_render_error)?;
        (frame + canvas, Box::new(move |_| steps::decode(decoder)))
    } else {
        (animation.drawing_bytes, animated_still(animation.clone(), index, size, task))
    };
    Ok(Header {
        content_type: "image/gif",
        size,
        pixels: size.area().max(outline.largest_frame),
        orientation: Orientation::NoTransforms,
        icc,
        animated: outline.frames > 1,
        animation: Some(animation),
        jpeg_if_opaque: false,
        decode_bytes,
        at_worst_bytes: 0,
        decode,
    })
}

/// What the block structure says, without decompressing anything.
#[derive(Debug, PartialEq, Eq)]
struct Outline {
    frames: u64,
    /// How often they are played; 0 for ever.
    plays: u32,
    /// Milliseconds for which all frames together are shown.
    millis: u64,
    /// Pixels of the largest frame, which need not fit the canvas.
    largest_frame: u64,
}

impl Outline {
    fn of(source: &[u8]) -> Self {
        let mut outline = Self { frames: 0, plays: 1, millis: 0, largest_frame: 0 };
        // A file that ends early, or in garbage, has the frames until there.
        let _ = outline.walk(&mut Blocks(source));
        outline
    }

    fn walk(&mut self, blocks: &mut Blocks<'_>) -> Option<()> {
        let screen = blocks.take(13)?;
        blocks.skip_colours(screen[10])?;
        let mut delay = 0;
        loop {
            match blocks.take(1)?[0] {
                b',' => {
                    let frame = blocks.take(9)?;
                    let side = |at: usize| u64::from(u16::from_le_bytes([frame[at], frame[at + 1]]));
                    self.frames += 1;
                    self.millis += u64::from(shown_for(std::mem::take(&mut delay)));
                    self.largest_frame = self.largest_frame.max(side(4) * side(6));
                    blocks.skip_colours(frame[8])?;
                    blocks.take(1)?;
                    blocks.skip_data()?;
                }
                b'!' => {
                    // In hundredths of a second, for the frame that follows.
                    if let [0xF9, 4, _, low, high, ..] = *blocks.0 {
                        delay = 10 * u32::from(u16::from_le_bytes([low, high]));
                    }
                    self.see_extension(blocks.0);
                    blocks.take(1)?;
                    blocks.skip_data()?;
                }
                _ => return None,
            }
        }
    }

    /// Looks for how often the animation is repeated, which is played once if nothing is said.
    fn see_extension(&mut self, extension: &[u8]) {
        let rest = extension.strip_prefix(b"\xFF\x0BNETSCAPE2.0\x03\x01");
        if let Some([low, high, ..]) = rest.or_else(|| extension.strip_prefix(b"\xFF\x0BANIMEXTS1.0\x03\x01"))
        {
            self.plays = match u16::from_le_bytes([*low, *high]) {
                0 => 0,
                repeats => u32::from(repeats) + 1,
            };
        }
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
        assert_eq!(
            Outline::of(&images::animated_gif(8, 6, 5)),
            Outline { frames: 5, plays: 1, millis: 500, largest_frame: 48 }
        );
        let still = Outline { frames: 1, plays: 1, millis: 100, largest_frame: 48 };
        assert_eq!(Outline::of(&images::gif(8, 6)), still);
    }

    #[test]
    fn the_outline_of_a_cut_file_has_the_frames_until_there() {
        let whole = images::animated_gif(8, 6, 5);
        for len in 0..whole.len() {
            assert!(Outline::of(&whole[..len]).frames <= 5, "{len}");
        }
        assert_eq!(Outline::of(&whole[..10]).frames, 0);
    }
}
