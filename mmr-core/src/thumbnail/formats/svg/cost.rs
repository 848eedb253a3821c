//! What a parsed drawing takes to be drawn, from the sizes of its parts.

use resvg::tiny_skia::{Rect, Transform};
use resvg::usvg::filter::{Filter, Kind};
use resvg::usvg::{ClipPath, Group, Mask, Node, Paint, Path, Stroke, Tree};

use crate::types::Size;

/// An estimate of time, in pixels that are painted in one colour, and a bound of memory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) pixels: f64,
    /// Bytes that are taken at once, the picture itself excluded.
    pub(super) memory: f64,
}

/// Some seconds.
const MAX_PIXELS: f64 = 1e9;
/// What a segment of a path takes, in pixels.
const SEGMENT: f64 = 64.0;
const CHANNELS: f64 = 4.0;

impl Cost {
    /// Of the drawing at this size.
    pub(super) fn of(tree: &Tree, size: Size) -> Self {
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let canvas = Canvas { width, height };
        canvas.children(tree.root(), super::scale(tree, size), &mut 0.0)
    }

    pub(super) fn too_long(self) -> bool {
        // Not a number is too long as well.
        self.pixels.is_nan() || self.pixels > MAX_PIXELS
    }

    fn plus(self, pixels: f64, memory: f64) -> Self {
        Self { pixels: self.pixels + pixels, memory: self.memory + memory }
    }

    /// One after the other.
    fn then(self, next: Self) -> Self {
        Self { pixels: self.pixels + next.pixels, memory: self.memory.max(next.memory) }
    }
}

struct Canvas {
    width: f64,
    height: f64,
}

impl Canvas {
    /// Pixels of a rectangle that is cut to the canvas.
    fn shown(&self, rect: Rect, transform: Transform) -> f64 {
        let Some(rect) = rect.transform(transform) else { return 0.0 };
        f64::from(rect.width()).min(self.width) * f64::from(rect.height()).min(self.height)
    }

    /// Pixels of a layer, which may be larger than the canvas.
    fn layer(&self, rect: Rect, transform: Transform) -> f64 {
        const TIMES: f64 = 5.0;
        const MARGIN: f64 = 5.0;
        // A layer with filters is turned upright, where it can be longer than across.
        let across = |length: f64| length * std::f64::consts::SQRT_2 + MARGIN;
        let (width, height) = (f64::from(rect.width()), f64::from(rect.height()));
        let (x, y) = transform.get_scale();
        let (x, y) = (f64::from(x), f64::from(y));
        let within = rect.transform(transform).map_or((0.0, 0.0), |rect| (rect.width(), rect.height()));
        let width = across(f64::from(within.0).max(width * x)).min(TIMES * self.width);
        let height = across(f64::from(within.1).max(height * y)).min(TIMES * self.height);
        width * height
    }

    /// `spent` counts over the whole walk, and ends it once it is too much in any case.
    fn children(&self, group: &Group, transform: Transform, spent: &mut f64) -> Cost {
        let mut cost = Cost::default();
        for node in group.children() {
            if *spent > MAX_PIXELS {
                return cost.plus(*spent, 0.0);
            }
            *spent += SEGMENT;
            let next = match node {
                Node::Group(group) => self.group(group, transform, spent),
                Node::Path(path) => self.path(path, transform, spent),
                Node::Text(text) => self.group(text.flattened(), transform, spent),
                Node::Image(_) => Cost::default(),
            };
            cost = cost.then(next);
        }
        cost
    }

    fn group(&self, group: &Group, transform: Transform, spent: &mut f64) -> Cost {
        let transform = transform.pre_concat(group.transform());
        let mut cost = self.children(group, transform, spent);
        if !group.should_isolate() {
            return cost;
        }
        let layer = self.layer(group.layer_bounding_box().to_rect(), transform);
        for filter in group.filters() {
            cost = cost.then(filtered(filter, layer, transform));
        }
        if let Some(clip) = group.clip_path() {
            cost = cost.then(self.clip(clip, layer, transform, spent));
        }
        if let Some(mask) = group.mask() {
            cost = cost.then(self.mask(mask, layer, transform, spent));
        }
        cost.plus(layer * 12.0, layer * CHANNELS)
    }

    fn clip(&self, clip: &ClipPath, layer: f64, transform: Transform, spent: &mut f64) -> Cost {
        // Groups inside with a clip of their own get another layer of the same size.
        let nested = nested_clips(clip.root());
        let inside = self.children(clip.root(), transform.pre_concat(clip.transform()), spent);
        let mut cost = inside.plus(layer * 4.0 * (1.0 + nested), layer * (CHANNELS + 1.0) * (1.0 + nested));
        if let Some(clip) = clip.clip_path() {
            let next = self.clip(clip, layer, transform, spent);
            cost = cost.plus(next.pixels, next.memory);
        }
        cost
    }

