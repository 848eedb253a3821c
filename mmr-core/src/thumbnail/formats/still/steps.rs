//! The steps from decoded pixels to those of a thumbnail, one function each.

use fast_image_resize::images::Image;
use fast_image_resize::{MulDiv, PixelType};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageBuffer, ImageDecoder};

use super::into_render_error;
use super::shrink::Source;
use crate::thumbnail::geometry::Placement;
use crate::thumbnail::render::RenderError;
use crate::types::Size;

/// Channels of a pixel, 8 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::thumbnail::formats) enum Layout {
    Grey,
    GreyAlpha,
    Rgb,
    Rgba,
}

impl Layout {
    pub(in crate::thumbnail::formats) const fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::GreyAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }

    pub(super) const fn pixel_type(self) -> PixelType {
        match self {
            Self::Grey => PixelType::U8,
            Self::GreyAlpha => PixelType::U8x2,
            Self::Rgb => PixelType::U8x3,
            Self::Rgba => PixelType::U8x4,
        }
    }
}

/// A picture in memory.
#[derive(Clone, Debug)]
pub(in crate::thumbnail::formats) struct Pixels {
    pub(in crate::thumbnail::formats) data: Vec<u8>,
    pub(in crate::thumbnail::formats) size: Size,
    pub(in crate::thumbnail::formats) layout: Layout,
}

impl Pixels {
    /// As many bytes as pixels times channels.
    pub(in crate::thumbnail::formats) const fn new(data: Vec<u8>, size: Size, layout: Layout) -> Self {
        Self { data, size, layout }
    }

    /// As what thumbnails are made from.
    pub(in crate::thumbnail::formats) fn boxed(self) -> Box<dyn Source> {
        Box::new(self)
    }

    pub(super) const fn rgba(data: Vec<u8>, size: Size) -> Self {
        Self::new(data, size, Layout::Rgba)
    }

    pub(super) fn into_data(self) -> Vec<u8> {
        self.data
    }

    pub(super) const fn has_alpha(&self) -> bool {
        matches!(self.layout, Layout::GreyAlpha | Layout::Rgba)
    }

    pub(in crate::thumbnail::formats) const fn size(&self) -> Size {
        self.size
    }

    pub(in crate::thumbnail::formats) const fn layout(&self) -> Layout {
        self.layout
    }

    pub(in crate::thumbnail::formats) fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// As many bytes as before.
    pub(super) fn replace(&mut self, data: Vec<u8>) {
        self.data = data;
    }
}

/// Reads all pixels of an opened decoder.
pub(in crate::thumbnail::formats) fn decode(
    decoder: impl ImageDecoder,
) -> Result<Box<dyn Source>, RenderError> {
    let (width, height) = decoder.dimensions();
    let color = decoder.color_type();
    let (layout, wide) = match color {
        ColorType::L8 => (Layout::Grey, false),
        ColorType::La8 => (Layout::GreyAlpha, false),
        ColorType::Rgb8 => (Layout::Rgb, false),
        ColorType::Rgba8 => (Layout::Rgba, false),
        ColorType::L16 => (Layout::Grey, true),
        ColorType::La16 => (Layout::GreyAlpha, true),
        ColorType::Rgb16 => (Layout::Rgb, true),
        ColorType::Rgba16 => (Layout::Rgba, true),
        other => return Err(RenderError::Unsupported(format!("pixels are {other:?}"))),
    };
    let len = usize::try_from(decoder.total_bytes()).map_err(RenderError::decode)?;
    let mut data = vec![0; len];
    decoder.read_image(&mut data).map_err(into_render_error)?;
    if wide {
        narrow(&mut data);
    }
    Ok(Pixels { data, size: Size::new(width, height), layout }.boxed())
}

/// From 16 to 8 bits per channel, in place.
fn narrow(data: &mut Vec<u8>) {
    let len = data.len() / 2;
    for i in 0..len {
        let wide = u16::from_ne_bytes([data[2 * i], data[2 * i + 1]]);
        // Exact rounding of wide * 255 / 65535; the result is at most 255.
        data[i] = u8::try_from((u32::from(wide) + 128) / 257).unwrap_or(u8::MAX);
    }
    data.truncate(len);
    data.shrink_to_fit();
}

impl Pixels {
    /// Multiplies colours by alpha, in place. True where that is needed: some pixel is not opaque.
    pub(super) fn weight_by_alpha(&mut self) -> Result<bool, RenderError> {
        let needed = self.has_alpha() && !self.is_opaque();
        if needed {
            self.change(|image| MulDiv::new().multiply_alpha_inplace(image).map_err(RenderError::decode))?;
        }
        Ok(needed)
    }

    /// Takes the weight out again.
    pub(super) fn unweight(&mut self) -> Result<(), RenderError> {
        self.change(|image| MulDiv::new().divide_alpha_inplace(image).map_err(RenderError::decode))
    }

