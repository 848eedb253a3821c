//! The cover of an audio file, from its tags.

use bytes::Bytes;
use image::{DynamicImage, ImageBuffer};
use symphonia::core::formats::FormatReader;
use symphonia::core::meta::{MetadataContainer, StandardVisualKey, Visual};

use super::super::still::steps::Layout;
use super::super::still::{Format, Header, Jpeg, Pixels, Png};
use crate::thumbnail::render::{RenderError, RenderTask};
use crate::types::Size;

/// A cover that takes more is left out.
const MAX_BYTES: u64 = 160 * 1024 * 1024;

/// A cover whose header was read.
pub(super) struct Cover(Header);

impl Cover {
    /// The cover, when it is a picture that the policy would allow by itself; else the first picture that is.
    pub(super) fn of(reader: &mut dyn FormatReader, task: &RenderTask) -> Option<Self> {
        let mut visuals = Vec::new();
        let mut metadata = reader.metadata();
        while let Some(revision) = metadata.pop().or_else(|| metadata.current().cloned()) {
            let last = metadata.is_latest() && metadata.current().is_some();
            visuals.extend(take(revision.media));
            visuals.extend(revision.per_track.into_iter().flat_map(|track| take(track.metadata)));
            if last {
                break;
            }
        }
        visuals.sort_by_key(|visual| visual.usage != Some(StandardVisualKey::FrontCover));
        visuals.into_iter().find_map(|visual| Self::open(visual, task))
    }

    fn open(visual: Visual, task: &RenderTask) -> Option<Self> {
        let formats: [&dyn Format; 2] = [&Jpeg, &Png];
        let format = formats.into_iter().find(|format| format.is(&visual.data))?;
        let task = RenderTask { source: Bytes::from(visual.data), ..task.clone() };
        let header = format.open(&task).ok()?;
        let cover = Self(header);
        let fits = cover.0.size.area() > 0
            && cover.pixels() <= task.policy.max_pixels
            && cover.bytes().saturating_add(cover.0.at_worst_bytes) <= MAX_BYTES;
        fits.then_some(cover)
    }

    pub(super) const fn pixels(&self) -> u64 {
        self.0.pixels
    }

    /// Bytes that decoding takes.
    pub(super) const fn bytes(&self) -> u64 {
        self.0.decode_bytes
    }

    pub(super) fn decode(self) -> Result<DynamicImage, RenderError> {
        let Header { size, orientation, decode, .. } = self.0;
        let Pixels { data, size: Size { width, height }, layout } = decode(size)?.into_pixels()?;
        let picture = match layout {
            Layout::Grey => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageLuma8),
            Layout::GreyAlpha => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageLumaA8),
            Layout::Rgb => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageRgb8),
            Layout::Rgba => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageRgba8),
        };
        let mut picture = picture.ok_or_else(|| RenderError::decode("pixels do not fill the cover"))?;
        picture.apply_orientation(orientation);
        Ok(picture)
    }
}

/// Of each container so many pictures are looked at.
fn take(container: MetadataContainer) -> impl Iterator<Item = Visual> {
    const MOST: usize = 16;
    container.visuals.into_iter().take(MOST)
}
