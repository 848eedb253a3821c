//! Writes animated WebP: libwebp encodes the frames, and the container around them is written here.

use bytes::{Buf, Bytes};
use webpx::{Encoder, EncoderConfig, Unstoppable};

use super::animated::from_webp::{Chunk, put_chunk, take_chunk};
use super::animated::{Output, OutputForm, OutputHeader, Patch};
use crate::thumbnail::geometry::Rect;
use crate::thumbnail::render::RenderError;
use crate::types::Size;

/// Of 100; as that of JPEG thumbnails.
const QUALITY: f32 = 80.0;

/// How hard libwebp tries, up to 6: 4 takes half as long again for 4 to 8 % fewer bytes.
const EFFORT: u8 = 2;

/// Flags of the file.
const ANIMATION: u8 = 0x02;
const ALPHA: u8 = 0x10;

/// Where the flags are.
const FLAGS_AT: usize = 20;

/// A file being written.
pub(super) struct WebPAnimation {
    config: EncoderConfig,
    file: Vec<u8>,
}

impl WebPAnimation {
    #[expect(
        clippy::new_ret_no_self,
        clippy::unnecessary_wraps,
        reason = "it is one of several formats to whoever opens it"
    )]
    pub(super) fn new(header: OutputHeader) -> Result<Box<dyn Output>, RenderError> {
        let OutputHeader { size, plays, .. } = header;
        let config = EncoderConfig::new().quality(QUALITY).method(EFFORT);
        let mut file = b"RIFF\0\0\0\0WEBP".to_vec();
        let extended = [&[ANIMATION, 0, 0, 0], &less_one(size.width)[..], &less_one(size.height)].concat();
        put_chunk(&mut file, *b"VP8X", &extended);
        // A transparent background, and 0 for ever.
        let plays = u16::try_from(plays).unwrap_or(u16::MAX).to_le_bytes();
        put_chunk(&mut file, *b"ANIM", &[0, 0, 0, 0, plays[0], plays[1]]);
        Ok(Box::new(Self { config, file }))
    }
}

impl Output for WebPAnimation {
    fn form(&self) -> OutputForm {
        const LONGEST_DELAY: u32 = 0xFF_FFFF;
        OutputForm { grid: 2, over: false, longest_delay: LONGEST_DELAY, content_type: "image/webp" }
    }

    fn add(&mut self, patch: &Patch) -> Result<(), RenderError> {
        let Rect { left, top, size } = patch.rect;
        let picture = encode(&patch.rgba, size, &self.config)?;
        let mut frame = Vec::with_capacity(picture.len() + 16);
        for number in [left / 2, top / 2, size.width - 1, size.height - 1, patch.delay] {
            frame.extend_from_slice(&three_bytes(number));
        }
        frame.push(if patch.over { 0 } else { 2 });
        let mut chunks = Bytes::copy_from_slice(&picture);
        chunks.advance(chunks.len().min(12));
        while let Some(Chunk { name, data, .. }) = take_chunk(&mut chunks) {
            if matches!(&name, b"ALPH" | b"VP8 " | b"VP8L") {
                put_chunk(&mut frame, name, &data);
                if &name != b"VP8 "
                    && let Some(flags) = self.file.get_mut(FLAGS_AT)
                {
                    *flags |= ALPHA;
                }
            }
        }
        put_chunk(&mut self.file, *b"ANMF", &frame);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.file.len() as u64
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, RenderError> {
        const HEADER_BYTES: usize = 8;
        let mut file = self.file;
        let len = u32::try_from(file.len() - HEADER_BYTES).map_err(RenderError::encode)?;
        file[4..HEADER_BYTES].copy_from_slice(&len.to_le_bytes());
        Ok(file)
    }
}

/// A picture with nothing transparent needs no alpha channel, and is encoded in half the time without.
fn encode(rgba: &[u8], Size { width, height }: Size, config: &EncoderConfig) -> Result<Vec<u8>, RenderError> {
    let encode = |encoder: Encoder<'_>| {
        encoder.config(config.clone()).encode(Unstoppable).map_err(RenderError::encode)
    };
    let pixels = rgba.as_chunks::<4>().0;
    if pixels.iter().any(|pixel| pixel[3] != u8::MAX) {
        return encode(Encoder::new_rgba(rgba, width, height));
    }
    let mut rgb = Vec::with_capacity(pixels.len() * 3);
    for [r, g, b, _] in pixels {
        rgb.extend([*r, *g, *b]);
    }
    encode(Encoder::new_rgb(&rgb, width, height))
}

/// The lower three bytes.
fn three_bytes(number: u32) -> [u8; 3] {
    let [low, middle, high, _] = number.to_le_bytes();
    [low, middle, high]
}

fn less_one(side: u32) -> [u8; 3] {
    three_bytes(side.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::images::color;

    /// A patch of one colour.
    fn patch((left, top): (u32, u32), size: Size, letter: u8, delay: u32) -> Patch {
        let rgba = vec![color(letter); usize::try_from(size.area()).unwrap()].concat();
        Patch { rect: Rect { left, top, size }, rgba, over: false, delay }
    }

    #[test]
    fn libwebp_reads_what_is_written_here() {
        let (whole, part) = (Size::new(17, 16), Size::new(5, 7));
        let header = OutputHeader { size: whole, frames: 3, plays: 4 };
        let mut file = WebPAnimation::new(header).unwrap();
        for patch in [
            patch((0, 0), whole, b'R', 40),
            patch((6, 8), part, b'.', 70),
            patch((6, 8), part, b'B', 0xFF_FFFF),
        ] {
            file.add(&patch).unwrap();
        }
        let file = file.finish().unwrap();
        let mut read = webpx::AnimationDecoder::with_options_limits(
            &file,
            webpx::ColorMode::Rgba,
            false,
            &webpx::Limits::none(),
        )
        .unwrap();
        assert_eq!((read.info().frame_count, read.info().loop_count), (3, 4));
        let frames = read.decode_all().unwrap();
        assert_eq!(frames.iter().map(|frame| frame.duration_ms).collect::<Vec<_>>(), [40, 70, 0xFF_FFFF]);
        let blue = |frame: &webpx::Frame| {
            let pixel = (11 * 17 + 8) * 4;
            let [r, _, b, a] = <[u8; 4]>::try_from(&frame.data[pixel..pixel + 4]).unwrap();
            (a, b > r)
        };
        assert_eq!(frames.iter().map(blue).collect::<Vec<_>>(), [(255, false), (0, false), (255, true)]);
    }
}
