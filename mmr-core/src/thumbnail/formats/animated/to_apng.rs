//! Writes animated PNG, in safe Rust.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use png::{BitDepth, BlendOp, ColorType, Compression, Encoder, Filter, Writer};

use super::{Output, OutputForm, OutputHeader, Patch};
use crate::thumbnail::render::RenderError;
use crate::types::Size;

/// A file being written.
pub(in crate::thumbnail::formats) struct Apng {
    writer: Writer<Shared>,
    file: Shared,
    frames: u32,
}

impl Apng {
    #[expect(clippy::new_ret_no_self, reason = "it is one of several formats to whoever opens it")]
    pub(in crate::thumbnail::formats) fn new(header: OutputHeader) -> Result<Box<dyn Output>, RenderError> {
        let OutputHeader { size: Size { width, height }, frames, plays } = header;
        let file = Shared::default();
        let mut encoder = Encoder::new(file.clone(), width, height);
        // One kind for all frames, and nobody knows whether a later one will be transparent.
        encoder.set_color(ColorType::Rgba);
        encoder.set_depth(BitDepth::Eight);
        encoder.set_compression(Compression::Balanced);
        encoder.set_filter(Filter::Adaptive);
        encoder.set_animated(frames, plays).map_err(RenderError::encode)?;
        let writer = encoder.write_header().map_err(RenderError::encode)?;
        Ok(Box::new(Self { writer, file, frames: 0 }))
    }

    fn write(&mut self, patch: &Patch) -> Result<(), png::EncodingError> {
        let Patch { rect, rgba, over, .. } = patch;
        let (numerator, denominator) = fraction(patch.delay);
        self.writer.reset_frame_position()?;
        self.writer.set_frame_dimension(rect.size.width, rect.size.height)?;
        self.writer.set_frame_position(rect.left, rect.top)?;
        self.writer.set_blend_op(if *over { BlendOp::Over } else { BlendOp::Source })?;
        self.writer.set_frame_delay(numerator, denominator)?;
        self.writer.write_image_data(rgba)
    }
}

impl Output for Apng {
    fn form(&self) -> OutputForm {
        /// What a fraction of seconds can hold.
        const LONGEST_DELAY: u32 = u16::MAX as u32 * 1000;
        OutputForm { grid: 1, over: true, longest_delay: LONGEST_DELAY, content_type: "image/apng" }
    }

    fn add(&mut self, patch: &Patch) -> Result<(), RenderError> {
        self.write(patch).map_err(RenderError::encode)?;
        self.frames += 1;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.file.0.borrow().len() as u64
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, RenderError> {
        let Self { writer, file, frames } = *self;
        writer.finish().map_err(RenderError::encode)?;
        let mut file = file.0.take();
        correct_frame_count(&mut file, frames).ok_or_else(|| RenderError::encode("there is no acTL"))?;
        Ok(file)
    }
}

/// Milliseconds as a fraction of seconds, as exact as it can be.
fn fraction(delay: u32) -> (u16, u16) {
    let exact = u16::try_from(delay).map(|delay| (delay, 1000));
    exact
        .or_else(|_| u16::try_from(delay / 10).map(|delay| (delay, 100)))
        .unwrap_or_else(|_| (u16::try_from(delay / 1000).unwrap_or(u16::MAX), 1))
}

/// The writer is told before the first frame how many there will be, and frames that are like others are left out.
fn correct_frame_count(file: &mut [u8], frames: u32) -> Option<()> {
    const SIGNATURE_BYTES: usize = 8;
    let mut at = SIGNATURE_BYTES;
    loop {
        let len = u32::from_be_bytes(*file.get(at..)?.first_chunk()?) as usize;
        let (name, contents) = (at + 4, at + 8);
        if file.get(name..contents)? == b"acTL" {
            file.get_mut(contents..contents + 4)?.copy_from_slice(&frames.to_be_bytes());
            let checksum = crc32(file.get(name..contents + len)?);
            file.get_mut(contents + len..contents + len + 4)?.copy_from_slice(&checksum.to_be_bytes());
            return Some(());
        }
        at = contents + len + 4;
    }
}

/// The checksum of a chunk, bit by bit: it is for twelve bytes.
fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 }
            },
        )
    })
}

/// What is written, still at hand while somebody writes.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_as_exact_as_a_fraction_can_be() {
        let cases = [
            (0, (0, 1000)),
            (40, (40, 1000)),
            (65_535, (65_535, 1000)),
            (65_536, (6553, 100)),
            (655_360, (655, 1)),
            (u32::MAX, (u16::MAX, 1)),
        ];
        for (delay, expected) in cases {
            assert_eq!(fraction(delay), expected, "{delay}");
        }
    }

    #[test]
    fn the_checksum_is_that_of_png() {
        assert_eq!(crc32(b"IEND"), 0xAE42_6082);
    }
}
