//! Animations drawn with letters, in every format and with every way to blend and to dispose.

use bytes::Bytes;
use image::ExtendedColorType;

use super::containers::{
    PNG_SIGNATURE, PngColor, exif, png_chunk, png_data, png_header, riff_chunk, webp, zlib_stored,
};
use super::{lossless, lossy_webp, picture_chunk};

/// What becomes of a frame before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispose {
    /// It stays.
    Keep,
    /// Its rectangle becomes transparent.
    Background,
    /// Its rectangle becomes what it was; WebP has no such thing.
    Previous,
}

/// A frame.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Where it begins. Even numbers, for WebP.
    pub at: (u32, u32),
    /// Rows of letters: see [`color`].
    pub rows: &'static [&'static str],
    /// Whether transparent pixels let what is there through. GIF always does so.
    pub over: bool,
    /// What becomes of it.
    pub dispose: Dispose,
    /// In milliseconds; GIF rounds to hundredths of a second.
    pub delay: u16,
}

impl Part {
    /// A frame over what is there, which stays.
    #[must_use]
    pub const fn new(at: (u32, u32), rows: &'static [&'static str]) -> Self {
        Self { at, rows, over: true, dispose: Dispose::Keep, delay: 100 }
    }

    fn size(&self) -> (u32, u32) {
        let side = |side: usize| u32::try_from(side).expect("a fixture is small");
        (side(self.rows.first().map_or(0, |row| row.len())), side(self.rows.len()))
    }
}

/// The colour of a letter: `R`, `G`, `B` and `W` are opaque, `r` is a red half transparent, and `.` transparent.
#[must_use]
pub const fn color(letter: u8) -> [u8; 4] {
    match letter {
        b'R' => [220, 30, 30, 255],
        b'G' => [30, 200, 30, 255],
        b'B' => [30, 30, 220, 255],
        b'W' => [250, 250, 250, 255],
        b'r' => [220, 30, 30, 128],
        _ => [0; 4],
    }
}

/// The RGBA pixels of rows of letters.
#[must_use]
pub fn pixels(rows: &[&str]) -> Vec<u8> {
    rows.iter().flat_map(|row| row.bytes()).flat_map(color).collect()
}

/// A GIF; `repeats` is what it says about being repeated.
#[must_use]
pub fn moving_gif(width: u16, height: u16, repeats: Option<u16>, parts: &[Part]) -> Bytes {
    /// Letters, in the order of their colours; the first is transparent.
    const PALETTE: &[u8] = b".RGBW";
    let mut file = b"GIF89a".to_vec();
    file.extend(width.to_le_bytes());
    file.extend(height.to_le_bytes());
    file.extend([0x80 | 6, 0, 0]); // 128 colours
    file.extend((0..128).flat_map(|index| {
        let [r, g, b, _] = PALETTE.get(index).map_or([0; 4], |&letter| color(letter));
        [r, g, b]
    }));
    if let Some(repeats) = repeats {
        file.extend(b"!\xFF\x0BNETSCAPE2.0\x03\x01");
        file.extend(repeats.to_le_bytes());
        file.push(0);
    }
    for part in parts {
        let dispose = match part.dispose {
            Dispose::Keep => 1,
            Dispose::Background => 2,
            Dispose::Previous => 3_u8,
        };
        file.extend([b'!', 0xF9, 4, dispose << 2 | 1]);
        file.extend((part.delay / 10).to_le_bytes());
        file.extend([0, 0]);
        let (width, height) = part.size();
        file.push(b',');
        for number in [part.at.0, part.at.1, width, height] {
            file.extend(u16::try_from(number).expect("a fixture is small").to_le_bytes());
        }
        file.push(0);
        let letters = part.rows.iter().flat_map(|row| row.bytes());
        let indices = letters.map(|letter| {
            let index = PALETTE.iter().position(|&known| known == letter);
            u8::try_from(index.unwrap_or(0)).expect("there are five")
        });
        file.extend(gif_data(&indices.collect::<Vec<_>>()));
    }
    file.push(b';');
    file.into()
}