    fn change(
        &mut self,
        with: impl FnOnce(&mut Image<'_>) -> Result<(), RenderError>,
    ) -> Result<(), RenderError> {
        let Size { width, height } = self.size;
        let kind = self.layout.pixel_type();
        let mut image =
            Image::from_slice_u8(width, height, &mut self.data, kind).map_err(RenderError::decode)?;
        with(&mut image)
    }

    /// Whether no pixel is transparent.
    fn is_opaque(&self) -> bool {
        let alpha = self.layout.channels() - 1;
        !self.has_alpha() || self.data.chunks_exact(alpha + 1).all(|pixel| pixel.get(alpha) == Some(&u8::MAX))
    }
}

/// An upper bound of what everything after decoding allocates: thumbnails are made one after the other, and
/// stay where smaller ones are made from them.
pub(super) fn resize_bytes(placements: &[Placement]) -> u64 {
    let working = placements.iter().map(working_bytes).max().unwrap_or(0);
    let kept: u64 = placements.iter().map(|placement| placement.size.area() * KEPT_BYTES).sum();
    working.saturating_add(kept)
}

const CHANNELS: u64 = 4;

/// Of each pixel of a thumbnail: itself, and encoded.
const KEPT_BYTES: u64 = 2 * CHANNELS;

/// What making one thumbnail takes besides.
fn working_bytes(placement: &Placement) -> u64 {
    /// Filter weights: 64-bit floats first, then integers.
    const WEIGHT_BYTES: u64 = 20;
    /// The thumbnail, the same turned or in other colours, and what encoders take.
    const COPIES: u64 = 5;
    /// Tables of encoders.
    const TABLES: u64 = 1024 * 1024;
    let Placement { region, size } = placement;
    let (source_sides, sides) = (sum_of_sides(region.size), sum_of_sides(*size));
    // Rows first, so all of the source's rows at the width of the thumbnail; or columns first.
    let (across, down) =
        (Size::new(size.width, region.size.height), Size::new(region.size.width, size.height));
    let between = across.area().max(down.area());
    // A Lanczos3 window is six source pixels per pixel of the thumbnail.
    let weights = 6 * source_sides + 3 * sides;
    weights * WEIGHT_BYTES + (between + COPIES * size.area()) * CHANNELS + TABLES
}

fn sum_of_sides(size: Size) -> u64 {
    u64::from(size.width) + u64::from(size.height)
}

/// Whether turning exchanges width and height.
pub(super) const fn transposes(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// Turns a picture upright.
pub(super) fn turn(pixels: Pixels, orientation: Orientation) -> Result<Pixels, RenderError> {
    if orientation == Orientation::NoTransforms {
        return Ok(pixels);
    }
    let Pixels { data, size: Size { width, height }, layout } = pixels;
    let image = match layout {
        Layout::Grey => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageLuma8),
        Layout::GreyAlpha => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageLumaA8),
        Layout::Rgb => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageRgb8),
        Layout::Rgba => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageRgba8),
    };
    let mut image = image.ok_or_else(|| RenderError::decode("pixels do not fill the picture"))?;
    image.apply_orientation(orientation);
    let size = Size::new(image.width(), image.height());
    Ok(Pixels { data: image.into_bytes(), size, layout })
}

/// Leaves the alpha channel out where every pixel is opaque.
pub(super) fn drop_needless_alpha(pixels: Pixels) -> Pixels {
    if !pixels.is_opaque() {
        return pixels;
    }
    let Pixels { mut data, size, layout } = pixels;
    let channels = layout.channels();
    let opaque = match layout {
        Layout::Grey | Layout::Rgb => return Pixels { data, size, layout },
        Layout::GreyAlpha => Layout::Grey,
        Layout::Rgba => Layout::Rgb,
    };
    let mut index = 0;
    data.retain(|_| {
        index += 1;
        index % channels != 0
    });
    Pixels { data, size, layout: opaque }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_become_the_nearest_eight() {
        for (wide, narrowed) in [(0_u16, 0_u8), (128, 0), (129, 1), (257, 1), (0x8000, 128), (u16::MAX, 255)]
        {
            let mut data = wide.to_ne_bytes().to_vec();
            narrow(&mut data);
            assert_eq!(data, [narrowed], "{wide}");
        }
    }

    #[test]
    fn alpha_stays_when_one_pixel_is_not_opaque() {
        let pixels = Pixels::rgba(vec![1, 2, 3, 255, 4, 5, 6, 254], Size::new(2, 1));
        assert_eq!(drop_needless_alpha(pixels).layout, Layout::Rgba);
    }

    #[test]
    fn alpha_goes_when_every_pixel_is_opaque() {
        let pixels = drop_needless_alpha(Pixels::rgba(vec![1, 2, 3, 255, 4, 5, 6, 255], Size::new(2, 1)));
        assert_eq!((pixels.layout, pixels.data), (Layout::Rgb, vec![1, 2, 3, 4, 5, 6]));
    }
}
