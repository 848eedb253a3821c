//! Still thumbnails of pictures.
//!
//! Of an animation one frame is shown, unless it may [move](super::animated).

mod colour;
mod gif;
mod jpeg;
mod ladder;
mod moving;
mod output;
mod palette;
mod png;
mod shrink;
pub(super) mod source;
pub(super) mod steps;
mod webp;

use std::fmt;

use image::ImageError;
use image::metadata::Orientation;

use self::colour::Colours;
pub(super) use self::gif::Gif;
pub(super) use self::jpeg::{
    Jpeg, Plane, Planes, decoded_at_each_scale, open_with as open_jpeg, with_margin,
};
pub(super) use self::ladder::Area;
pub(super) use self::output::{Encoders, JPEG_QUALITY, Safe};
pub(super) use self::png::Png;
pub(super) use self::shrink::{Samples, Shrinker, Source};
pub(super) use self::source::SourceReader;
pub(super) use self::steps::{Layout, Pixels, decode};
pub(super) use self::webp::WebP;
use super::animated::{Animation, NewOutput, OutputRoom};
use crate::policy::ThumbnailPolicy;
use crate::thumbnail::geometry::{self, Placement};
use crate::thumbnail::render::{
    Cancelled, Prepared, Probed, RenderError, RenderTask, Rendered, Renderer, Work,
};
use crate::types::{Size, ThumbnailSpec, Variant};

/// Renders pictures.
#[derive(Debug)]
pub(super) struct StillImages {
    formats: Vec<Box<dyn Format>>,
    writers: Writers,
}

/// What thumbnails are written with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writers {
    /// Pictures.
    pub(super) still: &'static dyn Encoders,
    /// Animations.
    pub(super) moving: NewOutput,
}

impl StillImages {
    /// Asks these formats, in their order.
    pub(super) fn new(formats: Vec<Box<dyn Format>>, writers: Writers) -> Self {
        Self { formats, writers }
    }
}

impl Renderer for StillImages {
    fn prepare(&self, task: &RenderTask) -> Option<Result<Prepared, RenderError>> {
        let format = self.formats.iter().find(|format| format.is(&task.source))?;
        Some(if task.specs.is_empty() {
            format.see(task).map(Prepared::Seen)
        } else {
            format.open(task).and_then(|header| plan(header, task, self.writers))
        })
    }
}

/// A format of pictures.
pub(super) trait Format: fmt::Debug + Send + Sync + 'static {
    /// Whether these bytes begin like this format.
    fn is(&self, source: &[u8]) -> bool;

    /// Reads the header, under the rules of [`Renderer::prepare`].
    fn open(&self, task: &RenderTask) -> Result<Header, RenderError>;

    /// What the source is, for those who want no thumbnail of it.
    fn see(&self, task: &RenderTask) -> Result<Probed, RenderError> {
        let header = self.open(task)?;
        admit(&header, &task.policy)?;
        Ok(header.seen())
    }
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
///
/// At the size given, the largest thumbnail has a pixel for each pixel. A decoder that cannot scale as well as Lanczos
/// resampling leaves room.
pub(super) type Decode = Box<dyn FnOnce(Size) -> Result<Box<dyn Source>, RenderError> + Send>;

impl Header {
    /// Width and height as shown.
    fn upright(&self) -> Size {
        if steps::transposes(self.orientation) { self.size.transposed() } else { self.size }
    }

    /// A placement in upright pixels, in those that are stored.
    fn as_stored(&self, placement: &Placement) -> Placement {
        let Placement { region, size } = *placement;
        if steps::transposes(self.orientation) {
            Placement { region: region.transposed(), size: size.transposed() }
        } else {
            Placement { region, size }
        }
    }

    fn seen(&self) -> Probed {
        let Size { width, height } = self.upright();
        let duration = self.animation.as_ref().filter(|_| self.animated).map(|animation| animation.duration);
        Probed { content_type: self.content_type, width, height, duration }
    }

