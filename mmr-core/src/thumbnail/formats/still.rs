//! Still thumbnails of pictures.
//!
//! Of an animation one frame is shown, even where an animated thumbnail was allowed: animated output does not
//! exist yet, except that a small enough animation is served as it is.

mod colour;
mod gif;
mod jpeg;
mod ladder;
mod output;
mod palette;
mod png;
mod source;
mod steps;
mod webp;

use std::fmt;

use image::ImageError;
use image::metadata::Orientation;

use self::colour::Colours;
pub(super) use self::gif::Gif;
pub(super) use self::jpeg::Jpeg;
pub(super) use self::output::{Encoders, JPEG_QUALITY, Safe};
pub(super) use self::png::Png;
pub(super) use self::source::SourceReader;
pub(super) use self::steps::{Layout, Pixels, decode};
pub(super) use self::webp::WebP;
use crate::policy::ThumbnailPolicy;
use crate::thumbnail::geometry::{self, Placement};
use crate::thumbnail::render::{Cancelled, Prepared, RenderError, RenderTask, Rendered, Renderer, Work};
use crate::types::{Size, ThumbnailSpec, Variant};

/// Renders pictures.
#[derive(Debug)]
pub(super) struct StillImages {
    formats: Vec<Box<dyn Format>>,
    encoders: &'static dyn Encoders,
}

impl StillImages {
    /// Asks these formats, in their order.
    pub(super) fn new(formats: Vec<Box<dyn Format>>, encoders: &'static dyn Encoders) -> Self {
        Self { formats, encoders }
    }
}

impl Renderer for StillImages {
    fn prepare(&self, task: &RenderTask) -> Option<Result<Prepared, RenderError>> {
        let format = self.formats.iter().find(|format| format.is(&task.source))?;
        Some(format.open(task).and_then(|header| plan(header, task, self.encoders)))
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
///
/// At the size given, the largest thumbnail has a pixel for each pixel. A decoder that cannot scale as well as Lanczos
/// resampling leaves room.
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
fn plan(header: Header, task: &RenderTask, encoders: &'static dyn Encoders) -> Result<Prepared, RenderError> {
    let RenderTask { source, specs, policy, cancelled } = task;
    admit(&header, policy)?;
    if specs.is_empty() {
        return Ok(Prepared::Done(vec![header.original()]));
    }
    let plans: Vec<Plan> =
        specs.iter().map(|spec| Plan::of(&header, spec, source.len() as u64, policy)).collect();
    if plans.iter().all(|plan| matches!(plan, Plan::Original)) {
        return Ok(Prepared::Done(plans.iter().map(|_| header.original()).collect()));
    }

    let wanted: Vec<(Placement, Variant)> = plans
        .iter()
        .zip(specs)
        .filter_map(|(plan, spec)| Some((plan.placement(&header)?, spec.variant)))
        .collect();
    let (placements, variants): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
    let pixels = header.pixels;
    let required_bytes = header
        .decode_bytes
        .saturating_add(steps::resize_bytes(&placements))
        .saturating_add(Colours::bytes(header.icc.as_deref()));
    let at_worst_bytes = header.at_worst_bytes;
    let cancelled = cancelled.clone();
    let run = move || {
        let original = header.original();
        let finish = Finish {
            orientation: header.orientation,
            colours: Colours::new(header.icc),
            lossy: header.jpeg_if_opaque,
            encoders,
        };
        let decoded = (header.decode)(ladder::needed(header.size, &placements))?;
        let shown = Shown { full: header.size, placements: &placements, variants: &variants };
        let mut made = shown.make(decoded, finish, &cancelled)?.into_iter();
        let missing = || RenderError::encode("a thumbnail was not made");
        plans
            .into_iter()
            .map(|plan| match plan {
                Plan::Original => Ok(original.clone()),
                Plan::Place(_) => made.next().flatten().ok_or_else(missing),
            })
            .collect()
    };
    Ok(Prepared::Work(Work { pixels, required_bytes, at_worst_bytes, run: Box::new(run) }))
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
        mut decoded: Pixels,
        mut finish: Finish,
        cancelled: &Cancelled,
    ) -> Result<Vec<Option<Rendered>>, RenderError> {
        let mut shrinker = steps::Shrinker::default();
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
            let source = rung.from.and_then(|from| kept[from].as_ref()).unwrap_or(&decoded);
            let mut shown = shrinker.shrink(source, rung.area, size)?;
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

/// What becomes of one spec.
#[derive(Debug)]
enum Plan {
    Original,
    Place(Placement),
}

impl Plan {
    /// What to show of the picture as it is stored.
    fn placement(&self, header: &Header) -> Option<Placement> {
        let Self::Place(Placement { region, size }) = *self else { return None };
        Some(if steps::transposes(header.orientation) {
            Placement { region: region.transposed(), size: size.transposed() }
        } else {
            Placement { region, size }
        })
    }

    fn of(header: &Header, spec: &ThumbnailSpec, source_bytes: u64, policy: &ThumbnailPolicy) -> Self {
        let upright = header.upright();
        let may_move = spec.variant == Variant::Animated && source_bytes <= policy.max_animate_bytes;
        let as_it_is = SERVABLE.contains(&header.content_type)
            && spec.size().contains(upright)
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

pub(super) fn into_render_error(error: ImageError) -> RenderError {
    match error {
        ImageError::Unsupported(what) => RenderError::Unsupported(what.to_string()),
        other => RenderError::decode(other),
    }
}

#[cfg(test)]
mod tests;
