//! AVIF sources; of animations the picture that stands for them.
//!
//! The container is read here, and the AV1 in it decoded by dav1d, ported to Rust but for its assembler.

pub(in crate::thumbnail::formats) mod container;
mod convert;
mod obu;

use bytes::Bytes;
use re_rav1d::dav1d::{Decoder, Error, PixelLayout, PlanarImageComponent, Settings};

use self::container::{Coding, Container, Picture};
use self::convert::{Plane, Planes, Target};
use self::obu::{Chroma, Sequence, Stream};
use crate::thumbnail::formats::still::{Format, Header, Layout, Pixels};
use crate::thumbnail::render::{Cancelled, RenderError, RenderTask};
use crate::types::Size;

/// Still pictures coded as AV1.
#[derive(Clone, Copy, Debug)]
pub(in crate::thumbnail::formats) struct Avif;

/// Tables and buffers of the decoder that are there for any picture.
const WORKING_BYTES: u64 = 4 * 1024 * 1024;

/// What the decoder keeps about a pixel besides its samples, in quarters of a byte.
const NOTE_QUARTERS: u64 = 4;

/// What it keeps about a column or row.
const SIDE_BYTES: u64 = 1024;

impl Format for Avif {
    fn is(&self, source: &[u8]) -> bool {
        container::is(source)
    }

    fn open(&self, task: &RenderTask) -> Result<Header, RenderError> {
        let container = container::parse(&task.source).map_err(RenderError::decode)?;
        let color = Coded::of(&task.source, &container.color)?;
        let alpha = container.alpha.as_ref().map(|alpha| Coded::of(&task.source, alpha)).transpose()?;
        let channels = if alpha.is_some() { 4 } else { 3 };
        let (size, tile) = (container.size, container.color.tile);
        let coded = color.bytes.max(alpha.as_ref().map_or(0, |alpha| alpha.bytes));
        let cancelled = task.cancelled.clone();
        Ok(Header {
            content_type: "image/avif",
            size,
            pixels: size.area().max(tile.area()),
            orientation: container.orientation,
            icc: container.icc.clone().map(|profile| task.source.slice(profile).to_vec()),
            animated: container.animated,
            animation: None,
            jpeg_if_opaque: true,
            decode_bytes: coded.saturating_add(size.area().saturating_mul(channels)),
            at_worst_bytes: 0,
            decode: Box::new(move |wanted| {
                let shrink = shrink(&container.color, container.alpha.as_ref(), wanted);
                decode(&container, &color, alpha.as_ref(), shrink, &cancelled).map(Pixels::boxed)
            }),
        })
    }
}

/// Width and height, and the number of tiles, of what would be decoded.
pub(crate) fn outline(source: &[u8]) -> Option<(u32, u32, usize)> {
    let container = container::parse(source).ok()?;
    let source = Bytes::copy_from_slice(source);
    let pictures = [Some(&container.color), container.alpha.as_ref()];
    let mut tiles = 0;
    for picture in pictures.into_iter().flatten() {
        tiles += Coded::of(&source, picture).ok()?.tiles.len();
    }
    Some((container.size.width, container.size.height, tiles))
}

/// A picture whose codestreams were looked at.
struct Coded {
    tiles: Vec<(Bytes, Stream)>,
    /// What decoding a tile takes.
    bytes: u64,
}

impl Coded {
    fn of(source: &Bytes, picture: &Picture) -> Result<Self, RenderError> {
        let mut tiles = Vec::with_capacity(picture.tiles.len());
        let mut joined = 0;
        let mut bytes = 0;
        for extents in &picture.tiles {
            let data = match extents.as_slice() {
                [one] => source.slice(one.clone()),
                several => {
                    let pieces = several.iter().filter_map(|range| source.get(range.clone()));
                    joined += several.iter().map(ExactSizeIterator::len).sum::<usize>();
                    // Tiles may share pieces, but not so that they become more than a small multiple of the source.
                    if joined > source.len() {
                        return Err(RenderError::decode("tiles overlap"));
                    }
                    pieces.flatten().copied().collect()
                }
            };
            let stream = Stream::of(&data).map_err(RenderError::decode)?;
            bytes = bytes.max(decoder_bytes(picture.tile, &stream));
            tiles.push((data, stream));
        }
        Ok(Self { tiles, bytes: bytes.saturating_add(joined as u64) })
    }
}

