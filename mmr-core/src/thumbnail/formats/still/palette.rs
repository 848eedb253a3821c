//! PNG with a palette: exact, and small where colours are few.

use png::{BitDepth, ColorType, Compression, Filter};

use super::steps::{Layout, Pixels};
use crate::thumbnail::render::RenderError;
use crate::types::Size;

/// Colours of a palette at most.
const COLOURS: usize = 256;

/// A power of two, and so many more than colours that few collide.
const SLOTS: usize = 4 * COLOURS;

/// A picture by the numbers of its colours.
#[derive(Debug)]
pub(super) struct Palette {
    /// Red, green, blue, alpha.
    colours: Vec<[u8; 4]>,
    /// For each pixel its colour.
    indices: Vec<u8>,
}

impl Palette {
    /// None when there are too many colours. Grey pictures are no smaller with one.
    pub(super) fn of(pixels: &Pixels) -> Option<Self> {
        let channels = match pixels.layout() {
            Layout::Grey | Layout::GreyAlpha => return None,
            layout @ (Layout::Rgb | Layout::Rgba) => layout.channels(),
        };
        let mut found = Table::default();
        let mut indices = Vec::with_capacity(pixels.bytes().len() / channels);
        let mut last: Option<([u8; 4], u8)> = None;
        for pixel in pixels.bytes().chunks_exact(channels) {
            let colour = match *pixel {
                [_, _, _, 0] => [0; 4],
                [r, g, b, a] => [r, g, b, a],
                [r, g, b] => [r, g, b, u8::MAX],
                _ => return None,
            };
            let index = match last {
                Some((known, index)) if known == colour => index,
                _ => found.index(colour)?,
            };
            last = Some((colour, index));
            indices.push(index);
        }
        Some(Self { colours: found.colours, indices })
    }

    pub(super) fn encode(&self, size: Size) -> Result<Vec<u8>, RenderError> {
        let (depth, bits) = match self.colours.len() {
            0..=2 => (BitDepth::One, 1),
            3..=4 => (BitDepth::Two, 2),
            5..=16 => (BitDepth::Four, 4),
            _ => (BitDepth::Eight, 8),
        };
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, size.width, size.height);
        encoder.set_color(ColorType::Indexed);
        encoder.set_depth(depth);
        encoder.set_palette(self.colours.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect::<Vec<u8>>());
        if let Some(last) = self.colours.iter().rposition(|colour| colour[3] != u8::MAX) {
            encoder.set_trns(self.colours.iter().take(last + 1).map(|colour| colour[3]).collect::<Vec<u8>>());
        }
        encoder.set_compression(Compression::Balanced);
        // Numbers of colours are no amounts: differences between them mean nothing.
        encoder.set_filter(Filter::NoFilter);
        let mut writer = encoder.write_header().map_err(RenderError::encode)?;
        writer.write_image_data(&self.packed(size.width, bits)).map_err(RenderError::encode)?;
        writer.finish().map_err(RenderError::encode)?;
        Ok(bytes)
    }

    /// As many pixels to a byte as fit, the first in the highest bits; each row begins with a byte.
    fn packed(&self, width: u32, bits: usize) -> Vec<u8> {
        let row = |row: &[u8]| -> Vec<u8> {
            let pack = |pixels: &[u8]| {
                let shifts = (0..8 / bits).rev().map(|place| place * bits);
                pixels.iter().zip(shifts).fold(0, |byte, (index, shift)| byte | index << shift)
            };
            row.chunks(8 / bits).map(pack).collect()
        };
        self.indices.chunks((width as usize).max(1)).flat_map(row).collect()
    }
}

/// Colours in the order in which they were found, and where to find them.
struct Table {
    colours: Vec<[u8; 4]>,
    /// One more than an index; zero is free.
    slots: [u16; SLOTS],
}

impl Default for Table {
    fn default() -> Self {
        Self { colours: Vec::with_capacity(COLOURS), slots: [0; SLOTS] }
    }
}

impl Table {
    /// None when it would be one colour too many.
    fn index(&mut self, colour: [u8; 4]) -> Option<u8> {
        let hash = u32::from_ne_bytes(colour).wrapping_mul(0x9E37_79B1) >> 16;
        // There are more slots than colours, so one is free.
        for step in 0..SLOTS {
            let slot = self.slots.get_mut((hash as usize + step) % SLOTS)?;
            let Some(index) = slot.checked_sub(1) else {
                let index = u8::try_from(self.colours.len()).ok()?;
                *slot = u16::from(index) + 1;
                self.colours.push(colour);
                return Some(index);
            };
            if self.colours.get(usize::from(index)) == Some(&colour) {
                return u8::try_from(index).ok();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(png: &[u8]) -> Vec<[u8; 4]> {
        let picture = image::load_from_memory_with_format(png, image::ImageFormat::Png).unwrap();
        picture.into_rgba8().pixels().map(|pixel| pixel.0).collect()
    }

    #[test]
    fn one_colour_too_many_has_no_palette() {
        let many = |count: u32| {
            let colours =
                (0..count).flat_map(|i| [u8::try_from(i % 251).unwrap(), u8::try_from(i / 251).unwrap(), 9]);
            Pixels::new(colours.collect(), Size::new(count, 1), Layout::Rgb)
        };
        assert_eq!(Palette::of(&many(256)).unwrap().colours.len(), 256);
        assert!(Palette::of(&many(257)).is_none());
    }

    #[test]
    fn two_colours_take_one_bit() {
        let pixels = Pixels::new([[1, 2, 3], [4, 5, 6]].concat().repeat(5), Size::new(10, 1), Layout::Rgb);
        let palette = Palette::of(&pixels).unwrap();
        assert_eq!(palette.packed(10, 1), [0b0101_0101, 0b0100_0000]);
    }

    proptest! {
        #[test]
        fn every_pixel_comes_back(
            width in 1_u32..40,
            colours in prop::collection::vec(any::<[u8; 4]>(), 1..40),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 1..200),
        ) {
            let rows = picks.len().div_ceil(width as usize);
            let all: Vec<[u8; 4]> = (0..rows * width as usize)
                .map(|at| *picks[at % picks.len()].get(&colours))
                .map(|colour| if colour[3] == 0 { [0; 4] } else { colour })
                .collect();
            let size = Size::new(width, u32::try_from(rows).unwrap());
            let pixels = Pixels::rgba(all.concat(), size);
            let png = Palette::of(&pixels).unwrap().encode(size).unwrap();
            prop_assert_eq!(decoded(&png), all);
        }
    }
}
