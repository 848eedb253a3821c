//! What a sound looks like.

use image::DynamicImage;

use super::super::canvas;
use super::super::still::Pixels;
use super::super::still::steps::Layout;
use crate::thumbnail::render::RenderError;
use crate::types::Size;

const BACKGROUND: [u8; 3] = [0x29, 0x39, 0x5C];
const BAR: [u8; 3] = [0xF0; 3];

/// How much of the height belongs to the cover.
const COVER: f64 = 0.66;
/// How much of its room the loudest bar takes, and how much of its slot every bar.
const LOUDEST: f64 = 0.9;
const BAR_WIDTH: f64 = 0.65;

/// Paints bars of these heights, each between 0 and 1, below the cover or over the whole canvas.
#[expect(clippy::cast_precision_loss, reason = "bars are few")]
pub(super) fn paint(bars: &[f64], cover: Option<DynamicImage>, size: Size) -> Result<Pixels, RenderError> {
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    let data = BACKGROUND.repeat(usize::try_from(size.area()).map_err(RenderError::decode)?);
    let mut canvas = Canvas { data, size };
    let top = if cover.is_some() { height * COVER } else { 0.0 };
    if let Some(cover) = cover {
        // In units of the nominal canvas, whose pixels are square.
        let (unit_x, unit_y) = (width / super::CANVAS.0, height / super::CANVAS.1);
        let (cover_width, cover_height) = (f64::from(cover.width()), f64::from(cover.height()));
        let scale = (top / unit_y / cover_height).min(super::CANVAS.0 / cover_width);
        let shown = Size::new(
            canvas::to_u32(cover_width * scale * unit_x).clamp(1, size.width),
            canvas::to_u32(cover_height * scale * unit_y).clamp(1, size.height),
        );
        let left = (size.width - shown.width) / 2;
        let above = canvas::to_u32((top - f64::from(shown.height)) / 2.0);
        canvas.place(&cover.thumbnail_exact(shown.width, shown.height), left, above);
    }
    let slot = width / bars.len().max(1) as f64;
    let room = height - top;
    for (number, bar) in bars.iter().enumerate() {
        let left = number as f64 * slot;
        let half = (bar.clamp(0.0, 1.0) * LOUDEST * room / 2.0).max(0.5);
        let middle = top + room / 2.0;
        canvas.fill([left, left + slot * BAR_WIDTH], [middle - half, middle + half]);
    }
    Ok(Pixels::new(canvas.data, size, Layout::Rgb))
}

struct Canvas {
    data: Vec<u8>,
    size: Size,
}

impl Canvas {
    fn pixel(&mut self, x: u32, y: u32) -> Option<&mut [u8]> {
        if x >= self.size.width || y >= self.size.height {
            return None;
        }
        let at = (y as usize * self.size.width as usize + x as usize) * 3;
        self.data.get_mut(at..at + 3)
    }

    /// Fills a rectangle; it covers a pixel by as much as it lies on it.
    fn fill(&mut self, [left, right]: [f64; 2], [top, bottom]: [f64; 2]) {
        let pixels = |from: f64, to: f64| canvas::to_u32(from.floor())..canvas::to_u32(to.ceil());
        let covered = |at: u32, from: f64, to: f64| {
            (to.min(f64::from(at) + 1.0) - from.max(f64::from(at))).clamp(0.0, 1.0)
        };
        for y in pixels(top, bottom) {
            for x in pixels(left, right) {
                let share = covered(x, left, right) * covered(y, top, bottom);
                if let Some(pixel) = self.pixel(x, y) {
                    blend(pixel, BAR, share);
                }
            }
        }
    }

    fn place(&mut self, picture: &DynamicImage, left: u32, top: u32) {
        for (x, y, color) in picture.to_rgba8().enumerate_pixels() {
            let [red, green, blue, alpha] = color.0;
            if let Some(pixel) = self.pixel(left + x, top + y) {
                blend(pixel, [red, green, blue], f64::from(alpha) / 255.0);
            }
        }
    }
}

fn blend(pixel: &mut [u8], color: [u8; 3], share: f64) {
    for (channel, over) in pixel.iter_mut().zip(color) {
        let mixed = f64::from(*channel) * (1.0 - share) + f64::from(over) * share;
        *channel = u8::try_from(canvas::to_u32(mixed)).unwrap_or(u8::MAX);
    }
}