/// An upper bound of what decoding a codestream takes.
fn decoder_bytes(tile: Size, Stream { sequence, frames }: &Stream) -> u64 {
    // Pictures are padded to whole blocks.
    let padded = |side: u32| u64::from(side).next_multiple_of(128) + 64;
    let (width, height) = (padded(tile.width), padded(tile.height));
    let quarters = sequence.samples_of_four() * sequence.sample_bytes() + NOTE_QUARTERS;
    let samples = (width.saturating_mul(height) / 4).saturating_mul(quarters);
    let sides = (width + height).saturating_mul(SIDE_BYTES);
    samples.saturating_mul(frames.saturating_add(1)).saturating_add(sides).saturating_add(WORKING_BYTES)
}

/// The power of two by which the picture may be made smaller and still be no smaller than wanted.
fn shrink(color: &Picture, alpha: Option<&Picture>, wanted: Size) -> u32 {
    let Size { width, height } = color.size;
    let tile_of = |picture: &Picture| (picture.tiles.len() > 1).then_some(picture.tile);
    let tiles = [tile_of(color), alpha.and_then(tile_of)];
    (1..=3)
        .take_while(|by| {
            let enough = width >> by >= wanted.width.max(1) && height >> by >= wanted.height.max(1);
            // Tiles begin at whole pixels.
            let whole = |side: u32| side.is_multiple_of(1 << by);
            enough && tiles.iter().flatten().all(|tile| whole(tile.width) && whole(tile.height))
        })
        .last()
        .unwrap_or(0)
}

fn decode(
    container: &Container,
    color: &Coded,
    alpha: Option<&Coded>,
    shrink: u32,
    cancelled: &Cancelled,
) -> Result<Pixels, RenderError> {
    let smaller = |side: u32| side.div_ceil(1 << shrink);
    let size = Size::new(smaller(container.size.width), smaller(container.size.height));
    let layout = if alpha.is_some() { Layout::Rgba } else { Layout::Rgb };
    let len = usize::try_from(size.area()).map_err(RenderError::decode)? * layout.channels();
    let mut data = vec![u8::MAX; len];
    let parts = [(Some(&container.color), Some(color), false), (container.alpha.as_ref(), alpha, true)];
    for (picture, coded, is_alpha) in parts {
        let (Some(picture), Some(coded)) = (picture, coded) else { continue };
        for (number, (stream, Stream { sequence, frames })) in coded.tiles.iter().enumerate() {
            if cancelled.get() {
                return Err(RenderError::Deadline);
            }
            let decoded = decode_tile(stream.clone(), picture.tile, *frames)?;
            let coding = container.coding.filter(|_| !is_alpha);
            let frame = Frame::of(&decoded, picture.tile, sequence, coding)?;
            let place = |at: usize, side: u32| at * smaller(side) as usize;
            let mut target = Target {
                data: &mut data,
                width: size.width as usize,
                channels: layout.channels(),
                left: place(number % picture.columns, picture.tile.width),
                top: place(number / picture.columns, picture.tile.height),
            };
            if is_alpha {
                frame.planes().write_alpha(&mut target, shrink);
            } else {
                frame.planes().write_color(&mut target, shrink);
            }
        }
    }
    if container.premultiplied && alpha.is_some() {
        divide_by_alpha(&mut data);
    }
    Ok(Pixels::new(data, size, layout))
}

