//! The steps from decoded pixels to an encoded thumbnail, one function each.

use fast_image_resize::images::Image;
use fast_image_resize::{MulDiv, PixelType, ResizeOptions, Resizer};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ExtendedColorType, ImageBuffer, ImageDecoder, ImageEncoder};
use jpeg_encoder::SamplingFactor;

use super::into_render_error;
use crate::thumbnail::geometry::{Placement, Rect};
use crate::thumbnail::render::{RenderError, Rendered};
use crate::types::Size;

/// Quality of JPEG thumbnails; what Synapse uses.
const JPEG_QUALITY: u8 = 80;

/// Larger colour profiles are left out: they would outweigh the thumbnail many times.
const MAX_PROFILE_BYTES: usize = 256 * 1024;

/// Channels of a pixel, 8 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::thumbnail::formats) enum Layout {
    Grey,
    GreyAlpha,
    Rgb,
    Rgba,
}

impl Layout {
    const fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::GreyAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }

    const fn pixel_type(self) -> PixelType {
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
    data: Vec<u8>,
    size: Size,
    layout: Layout,
}

impl Pixels {
    /// As many bytes as pixels times channels.
    pub(in crate::thumbnail::formats) const fn new(data: Vec<u8>, size: Size, layout: Layout) -> Self {
        Self { data, size, layout }
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
}

/// Reads all pixels of an opened decoder.
pub(super) fn decode(decoder: impl ImageDecoder) -> Result<Pixels, RenderError> {
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
    Ok(Pixels { data, size: Size::new(width, height), layout })
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
}

/// Cuts `region` out and brings it to `size`.
///
/// Transparent pixels have no say in the colour of their neighbours: colours are weighted by alpha, and the
/// weight taken out again afterwards.
pub(super) fn resize(pixels: Pixels, region: Rect, size: Size) -> Result<Pixels, RenderError> {
    if region.size == pixels.size && size == pixels.size {
        return Ok(pixels);
    }
    let weighted = pixels.has_alpha() && region.size != size;
    let Pixels { data, size: Size { width, height }, layout } = pixels;
    let kind = layout.pixel_type();
    let mut source = Image::from_vec_u8(width, height, data, kind).map_err(RenderError::decode)?;
    let alpha = MulDiv::new();
    if weighted {
        alpha.multiply_alpha_inplace(&mut source).map_err(RenderError::decode)?;
    }
    let mut resized = Image::new(size.width, size.height, kind);
    let (left, top) = (f64::from(region.left), f64::from(region.top));
    let (width, height) = (f64::from(region.size.width), f64::from(region.size.height));
    // Lanczos3 is the default. `use_alpha` would do the weighting, in a copy of the whole source.
    let options = ResizeOptions::new().crop(left, top, width, height).use_alpha(false);
    Resizer::new().resize(&source, &mut resized, &options).map_err(RenderError::decode)?;
    if weighted {
        alpha.divide_alpha_inplace(&mut resized).map_err(RenderError::decode)?;
    }
    Ok(Pixels { data: resized.into_vec(), size, layout })
}

/// An upper bound of what everything after decoding allocates.
pub(super) fn resize_bytes(placement: &Placement) -> u64 {
    /// Filter weights: 64-bit floats first, then integers.
    const WEIGHT_BYTES: u64 = 20;
    /// The thumbnail, the same turned, and encoded.
    const COPIES: u64 = 3;
    const CHANNELS: u64 = 4;
    let Placement { region, size } = placement;
    let (source_sides, sides) = (sum_of_sides(region.size), sum_of_sides(*size));
    // Rows first, so all of the source's rows at the width of the thumbnail; or columns, when it is turned.
    let (across, down) =
        (Size::new(size.width, region.size.height), Size::new(region.size.width, size.height));
    let between = across.area().max(down.area());
    // A Lanczos3 window is six source pixels per pixel of the thumbnail.
    let weights = 6 * source_sides + 3 * sides;
    weights * WEIGHT_BYTES + (between + COPIES * size.area()) * CHANNELS
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
    let Pixels { mut data, size, layout } = pixels;
    let channels = layout.channels();
    let opaque = match layout {
        Layout::Grey | Layout::Rgb => return Pixels { data, size, layout },
        Layout::GreyAlpha => Layout::Grey,
        Layout::Rgba => Layout::Rgb,
    };
    if data.chunks_exact(channels).any(|pixel| pixel.last() != Some(&u8::MAX)) {
        return Pixels { data, size, layout };
    }
    let mut index = 0;
    data.retain(|_| {
        index += 1;
        index % channels != 0
    });
    Pixels { data, size, layout: opaque }
}

/// Whether a colour profile describes these pixels and is worth its bytes. Decoders turn CMYK into RGB, so
/// a profile may be for colours that are no longer there.
pub(super) fn profile_fits(profile: &[u8], pixels: &Pixels) -> bool {
    profile_fits_layout(profile, pixels.layout)
}

/// [`profile_fits`] for pixels that are still to come.
pub(super) fn profile_fits_layout(profile: &[u8], layout: Layout) -> bool {
    const HEADER_BYTES: usize = 128;
    let expected = match layout {
        Layout::Grey | Layout::GreyAlpha => b"GRAY",
        Layout::Rgb | Layout::Rgba => b"RGB ",
    };
    (HEADER_BYTES..=MAX_PROFILE_BYTES).contains(&profile.len())
        && profile.get(36..40) == Some(b"acsp")
        && profile.get(16..20) == Some(expected)
}

/// JPEG with 4:2:0 subsampling. The pixels have no alpha channel.
pub(super) fn encode_jpeg(pixels: &Pixels, icc: Option<&[u8]>) -> Result<Rendered, RenderError> {
    let Size { width, height } = pixels.size;
    let color = match pixels.layout {
        Layout::Grey | Layout::GreyAlpha => jpeg_encoder::ColorType::Luma,
        Layout::Rgb | Layout::Rgba => jpeg_encoder::ColorType::Rgb,
    };
    let short = |side: u32| u16::try_from(side).map_err(RenderError::encode);
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, JPEG_QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    if let Some(icc) = icc {
        encoder.add_icc_profile(icc).map_err(RenderError::encode)?;
    }
    encoder.encode(&pixels.data, short(width)?, short(height)?, color).map_err(RenderError::encode)?;
    Ok(Rendered::Image { bytes: bytes.into(), content_type: "image/jpeg", width, height })
}

/// PNG of 8 bits per channel.
pub(super) fn encode_png(pixels: &Pixels, icc: Option<Vec<u8>>) -> Result<Rendered, RenderError> {
    let Size { width, height } = pixels.size;
    let color = match pixels.layout {
        Layout::Grey => ExtendedColorType::L8,
        Layout::GreyAlpha => ExtendedColorType::La8,
        Layout::Rgb => ExtendedColorType::Rgb8,
        Layout::Rgba => ExtendedColorType::Rgba8,
    };
    let mut bytes = Vec::new();
    let mut encoder =
        PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive);
    if let Some(icc) = icc {
        encoder.set_icc_profile(icc).map_err(RenderError::encode)?;
    }
    encoder.write_image(&pixels.data, width, height, color).map_err(RenderError::encode)?;
    Ok(Rendered::Image { bytes: bytes.into(), content_type: "image/png", width, height })
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

    fn profile(space: &str, len: usize) -> Vec<u8> {
        let mut profile = vec![0; len];
        profile[16..20].copy_from_slice(space.as_bytes());
        profile[36..40].copy_from_slice(b"acsp");
        profile
    }

    #[test]
    fn a_profile_for_other_colours_does_not_fit() {
        let rgba = Pixels::rgba(vec![0; 4], Size::new(1, 1));
        assert!(profile_fits(&profile("RGB ", 128), &rgba));
        assert!(!profile_fits(&profile("CMYK", 128), &rgba));
        assert!(!profile_fits(&profile("GRAY", 128), &rgba));
    }

    #[test]
    fn a_profile_that_is_none_or_outweighs_the_thumbnail_does_not_fit() {
        let rgba = Pixels::rgba(vec![0; 4], Size::new(1, 1));
        assert!(!profile_fits(b"", &rgba));
        assert!(!profile_fits(&[0; 200], &rgba));
        assert!(!profile_fits(&profile("RGB ", MAX_PROFILE_BYTES + 1), &rgba));
    }
}
