//! The frames of an animated WebP. Each is decoded as a picture of its own and drawn here: the decoder behind the `image`
//! crate clears the wrong pixels, or none, where a frame is to be disposed of.

use bytes::{Buf, Bytes};
use image::codecs::webp::WebPDecoder;
use image::{ColorType, ImageDecoder};

use super::canvas::{Blend, Canvas, Disposal};
use super::{Frame, Frames};
use crate::thumbnail::formats::still::{SourceReader, into_render_error};
use crate::thumbnail::geometry::Rect;
use crate::thumbnail::render::{Cancelled, RenderError};
use crate::types::Size;

/// Bytes of the header of a frame, in front of its chunks.
const FRAME_HEADER: usize = 16;

/// The way to the frames of an animated WebP.
pub(in crate::thumbnail::formats) struct WebPFrames {
    pub(in crate::thumbnail::formats) source: Bytes,
    pub(in crate::thumbnail::formats) size: Size,
    pub(in crate::thumbnail::formats) cancelled: Cancelled,
}

impl WebPFrames {
    pub(in crate::thumbnail::formats) fn open(&self) -> Result<Frames, RenderError> {
        let rest = self.source.slice(self.source.len().min(12)..);
        let canvas = Canvas::new(self.size)?;
        Ok(Box::new(Drawing { rest, canvas, cancelled: self.cancelled.clone(), ended: false }))
    }
}

struct Drawing {
    /// The chunks that are left.
    rest: Bytes,
    canvas: Canvas,
    cancelled: Cancelled,
    ended: bool,
}

impl Iterator for Drawing {
    type Item = Result<Frame, RenderError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let Some(chunk) = take_chunk(&mut self.rest) else { break };
            if &chunk.name == b"ANMF" {
                let frame = self.draw(&chunk);
                self.ended = frame.is_err();
                return Some(frame);
            }
        }
        None
    }
}

impl Drawing {
    fn draw(&mut self, chunk: &Chunk) -> Result<Frame, RenderError> {
        let header = chunk.data.first_chunk::<FRAME_HEADER>();
        let (Some(header), true) = (header, chunk.whole) else {
            return Err(RenderError::decode("frame is cut"));
        };
        let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], 0]);
        let size = Size::new(number(6) + 1, number(9) + 1);
        let rect = Rect { left: 2 * number(0), top: 2 * number(3), size };
        let (keeps_below, clears) = (header[15] & 2 == 0, header[15] & 1 == 1);
        // Before there is room made for its pixels.
        self.canvas.check(rect)?;
        let rgba = self.decode(chunk.data.slice(FRAME_HEADER..), size)?;
        self.canvas.draw(
            rect,
            &rgba,
            if keeps_below { Blend::Over } else { Blend::Source },
            if clears { Disposal::Clear } else { Disposal::Keep },
        )?;
        Ok(Frame { rgba: self.canvas.rgba().to_vec(), delay: number(12) })
    }

    /// The RGBA pixels of a frame, from its chunks.
    fn decode(&self, chunks: Bytes, size: Size) -> Result<Vec<u8>, RenderError> {
        let picture = picture_of(chunks, size)?;
        let reader = SourceReader::over(picture, self.cancelled.clone());
        let decoder = WebPDecoder::new(reader).map_err(into_render_error)?;
        let (width, height) = decoder.dimensions();
        if Size::new(width, height) != size {
            return Err(RenderError::decode("frame is of another size than it says"));
        }
        let color = decoder.color_type();
        let len = usize::try_from(decoder.total_bytes()).map_err(RenderError::decode)?;
        let mut pixels = vec![0; len];
        decoder.read_image(&mut pixels).map_err(into_render_error)?;
        if color == ColorType::Rgba8 {
            return Ok(pixels);
        }
        let mut rgba = Vec::with_capacity(pixels.len() / 3 * 4);
        for [r, g, b] in pixels.as_chunks::<3>().0 {
            rgba.extend([*r, *g, *b, u8::MAX]);
        }
        Ok(rgba)
    }
}

/// A file with nothing but the picture of a frame.
fn picture_of(mut chunks: Bytes, Size { width, height }: Size) -> Result<Bytes, RenderError> {
    const ALPHA: u8 = 0x10;
    let mut alpha = None;
    while let Some(Chunk { name, data, .. }) = take_chunk(&mut chunks) {
        let mut contents = b"WEBP".to_vec();
        match &name {
            b"ALPH" if alpha.is_none() => {
                alpha = Some(data);
                continue;
            }
            b"VP8 " | b"VP8L" => {}
            _ => continue,
        }
        if let (Some(alpha), b"VP8 ") = (alpha, &name) {
            let (right, bottom) = ((width - 1).to_le_bytes(), (height - 1).to_le_bytes());
            let extended = [&[ALPHA, 0, 0, 0], &right[..3], &bottom[..3]].concat();
            put_chunk(&mut contents, *b"VP8X", &extended);
            put_chunk(&mut contents, *b"ALPH", &alpha);
        }
        put_chunk(&mut contents, name, &data);
        let mut file = Vec::with_capacity(contents.len() + 8);
        put_chunk(&mut file, *b"RIFF", &contents);
        return Ok(file.into());
    }
    Err(RenderError::decode("frame has no picture"))
}

pub(in crate::thumbnail::formats) struct Chunk {
    pub(in crate::thumbnail::formats) name: [u8; 4],
    /// As much of it as there is.
    pub(in crate::thumbnail::formats) data: Bytes,
    /// Whether that is all.
    whole: bool,
}

/// The first chunk of a RIFF container.
pub(in crate::thumbnail::formats) fn take_chunk(rest: &mut Bytes) -> Option<Chunk> {
    let name = *rest.first_chunk::<4>()?;
    let len = u32::from_le_bytes(*rest.get(4..8)?.first_chunk()?) as usize;
    rest.advance(8);
    let whole = len <= rest.len();
    let data = rest.split_to(len.min(rest.len()));
    rest.advance(rest.len().min(len % 2));
    Some(Chunk { name, data, whole })
}

/// Adds a chunk to a RIFF container.
pub(in crate::thumbnail::formats) fn put_chunk(file: &mut Vec<u8>, name: [u8; 4], data: &[u8]) {
    file.extend(name);
    file.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
    file.extend_from_slice(data);
    if data.len() % 2 == 1 {
        file.push(0);
    }
}