/// Seven-bit numbers as LZW data: every code has eight bits as long as the table is cleared in time.
fn gif_data(indices: &[u8]) -> Vec<u8> {
    const CLEAR: u8 = 128;
    const END: u8 = 129;
    let mut codes: Vec<u8> = indices.chunks(100).flat_map(|run| [&[CLEAR], run].concat()).collect();
    codes.push(END);
    let mut data = vec![7];
    for block in codes.chunks(255) {
        data.push(u8::try_from(block.len()).expect("a block is short"));
        data.extend(block);
    }
    data.push(0);
    data
}

/// What is unusual about an animated PNG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApngKind {
    /// Nothing: RGBA.
    Usual,
    /// In front of the first frame is a picture that is none: white.
    Preview,
    /// The rows come in seven passes.
    Interlaced,
    /// 16 bits per channel.
    SixteenBit,
}

/// An animated PNG that is played so often, 0 for ever.
#[must_use]
pub fn moving_png(width: u32, height: u32, plays: u32, kind: ApngKind, parts: &[Part]) -> Bytes {
    let depth = if kind == ApngKind::SixteenBit { 16 } else { 8 };
    let mut header = png_header(width, height, depth, PngColor::Rgba);
    if kind == ApngKind::Interlaced {
        let mut data = header[8..21].to_vec();
        data[12] = 1;
        header = png_chunk("IHDR", &data);
    }
    let mut file = [&PNG_SIGNATURE[..], &header].concat();
    let frames = u32::try_from(parts.len()).expect("a fixture is small");
    file.extend(png_chunk("acTL", &[frames, plays].map(u32::to_be_bytes).concat()));
    if kind == ApngKind::Preview {
        let white = vec![u8::MAX; 4 * (width * height) as usize];
        file.extend(png_chunk("IDAT", &png_data(&white, 4 * width as usize)));
    }
    let mut sequence = 0..;
    let mut next = || sequence.next().unwrap_or(0_u32);
    for (index, part) in parts.iter().enumerate() {
        let (width, height) = part.size();
        let mut control = [next(), width, height, part.at.0, part.at.1].map(u32::to_be_bytes).concat();
        control.extend([part.delay, 1000].map(u16::to_be_bytes).concat());
        control.push(match part.dispose {
            Dispose::Keep => 0,
            Dispose::Background => 1,
            Dispose::Previous => 2,
        });
        control.push(u8::from(part.over));
        file.extend(png_chunk("fcTL", &control));
        let samples = pixels(part.rows);
        let data = match kind {
            ApngKind::Interlaced => zlib_stored(&passes(&samples, width, height)),
            ApngKind::SixteenBit => {
                let wide: Vec<u8> = samples.iter().flat_map(|&byte| [byte, byte]).collect();
                png_data(&wide, 8 * width as usize)
            }
            ApngKind::Usual | ApngKind::Preview => png_data(&samples, 4 * width as usize),
        };
        if index == 0 && kind != ApngKind::Preview {
            file.extend(png_chunk("IDAT", &data));
        } else {
            file.extend(png_chunk("fdAT", &[&next().to_be_bytes()[..], &data].concat()));
        }
    }
    file.extend(png_chunk("IEND", &[]));
    file.into()
}

/// The unfiltered rows of the seven passes of Adam7.
pub(super) fn passes(rgba: &[u8], width: u32, height: u32) -> Vec<u8> {
    const PASSES: [(usize, usize, usize, usize); 7] =
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
    let (width, height) = (width as usize, height as usize);
    let mut rows = Vec::new();
    for (left, top, across, down) in PASSES {
        if left >= width {
            continue;
        }
        for y in (top..height).step_by(down) {
            rows.push(0);
            for x in (left..width).step_by(across) {
                let at = 4 * (y * width + x);
                rows.extend(&rgba[at..at + 4]);
            }
        }
    }
    rows
}