    fn mask(&self, mask: &Mask, layer: f64, transform: Transform, spent: &mut f64) -> Cost {
        let inside = self.children(mask.root(), transform, spent);
        let mut cost = inside.plus(layer * 6.0, layer * (CHANNELS + 2.0));
        if let Some(mask) = mask.mask() {
            let next = self.mask(mask, layer, transform, spent);
            cost = cost.plus(next.pixels, next.memory);
        }
        cost
    }

    fn path(&self, path: &Path, transform: Transform, spent: &mut f64) -> Cost {
        let segments = count(path.data().len()) * SEGMENT;
        *spent += segments;
        let mut cost = Cost { pixels: segments, memory: 0.0 };
        if let Some(fill) = path.fill() {
            let area = self.shown(path.bounding_box(), transform);
            let area = area * blended(fill.opacity().get());
            cost = cost.then(self.paint(fill.paint(), area, transform, spent));
        }
        if let Some(stroke) = path.stroke() {
            let area = self.shown(path.stroke_bounding_box(), transform);
            let area = area * blended(stroke.opacity().get());
            cost = cost.then(self.paint(stroke.paint(), area, transform, spent));
            cost = cost.then(dashes(path, stroke));
        }
        cost
    }

    fn paint(&self, paint: &Paint, area: f64, transform: Transform, spent: &mut f64) -> Cost {
        match paint {
            Paint::Color(_) => Cost { pixels: area, memory: 0.0 },
            Paint::LinearGradient(_) | Paint::RadialGradient(_) => Cost { pixels: area * 12.0, memory: 0.0 },
            Paint::Pattern(pattern) => {
                let (x, y) = transform.pre_concat(pattern.transform()).get_scale();
                let rect = pattern.rect();
                let tile = f64::from(rect.width() * x) * f64::from(rect.height() * y);
                let inside = self.children(pattern.root(), Transform::from_scale(x, y), spent);
                inside.plus(area * 8.0 + tile, tile * CHANNELS)
            }
        }
    }
}

/// What is mixed with the pixels below takes longer.
fn blended(opacity: f32) -> f64 {
    if opacity < 1.0 { 8.0 } else { 1.0 }
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

/// Groups with clips of their own inside of a clip, all of them taken for nested.
fn nested_clips(group: &Group) -> f64 {
    let groups = group.children().iter().filter_map(|node| match node {
        Node::Group(group) => Some(group),
        _ => None,
    });
    groups.map(|group| f64::from(u8::from(group.clip_path().is_some())) + nested_clips(group)).sum()
}

/// Dashes of a line, each of which becomes a path.
fn dashes(path: &Path, stroke: &Stroke) -> Cost {
    const DASH: f64 = 20.0 * SEGMENT;
    const DASH_BYTES: f64 = 512.0;
    let Some(array) = stroke.dasharray() else { return Cost::default() };
    let period: f64 = array.iter().map(|&length| f64::from(length)).sum();
    if period <= 0.0 {
        return Cost::default();
    }
    // No line is shorter than the way along its control points.
    let mut length = 0.0;
    let points = path.data().points();
    for pair in points.windows(2) {
        if let [from, to] = pair {
            length += f64::from(from.distance(*to));
        }
    }
    let dashes = length / period * count(array.len());
    Cost { pixels: dashes * DASH, memory: dashes * DASH_BYTES }
}

/// A filter, all results of which are kept until its end.
fn filtered(filter: &Filter, layer: f64, transform: Transform) -> Cost {
    let mut cost = Cost { pixels: layer * 8.0, memory: layer * CHANNELS * 3.0 };
    let (x, y) = transform.get_scale();
    for primitive in filter.primitives() {
        let side = layer.sqrt();
        let times = match primitive.kind() {
            Kind::Turbulence(turbulence) => 40.0 * f64::from(turbulence.num_octaves()),
            Kind::Morphology(morphology) => {
                let reach = |radius: f32, scale: f32| (2.0 * f64::from(radius * scale) + 1.0).min(4.0 * side);
                2.0 * reach(morphology.radius_x().get(), x) * reach(morphology.radius_y().get(), y)
            }
            Kind::ConvolveMatrix(convolution) => {
                let matrix = convolution.matrix();
                8.0 * f64::from(matrix.columns()) * f64::from(matrix.rows())
            }
            Kind::GaussianBlur(_) | Kind::DropShadow(_) => 40.0,
            Kind::DiffuseLighting(_) | Kind::SpecularLighting(_) => 60.0,
            Kind::Merge(merge) => 4.0 * (1.0 + count(merge.inputs().len())),
            _ => 12.0,
        };
        cost = cost.plus(layer * (8.0 + times), layer * CHANNELS * 2.0);
    }
    cost
}
