//! The size of sources that have no pixels of their own.

use super::still::Header;
use crate::thumbnail::geometry;
use crate::thumbnail::render::{RenderError, RenderTask};
use crate::types::Size;

/// The longer side of a source without pixels, unless more is asked for.
const SIDE: u32 = 2048;

/// The size of a source without pixels, which has this shape: always larger than what is asked for, since a source that
/// fits would be served as it is.
pub(super) fn size(width: f64, height: f64, task: &RenderTask) -> Result<Size, RenderError> {
    /// Beyond this a shape is a line, whatever its numbers.
    const PARTS: f64 = 65_536.0;
    let longer = width.max(height);
    let finite = width.is_finite() && height.is_finite() && width > 0.0 && height > 0.0;
    if !finite {
        return Err(RenderError::decode("drawing has no size"));
    }
    let asked = task.specs.iter().map(|spec| spec.width.max(spec.height)).max().unwrap_or_default();
    let allowed = u32::try_from(task.policy.max_pixels.isqrt()).unwrap_or(u32::MAX);
    let side = SIDE.min(allowed).max(asked.saturating_add(1));
    let parts = |length: f64| to_u32(length / longer * PARTS).max(1);
    Ok(geometry::fit(Size::new(parts(width), parts(height)), Size::new(side, side)))
}

/// Rounded, and as near as an `u32` comes.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
pub(super) fn to_u32(number: f64) -> u32 {
    number.round() as u32
}

/// `asked`, but at least one pixel and no more than the header promised.
pub(super) fn clamped(asked: Size, most: Size) -> Size {
    let side = |asked: u32, most: u32| asked.clamp(1, most.max(1));
    Size::new(side(asked.width, most.width), side(asked.height, most.height))
}

/// Refuses before anything is read what the policy does not want anyway.
pub(super) fn admit(content_type: &str, task: &RenderTask) -> Result<(), RenderError> {
    if task.policy.allows_type(content_type) { Ok(()) } else { Err(RenderError::not_enabled(content_type)) }
}

/// The header of a source without pixels. `decode_bytes` is beyond the picture itself.
pub(super) fn header(
    content_type: &'static str,
    size: Size,
    decode_bytes: u64,
    decode: impl FnOnce(Size) -> Result<super::still::Pixels, RenderError> + Send + 'static,
) -> Header {
    const CHANNELS: u64 = 4;
    Header {
        content_type,
        size,
        pixels: size.area(),
        orientation: image::metadata::Orientation::NoTransforms,
        icc: None,
        animated: false,
        animation: None,
        jpeg_if_opaque: false,
        decode_bytes: decode_bytes.saturating_add(size.area() * CHANNELS),
        at_worst_bytes: 0,
        decode: Box::new(move |asked| decode(clamped(asked, size)).map(super::still::Pixels::boxed)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use image::{DynamicImage, ImageBuffer, RgbaImage};

    use super::super::still::Pixels;
    use super::super::still::steps::Layout;
    use super::*;
    use crate::thumbnail::ThumbnailPolicy;
    use crate::thumbnail::render::Cancelled;
    use crate::types::{Method, ThumbnailSpec, Variant};

    /// A thumbnail of 64 pixels, of a source of an enabled type.
    pub(in super::super) fn enabled(source: impl Into<Bytes>, content_type: &str) -> RenderTask {
        let spec = ThumbnailSpec { width: 64, height: 64, method: Method::Scale, variant: Variant::Still };
        let policy = ThumbnailPolicy { types: vec![content_type.to_owned()], ..ThumbnailPolicy::default() };
        RenderTask {
            source: source.into(),
            specs: vec![spec],
            policy: Arc::new(policy),
            cancelled: Cancelled::default(),
        }
    }

    /// What is decoded at this size, in straight RGBA.
    pub(in super::super) fn decoded(
        header: Header,
        width: u32,
        height: u32,
    ) -> Result<RgbaImage, RenderError> {
        let Pixels { data, size: Size { width, height }, layout } =
            (header.decode)(Size::new(width, height))?.into_pixels()?;
        let picture = match layout {
            Layout::Rgb => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageRgb8),
            Layout::Rgba => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageRgba8),
            other => panic!("pixels are {other:?}"),
        };
        Ok(picture.expect("pixels fill the picture").into_rgba8())
    }

    /// Refused as a source, and not for any other reason.
    #[track_caller]
    pub(in super::super) fn assert_refused<T>(result: Result<T, RenderError>) {
        match result {
            Ok(_) => panic!("was rendered"),
            Err(error) => {
                let refusal = matches!(error, RenderError::Unsupported(_) | RenderError::Decode(_));
                assert!(refusal, "{error:?}");
            }
        }
    }

    fn task(width: u32, max_pixels: u64) -> RenderTask {
        let spec = ThumbnailSpec { width, height: 8, method: Method::Scale, variant: Variant::Still };
        let policy = Arc::new(ThumbnailPolicy { max_pixels, ..ThumbnailPolicy::default() });
        RenderTask { source: Bytes::new(), specs: vec![spec], policy, cancelled: Cancelled::default() }
    }

    #[test]
    fn a_shape_fills_its_box_in_one_direction() {
        assert_eq!(size(1.0, 0.5, &task(32, u64::MAX)).unwrap(), Size::new(2048, 1024));
        assert_eq!(size(30_000.0, 60_000.0, &task(32, u64::MAX)).unwrap(), Size::new(1024, 2048));
    }

    #[test]
    fn a_line_has_a_pixel_of_width() {
        assert_eq!(size(1e-30, 1e30, &task(32, u64::MAX)).unwrap(), Size::new(1, 2048));
    }

    #[test]
    fn a_shape_is_larger_than_anything_asked_for() {
        assert_eq!(size(1.0, 1.0, &task(4000, u64::MAX)).unwrap(), Size::new(4001, 4001));
    }

    #[test]
    fn a_shape_has_no_more_pixels_than_allowed() {
        assert_eq!(size(1.0, 1.0, &task(32, 10_000)).unwrap(), Size::new(100, 100));
    }

    #[test]
    fn a_shape_without_extent_is_damaged() {
        for (width, height) in [(0.0, 1.0), (1.0, f64::NAN), (f64::INFINITY, 1.0), (-1.0, 1.0)] {
            assert!(size(width, height, &task(32, 10_000)).is_err());
        }
    }
}
