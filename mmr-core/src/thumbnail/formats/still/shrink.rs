//! Cuts parts out of pictures and resamples them.

use std::fmt;

use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{IntoImageView, PixelType, ResizeOptions, Resizer};

use super::ladder::Area;
use super::steps::Pixels;
use crate::thumbnail::render::RenderError;
use crate::types::Size;

/// A decoded picture, whichever way its pixels are stored.
pub(in crate::thumbnail::formats) trait Source: fmt::Debug {
    fn size(&self) -> Size;

    /// Gives transparent pixels no say in the colour of their neighbours. True where that changed anything; what is made
    /// from it is then to be [unweighted](Pixels::unweight).
    fn weight_by_alpha(&mut self) -> Result<bool, RenderError>;

    /// Brings the part `area` to `size`.
    fn shrink(&self, shrinker: &mut Shrinker, area: Area, size: Size) -> Result<Pixels, RenderError>;

    /// All of it.
    fn into_pixels(self: Box<Self>) -> Result<Pixels, RenderError>;
}

impl Source for Pixels {
    fn size(&self) -> Size {
        self.size
    }

    fn weight_by_alpha(&mut self) -> Result<bool, RenderError> {
        self.weight_by_alpha()
    }

    fn shrink(&self, shrinker: &mut Shrinker, area: Area, size: Size) -> Result<Pixels, RenderError> {
        let kind = self.layout.pixel_type();
        let Size { width, height } = self.size;
        let view = ImageRef::new(width, height, &self.data, kind).map_err(RenderError::decode)?;
        let data = shrinker.resize(&view, kind, area, size)?;
        Ok(Self { data, size, layout: self.layout })
    }

    fn into_pixels(self: Box<Self>) -> Result<Pixels, RenderError> {
        Ok(*self)
    }
}

/// One channel of a picture.
#[derive(Clone, Copy, Debug)]
pub(in crate::thumbnail::formats) struct Samples<'a> {
    pub(in crate::thumbnail::formats) bytes: &'a [u8],
    /// Of the rows in `bytes`.
    pub(in crate::thumbnail::formats) stored: Size,
    /// What of it belongs to the picture, from its upper left.
    pub(in crate::thumbnail::formats) shown: Size,
}

/// Resamples with Lanczos3. Keeps its working memory from one picture to the next.
#[derive(Default)]
pub(in crate::thumbnail::formats) struct Shrinker(Resizer);

impl Shrinker {
    /// Brings the part `area` of what is shown to `size`.
    pub(in crate::thumbnail::formats) fn plane(
        &mut self,
        plane: &Samples<'_>,
        area: Area,
        size: Size,
    ) -> Result<Vec<u8>, RenderError> {
        let &Samples { bytes, stored, shown } = plane;
        let all = ImageRef::new(stored.width, stored.height, bytes, PixelType::U8);
        let all = all.map_err(RenderError::decode)?;
        let view = CroppedImage::new(&all, 0, 0, shown.width, shown.height).map_err(RenderError::decode)?;
        self.resize(&view, PixelType::U8, area, size)
    }

    fn resize(
        &mut self,
        source: &impl IntoImageView,
        kind: PixelType,
        area: Area,
        size: Size,
    ) -> Result<Vec<u8>, RenderError> {
        let mut resized = Image::new(size.width, size.height, kind);
        let Area { left, top, width, height } = area;
        let options = ResizeOptions::new().crop(left, top, width, height).use_alpha(false);
        self.0.resize(source, &mut resized, &options).map_err(RenderError::decode)?;
        Ok(resized.into_vec())
    }
}