    fn original(&self) -> Rendered {
        let Size { width, height } = self.upright();
        Rendered::Original { content_type: self.content_type, width, height }
    }
}

/// Decides from the header alone, so that a refusal costs no pixels.
fn plan(header: Header, task: &RenderTask, writers: Writers) -> Result<Prepared, RenderError> {
    let RenderTask { source, specs, policy, cancelled } = task;
    admit(&header, policy)?;
    let mut room = OutputRoom::default();
    let plan = |spec| Plan::of(&header, spec, source.len() as u64, policy, &mut room);
    let plans: Vec<Plan> = specs.iter().map(plan).collect();
    if plans.iter().all(|plan| matches!(plan, Plan::Original)) {
        return Ok(Prepared::Done(plans.iter().map(|_| header.original()).collect()));
    }

    let pixels = header.pixels;
    let required_bytes = required_bytes(&header, &plans);
    let at_worst_bytes = header.at_worst_bytes;
    let variants: Vec<Variant> = specs.iter().map(|spec| spec.variant).collect();
    let cancelled = cancelled.clone();
    let run = move || run(header, &plans, &variants, writers, &cancelled);
    Ok(Prepared::Work(Work { pixels, required_bytes, at_worst_bytes, run: Box::new(run) }))
}

/// First the frames of the animations are drawn, then the one of those that are still.
fn required_bytes(header: &Header, plans: &[Plan]) -> u64 {
    let placements: Vec<_> = plans.iter().filter_map(|plan| plan.placement(header)).collect();
    let animated = || plans.iter().filter_map(|plan| plan.animated());
    let (drawing, output) = match &header.animation {
        Some(animation) if animated().next().is_some() => {
            (animation.drawing_bytes, animated().map(|placement| animation.output_bytes(placement)).sum())
        }
        _ => (0, 0),
    };
    header
        .decode_bytes
        .max(drawing)
        .saturating_add(output)
        .saturating_add(steps::resize_bytes(&placements))
        .saturating_add(Colours::bytes(header.icc.as_deref()))
}

/// The second part of a rendering: a thumbnail for each plan.
fn run(
    mut header: Header,
    plans: &[Plan],
    variants: &[Variant],
    writers: Writers,
    cancelled: &Cancelled,
) -> Result<Vec<Rendered>, RenderError> {
    let original = header.original();
    let mut colours = Colours::new(header.icc.take());
    let animated: Vec<Placement> = plans.iter().filter_map(|plan| plan.animated().copied()).collect();
    let mut animated = if animated.is_empty() {
        Vec::new()
    } else {
        moving::animate(&header, &animated, writers.moving, &mut colours, cancelled)?
    }
    .into_iter();
    let mut rendered: Vec<Option<Rendered>> = plans
        .iter()
        .map(|plan| match plan {
            Plan::Original => Some(original.clone()),
            Plan::Animate(_) => animated.next().flatten(),
            Plan::Place(_) => None,
        })
        .collect();

    let still: Vec<usize> = (0..plans.len()).filter(|&index| rendered[index].is_none()).collect();
    if !still.is_empty() {
        let placements: Vec<Placement> =
            still.iter().filter_map(|&index| plans[index].placement(&header)).collect();
        let variants: Vec<Variant> = still.iter().map(|&index| variants[index]).collect();
        let finish = Finish {
            orientation: header.orientation,
            colours,
            lossy: header.jpeg_if_opaque,
            encoders: writers.still,
        };
        let decoded = (header.decode)(ladder::needed(header.size, &placements))?;
        let shown = Shown { full: header.size, placements: &placements, variants: &variants };
        for (index, made) in still.into_iter().zip(shown.make(decoded, finish, cancelled)?) {
            rendered[index] = made;
        }
    }
    let missing = || RenderError::encode("a thumbnail was not made");
    rendered.into_iter().map(|rendered| rendered.ok_or_else(missing)).collect()
}