fn decode_tile(stream: Bytes, size: Size, frames: u64) -> Result<re_rav1d::dav1d::Picture, RenderError> {
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_all_layers(false);
    settings.set_frame_size_limit(u32::try_from(size.area()).map_err(RenderError::decode)?);
    // Grain is too fine to be seen in a thumbnail.
    settings.set_apply_grain(false);
    let mut decoder = Decoder::with_settings(&settings).map_err(RenderError::decode)?;
    let mut pending = match decoder.send_data(stream, None, None, None) {
        Ok(()) => false,
        Err(Error::Again) => true,
        Err(error) => return Err(RenderError::decode(error)),
    };
    let mut shown = None;
    // The last layer is the best.
    for _ in 0..=2 * frames {
        match decoder.get_picture() {
            Ok(picture) => shown = Some(picture),
            Err(Error::Again) if pending => {
                pending = match decoder.send_pending_data() {
                    Ok(()) => false,
                    Err(Error::Again) => true,
                    Err(error) => return Err(RenderError::decode(error)),
                };
            }
            Err(Error::Again) => break,
            Err(error) => return Err(RenderError::decode(error)),
        }
    }
    shown.ok_or_else(|| RenderError::decode("codestream shows no frame"))
}

/// A decoded frame that is what was announced.
struct Frame {
    planes: [Option<re_rav1d::dav1d::Plane>; 3],
    strides: [usize; 3],
    size: Size,
    sequence: Sequence,
    coding: Coding,
}

impl Frame {
    fn of(
        decoded: &re_rav1d::dav1d::Picture,
        size: Size,
        sequence: &Sequence,
        coding: Option<Coding>,
    ) -> Result<Self, RenderError> {
        let chroma = match decoded.pixel_layout() {
            PixelLayout::I400 => Chroma::None,
            PixelLayout::I420 => Chroma::Shared { columns: 1, rows: 1 },
            PixelLayout::I422 => Chroma::Shared { columns: 1, rows: 0 },
            PixelLayout::I444 => Chroma::Shared { columns: 0, rows: 0 },
        };
        let same = (decoded.width(), decoded.height()) == (size.width, size.height)
            && chroma == sequence.chroma
            && decoded.bit_depth() == usize::from(sequence.bits);
        if !same {
            return Err(RenderError::decode("frame is not as its header says"));
        }
        let stated = Coding { matrix: sequence.matrix, full_range: sequence.full_range };
        let mut frame = Self {
            planes: [None, None, None],
            strides: [0; 3],
            size,
            sequence: *sequence,
            coding: coding.unwrap_or(stated),
        };
        let components = [PlanarImageComponent::Y, PlanarImageComponent::U, PlanarImageComponent::V];
        let count = if chroma == Chroma::None { 1 } else { 3 };
        for (number, component) in components.into_iter().enumerate().take(count) {
            frame.strides[number] = decoded.stride(component) as usize;
            frame.planes[number] = Some(decoded.plane(component));
        }
        Ok(frame)
    }

    fn planes(&self) -> Planes<'_> {
        let plane = |number: usize| Plane {
            bytes: self.planes[number].as_ref().map_or(&[], AsRef::as_ref),
            stride: self.strides[number],
        };
        Planes {
            width: self.size.width as usize,
            height: self.size.height as usize,
            bits: self.sequence.bits,
            chroma: self.sequence.chroma,
            coding: self.coding,
            planes: [plane(0), plane(1), plane(2)],
        }
    }
}

fn divide_by_alpha(data: &mut [u8]) {
    for [colors @ .., alpha] in data.as_chunks_mut::<4>().0 {
        let alpha = u32::from(*alpha);
        if alpha == 0 {
            continue;
        }
        for color in colors {
            *color = u8::try_from((u32::from(*color) * 255 + alpha / 2) / alpha).unwrap_or(u8::MAX);
        }
    }
}

#[cfg(test)]
mod tests;
