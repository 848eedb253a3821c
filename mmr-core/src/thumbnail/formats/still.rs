//! Still thumbnails of pictures.
//!
//! The output is JPEG for JPEG sources and for WebP without transparency, PNG for everything else. Of an
//! animation one frame is shown, even where an animated thumbnail was allowed: animated output does not
//! exist yet, except that a small enough animation is served as it is.

mod gif;
mod jpeg;
mod png;
pub(super) mod source;
pub(super) mod steps;
mod webp;

use std::fmt;

use image::ImageError;
use image::metadata::Orientation;

pub(super) use self::{gif::Gif, jpeg::Jpeg, png::Png, steps::Pixels, webp::WebP};
use crate::policy::ThumbnailPolicy;
use crate::thumbnail::geometry::{self, Placement};
use crate::thumbnail::render::{Prepared, RenderError, RenderTask, Rendered, Renderer, Work};
use crate::types::{Size, ThumbnailSpec, Variant};

/// Renders pictures.
#[derive(Debug)]
pub(super) struct StillImages(Vec<Box<dyn Format>>);

impl StillImages {
    /// Asks these formats, in their order.
    pub(super) fn new(formats: Vec<Box<dyn Format>>) -> Self {
        Self(formats)
    }
}

impl Renderer for StillImages {
    fn prepare(&self, task: &RenderTask) -> Option<Result<Prepared, RenderError>> {
        let format = self.0.iter().find(|format| format.is(&task.source))?;
        Some(format.open(task).and_then(|header| plan(header, task)))
    }
}

/// A format of pictures.
pub(super) trait Format: fmt::Debug + Send + Sync + 'static {
    /// Whether these bytes begin like this format.
    fn is(&self, source: &[u8]) -> bool;

    /// Reads the header, under the rules of [`Renderer::prepare`].
    fn open(&self, task: &RenderTask) -> Result<Header, RenderError>;
}

/// What a codec says about a source after reading its header.
pub(super) struct Header {
    /// The type found in the bytes.
    pub(super) content_type: &'static str,
    /// Width and height as stored, before `orientation`.
    pub(super) size: Size,
    /// The most pixels that any part of the source asks for.
    pub(super) pixels: u64,
    /// How the stored pixels must be turned to be upright.
    pub(super) orientation: Orientation,
    /// Embedded colour profile, as it is.
    pub(super) icc: Option<Vec<u8>>,
    /// Whether the source has more than one frame.
    pub(super) animated: bool,
    /// Whether an opaque thumbnail becomes a JPEG.
    pub(super) jpeg_if_opaque: bool,
    /// Bytes that decoding takes, decoded pixels included.
    pub(super) decode_bytes: u64,
    /// See [`Work::at_worst_bytes`].
    pub(super) at_worst_bytes: u64,
    pub(super) decode: Decode,
}

/// Decodes the picture, at any size not smaller than the one given in either direction; in full where the picture is
/// smaller itself. Before `orientation`, as [`Header::size`].
pub(super) type Decode = Box<dyn FnOnce(Size) -> Result<Pixels, RenderError> + Send>;

impl Header {
    /// Width and height as shown.
    fn upright(&self) -> Size {
        if steps::transposes(self.orientation) { self.size.transposed() } else { self.size }
    }

    fn original(&self) -> Rendered {
        let Size { width, height } = self.upright();
        Rendered::Original { content_type: self.content_type, width, height }
    }
}

/// Decides from the header alone, so that a refusal costs no pixels.
fn plan(header: Header, task: &RenderTask) -> Result<Prepared, RenderError> {
    let RenderTask { source, specs, policy, cancelled } = task;
    admit(&header, policy)?;
    let plans: Vec<Plan> =
        specs.iter().map(|spec| Plan::of(&header, spec, source.len() as u64, policy)).collect();
    if plans.iter().all(|plan| matches!(plan, Plan::Original)) {
        return Ok(Prepared::Done(plans.iter().map(|_| header.original()).collect()));
    }

    let pixels = header.pixels;
    let resize_bytes = |plan: &Plan| match plan {
        Plan::Original => 0,
        Plan::Place(placement) => steps::resize_bytes(placement),
    };
    let required_bytes =
        plans.iter().fold(header.decode_bytes, |sum, plan| sum.saturating_add(resize_bytes(plan)));
    let at_worst_bytes = header.at_worst_bytes;
    let cancelled = cancelled.clone();
    let run = move || {
        let original = header.original();
        let decoded = (header.decode)(header.size)?;
        let mut rendered = Vec::with_capacity(plans.len());
        for plan in plans {
            if cancelled.get() {
                return Err(RenderError::Deadline);
            }
            rendered.push(match plan {
                Plan::Original => original.clone(),
                Plan::Place(placement) => finish(
                    decoded.clone(),
                    &placement,
                    header.orientation,
                    header.icc.clone(),
                    header.jpeg_if_opaque,
                )?,
            });
        }
        Ok(rendered)
    };
    Ok(Prepared::Work(Work { pixels, required_bytes, at_worst_bytes, run: Box::new(run) }))
}

/// What becomes of one spec.
#[derive(Debug)]
enum Plan {
    Original,
    Place(Placement),
}

impl Plan {
    fn of(header: &Header, spec: &ThumbnailSpec, source_bytes: u64, policy: &ThumbnailPolicy) -> Self {
        let upright = header.upright();
        let may_move = spec.variant == Variant::Animated && source_bytes <= policy.max_animate_bytes;
        let as_it_is = spec.size().contains(upright)
            && header.orientation == Orientation::NoTransforms
            && (may_move || !header.animated);
        if as_it_is {
            Self::Original
        } else {
            Self::Place(geometry::place(upright, spec.size(), spec.method))
        }
    }
}

fn admit(header: &Header, policy: &ThumbnailPolicy) -> Result<(), RenderError> {
    if header.size.area() == 0 {
        return Err(RenderError::decode("picture has no pixels"));
    }
    if !policy.allows_type(header.content_type) {
        return Err(RenderError::Unsupported(format!("{} is not enabled", header.content_type)));
    }
    let (pixels, limit) = (header.pixels, policy.max_pixels);
    if pixels > limit { Err(RenderError::TooManyPixels { pixels, limit }) } else { Ok(()) }
}

/// The pipeline after decoding. The placement counts in upright pixels; the picture is turned last, when it
/// is small, which gives the same result as turning it first.
fn finish(
    decoded: Pixels,
    placement: &Placement,
    orientation: Orientation,
    icc: Option<Vec<u8>>,
    jpeg_if_opaque: bool,
) -> Result<Rendered, RenderError> {
    let Placement { region, size } = *placement;
    let (region, size) = if steps::transposes(orientation) {
        (region.transposed(), size.transposed())
    } else {
        (region, size)
    };
    let resized = steps::resize(decoded, region, size)?;
    let upright = steps::turn(resized, orientation)?;
    let shown = steps::drop_needless_alpha(upright);
    let icc = icc.filter(|profile| steps::profile_fits(profile, &shown));
    if jpeg_if_opaque && !shown.has_alpha() {
        steps::encode_jpeg(&shown, icc.as_deref())
    } else {
        steps::encode_png(&shown, icc)
    }
}

fn into_render_error(error: ImageError) -> RenderError {
    match error {
        ImageError::Unsupported(what) => RenderError::Unsupported(what.to_string()),
        other => RenderError::decode(other),
    }
}

#[cfg(test)]
mod tests;