/// The thumbnails to make of a picture, counted in its pixels as they are stored.
struct Shown<'a> {
    /// Size of the picture in full.
    full: Size,
    placements: &'a [Placement],
    /// One for each placement.
    variants: &'a [Variant],
}

impl Shown<'_> {
    /// Makes all of them from one decoding, in the order of the placements.
    fn make(
        &self,
        mut decoded: Box<dyn Source>,
        mut finish: Finish,
        cancelled: &Cancelled,
    ) -> Result<Vec<Option<Rendered>>, RenderError> {
        let mut shrinker = Shrinker::default();
        let mut weighted = None;
        let mut kept: Vec<Option<Pixels>> = vec![None; self.placements.len()];
        let mut made = vec![None; self.placements.len()];
        for rung in ladder::rungs(self.full, decoded.size(), self.placements) {
            if cancelled.get() {
                return Err(RenderError::Deadline);
            }
            let size = self.placements[rung.index].size;
            let resampled = rung.from.is_some() || !rung.area.is(size);
            if resampled && weighted.is_none() {
                weighted = Some(decoded.weight_by_alpha()?);
            }
            let larger = rung.from.and_then(|from| kept[from].as_ref());
            let source = larger.map_or(&*decoded, |larger| larger);
            let mut shown = source.shrink(&mut shrinker, rung.area, size)?;
            if rung.kept {
                kept[rung.index] = Some(shown.clone());
            }
            if resampled && weighted == Some(true) {
                shown.unweight()?;
            }
            made[rung.index] = Some(finish.encode(shown, self.variants[rung.index])?);
        }
        Ok(made)
    }
}

/// From resized pixels to a thumbnail: what is done now that pixels are few.
struct Finish {
    orientation: Orientation,
    colours: Colours,
    lossy: bool,
    encoders: &'static dyn Encoders,
}

impl Finish {
    fn encode(&mut self, resized: Pixels, variant: Variant) -> Result<Rendered, RenderError> {
        let upright = steps::turn(resized, self.orientation)?;
        let mut shown = steps::drop_needless_alpha(upright);
        self.colours.convert(&mut shown);
        output::encode(&shown, variant, self.lossy, self.encoders)
    }
}

/// What the specification lets a thumbnail be, and animated PNG, which is PNG to those who do not know it.
const SERVABLE: [&str; 5] = ["image/jpeg", "image/png", "image/apng", "image/gif", "image/webp"];

/// What becomes of one spec. Placements count in upright pixels.
#[derive(Debug)]
enum Plan {
    Original,
    Place(Placement),
    /// Where it can be; else as [`Plan::Place`].
    Animate(Placement),
}

impl Plan {
    /// What to show of the picture as it is stored.
    fn placement(&self, header: &Header) -> Option<Placement> {
        match self {
            Self::Original => None,
            Self::Place(placement) | Self::Animate(placement) => Some(header.as_stored(placement)),
        }
    }

    const fn animated(&self) -> Option<&Placement> {
        match self {
            Self::Animate(placement) => Some(placement),
            Self::Original | Self::Place(_) => None,
        }
    }

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
        let as_it_is = SERVABLE.contains(&header.content_type)
            && spec.size().contains(upright)
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
        return Err(RenderError::not_enabled(header.content_type));
    }
    let (pixels, limit) = (header.pixels, policy.max_pixels);
    if pixels > limit { Err(RenderError::TooManyPixels { pixels, limit }) } else { Ok(()) }
}

/// Frame `index` of an animation as its still picture.
fn animated_still(animation: Animation, index: u64, size: Size, task: &RenderTask) -> Decode {
    let cancelled = task.cancelled.clone();
    Box::new(move |_| animation.draw(index, &cancelled).map(|rgba| Pixels::rgba(rgba, size).boxed()))
}

pub(super) fn into_render_error(error: ImageError) -> RenderError {
    match error {
        ImageError::Unsupported(what) => RenderError::Unsupported(what.to_string()),
        other => RenderError::decode(other),
    }
}

#[cfg(test)]
mod tests;
