//! Still thumbnails of pictures.
//!
//! The output is JPEG for JPEG sources and for WebP without transparency, PNG for everything else. Of an
//! animation one frame is shown, unless it may move: see [`animated`](super::animated).

mod gif;
mod jpeg;
mod png;
mod source;
mod steps;
mod webp;

use std::fmt;

use image::ImageError;
use image::metadata::Orientation;

pub(super) use self::{gif::Gif, jpeg::Jpeg, png::Png, source::SourceReader, steps::Pixels, webp::WebP};
use super::animated::{self, Animation, Making, NewOutput, OutputRoom};
use crate::policy::ThumbnailPolicy;
use crate::thumbnail::geometry::{self, Placement};
use crate::thumbnail::render::{Cancelled, Prepared, RenderError, RenderTask, Rendered, Renderer, Work};
use crate::types::{Size, ThumbnailSpec, Variant};

/// Renders pictures.
#[derive(Debug)]
pub(super) struct StillImages {
    formats: Vec<Box<dyn Format>>,
    animated: NewOutput,
}

impl StillImages {
    /// Asks these formats, in their order, and writes animations into this one.
    pub(super) fn new(formats: Vec<Box<dyn Format>>, animated: NewOutput) -> Self {
        Self { formats, animated }
    }
}

impl Renderer for StillImages {
    fn prepare(&self, task: &RenderTask) -> Option<Result<Prepared, RenderError>> {
        let format = self.formats.iter().find(|format| format.is(&task.source))?;
        Some(format.open(task).and_then(|header| plan(header, task, self.animated)))
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
    /// The frames, where there is a way to them.
    pub(super) animation: Option<Animation>,
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
fn plan(header: Header, task: &RenderTask, new_animation: NewOutput) -> Result<Prepared, RenderError> {
    let RenderTask { source, specs, policy, cancelled } = task;
    admit(&header, policy)?;
    let mut room = OutputRoom::default();
    let plan = |spec| Plan::of(&header, spec, source.len() as u64, policy, &mut room);
    let plans: Vec<Plan> = specs.iter().map(plan).collect();
    if plans.iter().all(|plan| matches!(plan, Plan::Original)) {
        return Ok(Prepared::Done(plans.iter().map(|_| header.original()).collect()));
    }

    let pixels = header.pixels;
    let resize_bytes = |plan: &Plan| match plan {
        Plan::Original => 0,
        Plan::Place(placement) => steps::resize_bytes(placement),
        Plan::Animate(placement) => {
            let output = header.animation.as_ref().map_or(0, |animation| animation.output_bytes(placement));
            steps::resize_bytes(placement).saturating_add(output)
        }
    };
    // First the frames of the animations are drawn, then the one of those that are still.
    let moves = plans.iter().any(|plan| matches!(plan, Plan::Animate(_)));
    let drawing = header.animation.as_ref().filter(|_| moves);
    let decode_bytes = header.decode_bytes.max(drawing.map_or(0, |drawing| drawing.drawing_bytes));
    let required_bytes = plans.iter().fold(decode_bytes, |sum, plan| sum.saturating_add(resize_bytes(plan)));
    let at_worst_bytes = header.at_worst_bytes;
    let cancelled = cancelled.clone();
    let run = move || {
        let mut rendered = without_still(&header, &plans, new_animation, &cancelled)?;
        if rendered.contains(&None) {
            let decoded = (header.decode)(header.size)?;
            for (plan, rendered) in plans.iter().zip(&mut rendered) {
                let (Plan::Place(placement) | Plan::Animate(placement), None) = (plan, &rendered) else {
                    continue;
                };
                if cancelled.get() {
                    return Err(RenderError::Deadline);
                }
                *rendered = Some(finish(
                    decoded.clone(),
                    placement,
                    header.orientation,
                    header.icc.clone(),
                    header.jpeg_if_opaque,
                )?);
            }
        }
        Ok(rendered.into_iter().flatten().collect())
    };
    Ok(Prepared::Work(Work { pixels, required_bytes, at_worst_bytes, run: Box::new(run) }))
}

/// What becomes of one spec.
#[derive(Debug)]
enum Plan {
    Original,
    Place(Placement),
    /// Where it can be; else as [`Plan::Place`].
    Animate(Placement),
}

impl Plan {
    fn of(
        header: &Header,
        spec: &ThumbnailSpec,
        source_bytes: u64,
        policy: &ThumbnailPolicy,
        room: &mut OutputRoom,
    ) -> Self {
        let upright = header.upright();
        let may_move = spec.variant == Variant::Animated
            && policy.allow_animated
            && source_bytes <= policy.max_animate_bytes;
        let as_it_is = spec.size().contains(upright)
            && header.orientation == Orientation::NoTransforms
            && (may_move || !header.animated);
        if as_it_is {
            return Self::Original;
        }
        let placement = geometry::place(upright, spec.size(), spec.method);
        let animation = header.animation.as_ref().filter(|animation| may_move && animation.may_move());
        match animation {
            Some(animation) if animation.fits(&placement, room) => Self::Animate(placement),
            _ => Self::Place(placement),
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

/// What needs no still picture; `None` for what does.
fn without_still(
    header: &Header,
    plans: &[Plan],
    new_animation: NewOutput,
    cancelled: &Cancelled,
) -> Result<Vec<Option<Rendered>>, RenderError> {
    let moving = plans.iter().filter_map(|plan| match plan {
        Plan::Animate(placement) => Some(*placement),
        Plan::Original | Plan::Place(_) => None,
    });
    let moving: Vec<_> = moving.collect();
    let mut animated = match &header.animation {
        Some(animation) if !moving.is_empty() => {
            let resize = |rgba, placement: &Placement| {
                let frame = Pixels::rgba(rgba, header.size);
                shrink(frame, placement, header.orientation).map(Pixels::into_data)
            };
            let icc =
                header.icc.as_deref().filter(|icc| steps::profile_fits_layout(icc, steps::Layout::Rgba));
            let making = Making { icc, new: new_animation, resize: &resize };
            animated::render(animation, &moving, &making, cancelled)?
        }
        _ => Vec::new(),
    }
    .into_iter();
    let done = plans.iter().map(|plan| match plan {
        Plan::Original => Some(header.original()),
        Plan::Animate(_) => animated.next().flatten(),
        Plan::Place(_) => None,
    });
    Ok(done.collect())
}

/// Cuts, resizes and turns. The placement counts in upright pixels; the picture is turned last, when it is small, which gives
/// the same result as turning it first.
fn shrink(decoded: Pixels, placement: &Placement, orientation: Orientation) -> Result<Pixels, RenderError> {
    let Placement { region, size } = *placement;
    let (region, size) = if steps::transposes(orientation) {
        (region.transposed(), size.transposed())
    } else {
        (region, size)
    };
    let resized = steps::resize(decoded, region, size)?;
    steps::turn(resized, orientation)
}

/// The pipeline after decoding.
fn finish(
    decoded: Pixels,
    placement: &Placement,
    orientation: Orientation,
    icc: Option<Vec<u8>>,
    jpeg_if_opaque: bool,
) -> Result<Rendered, RenderError> {
    let upright = shrink(decoded, placement, orientation)?;
    let shown = steps::drop_needless_alpha(upright);
    let icc = icc.filter(|profile| steps::profile_fits(profile, &shown));
    if jpeg_if_opaque && !shown.has_alpha() {
        steps::encode_jpeg(&shown, icc.as_deref())
    } else {
        steps::encode_png(&shown, icc)
    }
}

/// Frame `index` of an animation as its still picture.
fn animated_still(animation: Animation, index: u64, size: Size, task: &RenderTask) -> Decode {
    let cancelled = task.cancelled.clone();
    Box::new(move |_| animation.draw(index, &cancelled).map(|rgba| Pixels::rgba(rgba, size)))
}

pub(super) fn into_render_error(error: ImageError) -> RenderError {
    match error {
        ImageError::Unsupported(what) => RenderError::Unsupported(what.to_string()),
        other => RenderError::decode(other),
    }
}

#[cfg(test)]
mod tests;
