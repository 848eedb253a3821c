//! The frames of an animated PNG, which the `image` crate draws wrong when they are interlaced, and not at all when they
//! have 16 bits per channel.

use bytes::Bytes;
use png::{BlendOp, ColorType, Decoder, DisposeOp, Reader, Transformations};

use super::canvas::{Blend, Canvas, Disposal};
use super::{Frame, Frames, shown_for};
use crate::thumbnail::formats::still::SourceReader;
use crate::thumbnail::geometry::Rect;
use crate::thumbnail::render::{Cancelled, RenderError};
use crate::types::Size;

/// What the chunks say, without decompressing anything.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::thumbnail::formats) struct ApngOutline {
    /// Frames that are announced and there.
    pub(in crate::thumbnail::formats) frames: u64,
    /// How often they are played; 0 for ever.
    pub(in crate::thumbnail::formats) plays: u32,
    /// Milliseconds for which all frames together are shown.
    pub(in crate::thumbnail::formats) millis: u64,
}

impl ApngOutline {
    pub(in crate::thumbnail::formats) fn of(source: &[u8]) -> Self {
        let mut outline = Self::default();
        let mut found = 0;
        let chunks = source.get(8..).unwrap_or_default();
        for (name, data) in Chunks(chunks) {
            match (name, data) {
                (b"acTL", [f0, f1, f2, f3, p0, p1, p2, p3]) => {
                    outline.frames = u32::from_be_bytes([*f0, *f1, *f2, *f3]).into();
                    outline.plays = u32::from_be_bytes([*p0, *p1, *p2, *p3]);
                }
                (b"fcTL", control) => {
                    found += 1;
                    if let Some([n0, n1, d0, d1]) = control.get(20..24)
                        && found <= outline.frames
                    {
                        let delay = delay(u16::from_be_bytes([*n0, *n1]), u16::from_be_bytes([*d0, *d1]));
                        outline.millis += u64::from(shown_for(delay));
                    }
                }
                _ => {}
            }
        }
        outline.frames = outline.frames.min(found);
        outline
    }
}

/// Names and contents of the chunks of a PNG, the last as far as it is there.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        const CHECKSUM_BYTES: usize = 4;
        let (len, rest) = self.0.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_at_checked(4)?;
        let len = u32::from_be_bytes(*len) as usize;
        self.0 = rest.get(len.saturating_add(CHECKSUM_BYTES)..).unwrap_or_default();
        Some((name, rest.get(..len).unwrap_or(rest)))
    }
}

/// The way to the frames of an animated PNG.
pub(in crate::thumbnail::formats) struct PngFrames {
    pub(in crate::thumbnail::formats) source: Bytes,
    pub(in crate::thumbnail::formats) cancelled: Cancelled,
    /// Bytes that the decoder may allocate for anything but pixels.
    pub(in crate::thumbnail::formats) chunk_bytes: u64,
}

impl PngFrames {
    pub(in crate::thumbnail::formats) fn open(&self) -> Result<Frames, RenderError> {
        let bytes = usize::try_from(self.chunk_bytes).map_err(RenderError::decode)?;
        let reader = SourceReader::over(self.source.clone(), self.cancelled.clone());
        let mut decoder = Decoder::new_with_limits(reader, png::Limits { bytes });
        decoder.set_transformations(Transformations::normalize_to_color8());
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        let reader = decoder.read_info().map_err(RenderError::decode)?;
        let info = reader.info();
        let (width, height) = info.size();
        // A picture in front of the first frame is for those who know no animations.
        let preview = info.frame_control().is_none();
        let canvas = Canvas::new(Size::new(width, height))?;
        Ok(Box::new(Drawing { reader, canvas, preview, first: true, ended: false }))
    }
}

struct Drawing {
    reader: Reader<SourceReader>,
    canvas: Canvas,
    /// Whether the next picture is no frame.
    preview: bool,
    /// Whether the next frame is the first.
    first: bool,
    ended: bool,
}

impl Iterator for Drawing {
    type Item = Result<Frame, RenderError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let frame = self.draw();
        self.ended = frame.is_err();
        Some(frame)
    }
}

impl Drawing {
    fn draw(&mut self) -> Result<Frame, RenderError> {
        let len = self.reader.output_buffer_size();
        let len = len.ok_or_else(|| RenderError::decode("picture does not fit in memory"))?;
        let mut pixels = vec![0; len];
        if std::mem::take(&mut self.preview) {
            self.reader.next_frame(&mut pixels).map_err(RenderError::decode)?;
        }
        let output = self.reader.next_frame(&mut pixels).map_err(RenderError::decode)?;
        let info = self.reader.info();
        let control = *info.frame_control().ok_or_else(|| RenderError::decode("picture is no frame"))?;
        // Passes of an interlaced frame are put together in rows as long as those of the canvas.
        let row_width = if info.interlaced { info.width } else { control.width };
        let (rect, stride) = (
            Rect {
                left: control.x_offset,
                top: control.y_offset,
                size: Size::new(control.width, control.height),
            },
            row_width as usize * output.color_type.samples(),
        );
        let rgba = to_rgba(&pixels, rect.size, stride, output.color_type)?;
        drop(pixels);
        let blend = match control.blend_op {
            BlendOp::Source => Blend::Source,
            BlendOp::Over => Blend::Over,
        };
        let disposal = match control.dispose_op {
            DisposeOp::None => Disposal::Keep,
            DisposeOp::Background => Disposal::Clear,
            // There is nothing before the first; of an empty canvas both are the same.
            DisposeOp::Previous if self.first => Disposal::Clear,
            DisposeOp::Previous => Disposal::Restore,
        };
        self.first = false;
        self.canvas.draw(rect, &rgba, blend, disposal)?;
        let delay = delay(control.delay_num, control.delay_den);
        Ok(Frame { rgba: self.canvas.rgba().to_vec(), delay })
    }
}

/// A fraction of a second in milliseconds.
fn delay(numerator: u16, denominator: u16) -> u32 {
    u32::from(numerator) * 1000 / if denominator == 0 { 100 } else { u32::from(denominator) }
}

/// Rows of `stride` samples become rows of `size` RGBA pixels.
fn to_rgba(pixels: &[u8], size: Size, stride: usize, color: ColorType) -> Result<Vec<u8>, RenderError> {
    let samples = color.samples();
    let to_pixel: fn(&[u8]) -> Option<[u8; 4]> = match color {
        ColorType::Grayscale => |pixel| pixel.first().map(|&grey| [grey, grey, grey, u8::MAX]),
        ColorType::GrayscaleAlpha => |pixel| pixel.first_chunk().map(|&[grey, a]| [grey, grey, grey, a]),
        ColorType::Rgb => |pixel| pixel.first_chunk().map(|&[r, g, b]| [r, g, b, u8::MAX]),
        ColorType::Rgba => |pixel| pixel.first_chunk().copied(),
        ColorType::Indexed => return Err(RenderError::decode("palette was not expanded")),
    };
    let mut rgba = Vec::with_capacity(size.width as usize * size.height as usize * 4);
    for row in pixels.chunks_exact(stride.max(1)).take(size.height as usize) {
        for pixel in row.chunks_exact(samples).take(size.width as usize) {
            rgba.extend(to_pixel(pixel).unwrap_or_default());
        }
    }
    Ok(rgba)
}