/// An animated WebP of lossless frames that is played so often, 0 for ever.
#[must_use]
pub fn moving_webp(width: u32, height: u32, plays: u16, parts: &[Part]) -> Bytes {
    let frames = parts.iter().map(|part| {
        let (width, height) = part.size();
        let picture = lossless(&pixels(part.rows), width, height, ExtendedColorType::Rgba8);
        webp_frame(part, (width, height), &picture)
    });
    webp_file(width, height, plays, frames)
}

/// The same, played for ever, with the EXIF `orientation`.
#[must_use]
pub fn moving_webp_turned(width: u32, height: u32, orientation: u8, parts: &[Part]) -> Bytes {
    const EXIF: u8 = 0x08;
    let mut file = moving_webp(width, height, 0, parts).to_vec();
    file[20] |= EXIF;
    file.extend(riff_chunk("EXIF", &exif(orientation)));
    let len = u32::try_from(file.len() - 8).expect("a fixture is small");
    file[4..8].copy_from_slice(&len.to_le_bytes());
    file.into()
}

/// An animated WebP whose frames are lossy and opaque, as that of [`lossy_webp`], each at its own place; rows of `parts` do
/// not count.
#[must_use]
pub fn moving_lossy_webp(width: u32, height: u32, parts: &[Part]) -> Bytes {
    webp_file(width, height, 0, parts.iter().map(|part| webp_frame(part, (16, 16), &lossy_webp())))
}

fn webp_frame(part: &Part, (width, height): (u32, u32), picture: &[u8]) -> Vec<u8> {
    let clears = match part.dispose {
        Dispose::Keep => 0,
        Dispose::Background => 1,
        Dispose::Previous => unreachable!("WebP cannot restore"),
    };
    let numbers = [part.at.0 / 2, part.at.1 / 2, width - 1, height - 1, u32::from(part.delay)];
    let mut frame: Vec<u8> =
        numbers.into_iter().flat_map(|number| number.to_le_bytes().into_iter().take(3)).collect();
    frame.push(clears | if part.over { 0 } else { 2 });
    frame.extend(picture_chunk(picture));
    riff_chunk("ANMF", &frame)
}

fn webp_file(width: u32, height: u32, plays: u16, frames: impl Iterator<Item = Vec<u8>>) -> Bytes {
    const ANIMATION_AND_ALPHA: u8 = 0x12;
    let plays = plays.to_le_bytes();
    let mut chunks = vec![riff_chunk("ANIM", &[0, 0, 0, 0, plays[0], plays[1]])];
    chunks.extend(frames);
    webp(ANIMATION_AND_ALPHA, width, height, &chunks).into()
}

/// A GIF of `frames` frames of one pixel on a canvas of `side` by `side`, in a few bytes each.
#[must_use]
pub fn endless_gif(side: u16, frames: usize) -> Bytes {
    let part = Part::new((0, 0), &["R"]);
    let [none, one] = [&[][..], &[part]].map(|parts| moving_gif(side, side, Some(0), parts));
    let start = none.len() - 1;
    let mut file = one[..start].to_vec();
    file.extend(one[start..one.len() - 1].repeat(frames));
    file.push(b';');
    file.into()
}

/// A clip like those that people send: gradients with noise that move behind a disc, `frames` times 40 ms.
#[must_use]
pub fn clip(width: u32, height: u32, frames: u32) -> Vec<Vec<u8>> {
    let scenery = super::scenery(width * 2, height);
    let draw = |index: u32| {
        super::paint(width, height, |x, y| {
            let (dx, dy) = (x.abs_diff(width / 4 + index * 4), y.abs_diff(height / 2));
            if dx * dx + dy * dy < height * height / 16 {
                return [250, 210, 40, 255];
            }
            let at = 3 * (y * width * 2 + x + index % width) as usize;
            [scenery[at] & 0xF0, scenery[at + 1] & 0xF0, scenery[at + 2] & 0xF0, 255]
        })
    };
    (0..frames).map(draw).collect()
}
