//! What frames are drawn on: blending and disposal, as APNG and WebP have them.

use super::{CHANNELS, PIXEL_BYTES};
use crate::thumbnail::geometry::Rect;
use crate::thumbnail::render::RenderError;
use crate::types::Size;

/// How a frame meets what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blend {
    /// Its pixels replace all others.
    Source,
    /// What is transparent lets them through.
    Over,
}

/// What becomes of a frame before the next is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposal {
    /// It stays.
    Keep,
    /// Its rectangle becomes transparent.
    Clear,
    /// Its rectangle becomes what it was before.
    Restore,
}

/// Transparent in the beginning.
pub(super) struct Canvas {
    size: Size,
    rgba: Vec<u8>,
    /// What has to be undone before the next frame: a rectangle becomes these pixels, or transparent.
    undo: Option<(Rect, Option<Vec<u8>>)>,
}

impl Canvas {
    /// Takes `size` times four bytes.
    pub(super) fn new(size: Size) -> Result<Self, RenderError> {
        let len = usize::try_from(size.area() * CHANNELS).map_err(RenderError::decode)?;
        Ok(Self { size, rgba: vec![0; len], undo: None })
    }

    pub(super) fn rgba(&self) -> &[u8] {
        &self.rgba
    }

    /// Whether a frame fits.
    pub(super) fn check(&self, Rect { left, top, size }: Rect) -> Result<(), RenderError> {
        let inside = |start: u32, len: u32, of: u32| start.checked_add(len).is_some_and(|end| end <= of);
        let fits = inside(left, size.width, self.size.width) && inside(top, size.height, self.size.height);
        if fits && size.area() > 0 {
            Ok(())
        } else {
            Err(RenderError::decode("frame does not fit the canvas"))
        }
    }

    /// Draws the RGBA pixels of a frame. It may take as much again as the rectangle, to restore it.
    pub(super) fn draw(
        &mut self,
        rect: Rect,
        frame: &[u8],
        blend: Blend,
        disposal: Disposal,
    ) -> Result<(), RenderError> {
        self.check(rect)?;
        if rect.size.area() * CHANNELS != frame.len() as u64 {
            return Err(RenderError::decode("frame has fewer pixels than it says"));
        }
        self.undo_last();
        self.undo = match disposal {
            Disposal::Keep => None,
            Disposal::Clear => Some((rect, None)),
            Disposal::Restore => Some((
                rect,
                Some(self.rows(rect).fold(Vec::new(), |mut saved, row| {
                    saved.extend_from_slice(row);
                    saved
                })),
            )),
        };
        let row_bytes = rect.size.width as usize * PIXEL_BYTES;
        for (below, above) in self.rows(rect).zip(frame.chunks_exact(row_bytes)) {
            match blend {
                Blend::Source => below.copy_from_slice(above),
                Blend::Over => put_over(below, above),
            }
        }
        Ok(())
    }

    fn undo_last(&mut self) {
        match self.undo.take() {
            None => {}
            Some((rect, None)) => self.rows(rect).for_each(|row| row.fill(0)),
            Some((rect, Some(saved))) => {
                let row_bytes = rect.size.width as usize * PIXEL_BYTES;
                for (row, saved) in self.rows(rect).zip(saved.chunks_exact(row_bytes)) {
                    row.copy_from_slice(saved);
                }
            }
        }
    }

    /// The rows of a rectangle that lies inside.
    fn rows(&mut self, rect: Rect) -> impl Iterator<Item = &mut [u8]> {
        let (start, len) = (rect.left as usize * PIXEL_BYTES, rect.size.width as usize * PIXEL_BYTES);
        self.rgba
            .chunks_exact_mut(self.size.width as usize * PIXEL_BYTES)
            .skip(rect.top as usize)
            .take(rect.size.height as usize)
            .filter_map(move |row| row.get_mut(start..start + len))
    }
}

/// The "over" of Porter and Duff, for colours that are not multiplied by their alpha.
fn put_over(below: &mut [u8], above: &[u8]) {
    for (below, above) in below.as_chunks_mut::<4>().0.iter_mut().zip(above.as_chunks::<4>().0) {
        match (above[3], below[3]) {
            (0, _) => {}
            (u8::MAX, _) | (_, 0) => *below = *above,
            (above_alpha, below_alpha) => {
                let weight_above = u32::from(above_alpha) * 255;
                let weight_below = (255 - u32::from(above_alpha)) * u32::from(below_alpha);
                let weight = weight_above + weight_below;
                let byte = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
                for (below, above) in below.iter_mut().zip(above).take(3) {
                    let sum = u32::from(*above) * weight_above + u32::from(*below) * weight_below;
                    *below = byte((sum + weight / 2) / weight);
                }
                below[3] = byte((weight + 127) / 255);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 4] = [255, 0, 0, 255];
    const BLUE: [u8; 4] = [0, 0, 255, 255];
    const CLEAR: [u8; 4] = [0; 4];

    fn rect(left: u32, width: u32) -> Rect {
        Rect { left, top: 0, size: Size::new(width, 1) }
    }

    fn canvas(width: u32) -> Canvas {
        Canvas::new(Size::new(width, 1)).unwrap()
    }

    #[test]
    fn what_is_cleared_or_restored_shows_until_the_next_frame() {
        for (disposal, after) in [(Disposal::Keep, BLUE), (Disposal::Clear, CLEAR), (Disposal::Restore, RED)]
        {
            let mut canvas = canvas(3);
            canvas.draw(rect(0, 3), &[RED; 3].concat(), Blend::Source, Disposal::Keep).unwrap();
            canvas.draw(rect(1, 1), &BLUE, Blend::Source, disposal).unwrap();
            assert_eq!(canvas.rgba(), [RED, BLUE, RED].concat());
            canvas.draw(rect(2, 1), &BLUE, Blend::Source, Disposal::Keep).unwrap();
            assert_eq!(canvas.rgba(), [RED, after, BLUE].concat(), "{disposal:?}");
        }
    }

    #[test]
    fn half_of_a_colour_over_another_mixes_them() {
        let mut canvas = canvas(1);
        canvas.draw(rect(0, 1), &RED, Blend::Source, Disposal::Keep).unwrap();
        canvas.draw(rect(0, 1), &[0, 0, 255, 128], Blend::Over, Disposal::Keep).unwrap();
        assert_eq!(canvas.rgba(), [127, 0, 128, 255]);
    }

    #[test]
    fn half_of_a_colour_over_half_of_another_is_three_quarters_opaque() {
        let mut canvas = canvas(1);
        canvas.draw(rect(0, 1), &[255, 0, 0, 128], Blend::Source, Disposal::Keep).unwrap();
        canvas.draw(rect(0, 1), &[0, 0, 255, 128], Blend::Over, Disposal::Keep).unwrap();
        assert_eq!(canvas.rgba(), [85, 0, 170, 192]);
    }

    #[test]
    fn a_frame_outside_of_the_canvas_is_refused() {
        for (left, width) in [(3, 1), (2, 2), (0, 0), (u32::MAX, 2)] {
            let frame = vec![0; width as usize * 4];
            let drawn = canvas(3).draw(rect(left, width), &frame, Blend::Source, Disposal::Keep);
            assert!(drawn.is_err(), "{width} at {left}");
        }
        assert!(canvas(3).draw(rect(0, 2), &RED, Blend::Source, Disposal::Keep).is_err(), "too few pixels");
    }
}
