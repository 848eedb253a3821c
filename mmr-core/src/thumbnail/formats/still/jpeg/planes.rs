//! Pictures as JPEG has them: luma and chroma apart, and chroma with fewer samples.
//!
//! They are resampled as they are, each plane on its way to the thumbnail, and only the few pixels of that become red,
//! green and blue: half of the work or less, and memory.

use std::ops::Range;

use super::super::{Area, Layout, Pixels, Samples, Shrinker, Source};
use crate::thumbnail::render::RenderError;
use crate::types::Size;

/// Luma and chroma of BT.601 in full range.
#[derive(Debug)]
pub(in crate::thumbnail::formats) struct Planes {
    /// Of all planes.
    pub(in crate::thumbnail::formats) samples: Vec<u8>,
    pub(in crate::thumbnail::formats) size: Size,
    pub(in crate::thumbnail::formats) luma: Plane,
    /// Blue and red; none of grey pictures.
    pub(in crate::thumbnail::formats) chroma: Option<[Plane; 2]>,
    /// Columns and rows of pixels that share a sample of chroma.
    pub(in crate::thumbnail::formats) shared: Size,
}

/// Where a plane lies.
#[derive(Clone, Debug)]
pub(in crate::thumbnail::formats) struct Plane {
    pub(in crate::thumbnail::formats) bytes: Range<usize>,
    /// Of its rows, with what is not shown at their ends.
    pub(in crate::thumbnail::formats) stored: Size,
}

impl Planes {
    fn samples(&self, plane: &Plane, shown: Size) -> Samples<'_> {
        let bytes = self.samples.get(plane.bytes.clone()).unwrap_or_default();
        Samples { bytes, stored: plane.stored, shown }
    }
}

impl Source for Planes {
    fn size(&self) -> Size {
        self.size
    }

    fn weight_by_alpha(&mut self) -> Result<bool, RenderError> {
        Ok(false)
    }

    fn shrink(&self, shrinker: &mut Shrinker, area: Area, size: Size) -> Result<Pixels, RenderError> {
        let luma = shrinker.plane(&self.samples(&self.luma, self.size), area, size)?;
        let Some(chroma) = &self.chroma else { return Ok(Pixels::new(luma, size, Layout::Grey)) };
        let Size { width: across, height: down } = self.shared;
        let shown = Size::new(self.size.width.div_ceil(across), self.size.height.div_ceil(down));
        let (across, down) = (f64::from(across), f64::from(down));
        let area = Area {
            left: area.left / across,
            top: area.top / down,
            width: area.width / across,
            height: area.height / down,
        };
        let [blue, red] =
            chroma.each_ref().map(|plane| shrinker.plane(&self.samples(plane, shown), area, size));
        Ok(Pixels::new(to_rgb(&luma, &blue?, &red?), size, Layout::Rgb))
    }

    fn into_pixels(self: Box<Self>) -> Result<Pixels, RenderError> {
        self.shrink(&mut Shrinker::default(), Area::whole(self.size), self.size)
    }
}

/// Fixed point as in libjpeg: 16 bits after the point, rounded once.
fn to_rgb(luma: &[u8], blue: &[u8], red: &[u8]) -> Vec<u8> {
    const BITS: u32 = 16;
    const HALF: i32 = 1 << (BITS - 1);
    const RED_OF_RED: i32 = 91_881;
    const GREEN_OF_BLUE: i32 = 22_554;
    const GREEN_OF_RED: i32 = 46_802;
    const BLUE_OF_BLUE: i32 = 116_130;
    let mut rgb = vec![0; 3 * luma.len()];
    let samples = luma.iter().zip(blue).zip(red);
    for (pixel, ((&luma, &blue), &red)) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(samples) {
        let (luma, blue, red) = (i32::from(luma), i32::from(blue) - 128, i32::from(red) - 128);
        *pixel = [
            luma + ((RED_OF_RED * red + HALF) >> BITS),
            luma + ((HALF - GREEN_OF_BLUE * blue - GREEN_OF_RED * red) >> BITS),
            luma + ((BLUE_OF_BLUE * blue + HALF) >> BITS),
        ]
        .map(narrow);
    }
    rgb
}

#[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "clamped to what fits")]
const fn narrow(value: i32) -> u8 {
    if value < 0 {
        0
    } else if value > 255 {
        255
    } else {
        value as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_jpeg() {
        for ([luma, blue, red], rgb) in [
            ([0, 128, 128], [0, 0, 0]),
            ([255, 128, 128], [255, 255, 255]),
            ([76, 85, 255], [254, 0, 0]),
            ([150, 44, 21], [0, 255, 1]),
            ([29, 255, 107], [0, 0, 254]),
        ] {
            assert_eq!(to_rgb(&[luma], &[blue], &[red]), rgb);
        }
    }

    #[test]
    fn what_lies_beyond_the_picture_is_not_seen() {
        // Three pixels in rows of four.
        let luma = Plane { bytes: 0..8, stored: Size::new(4, 2) };
        let samples = vec![10, 10, 10, 255, 10, 10, 10, 255];
        let (size, shared) = (Size::new(3, 2), Size::new(1, 1));
        let planes = Planes { samples, size, luma, chroma: None, shared };
        let area = Area { left: 0.0, top: 0.0, width: 3.0, height: 2.0 };
        let shrunk = planes.shrink(&mut Shrinker::default(), area, Size::new(1, 1)).unwrap();
        assert_eq!(shrunk.bytes(), [10]);
    }

    #[test]
    fn a_part_that_is_not_resampled_keeps_its_luma() {
        let plane = |start| Plane { bytes: start..start + 1, stored: Size::new(1, 1) };
        let luma = Plane { bytes: 0..4, stored: Size::new(2, 2) };
        let samples = vec![10, 20, 30, 40, 128, 128];
        let (size, chroma) = (Size::new(2, 2), Some([plane(4), plane(5)]));
        let planes = Planes { samples, size, luma, chroma, shared: size };
        let part = Area { left: 1.0, top: 0.0, width: 1.0, height: 2.0 };
        let shown = planes.shrink(&mut Shrinker::default(), part, Size::new(1, 2)).unwrap();
        assert_eq!(shown.bytes(), [20, 20, 20, 40, 40, 40]);
    }
}
