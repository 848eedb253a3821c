//! SVG drawings, plain and compressed.
//!
//! A drawing is a program that strangers wrote. It gets neither scripts nor loads: usvg has none of the former, and
//! pictures inside, files and data alike, are left out. What remains is to bound its size ([`document`]) and the pixels
//! that it has painted ([`cost`]).

mod cost;
mod document;
mod fonts;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{ImageHrefResolver, Options, Tree};

use self::cost::Cost;
use self::fonts::Fonts;
use super::canvas;
use super::still::steps::Layout;
use super::still::{Format, Header, Pixels};
use crate::thumbnail::render::{RenderError, RenderTask};
use crate::types::Size;

const CONTENT_TYPE: &str = "image/svg+xml";

/// Layers may take as much memory at once.
const MAX_LAYER_BYTES: f64 = 192.0 * 1024.0 * 1024.0;

#[derive(Debug)]
pub(super) struct Svg {
    fonts: Fonts,
}

impl Svg {
    /// Opens the fonts, so that they can be read when files are out of reach.
    pub(super) fn new() -> Self {
        Self { fonts: Fonts::open() }
    }
}

impl Format for Svg {
    fn is(&self, source: &[u8]) -> bool {
        document::is_svg(source)
    }

    fn open(&self, task: &RenderTask) -> Result<Header, RenderError> {
        canvas::admit(CONTENT_TYPE, task)?;
        let tree = document::with_text(&task.source, |text| self.parse(text))??;
        let nominal = tree.size();
        let mut size = canvas::size(nominal.width().into(), nominal.height().into(), task)?;
        let mut cost = Cost::of(&tree, size);
        // A drawing of large layers is drawn smaller, as long as that is larger than what was asked for.
        let asked = task.specs.iter().map(|spec| spec.width.max(spec.height)).max().unwrap_or_default();
        while cost.memory > MAX_LAYER_BYTES && size.width.max(size.height) / 2 > asked {
            size = Size::new((size.width / 2).max(1), (size.height / 2).max(1));
            cost = Cost::of(&tree, size);
        }
        if cost.memory > MAX_LAYER_BYTES {
            return Err(RenderError::Unsupported("drawing has too many large layers".to_owned()));
        }
        let layers = u64::from(canvas::to_u32(cost.memory));
        let tree_bytes = document::tree_bytes(&task.source);
        let cancelled = task.cancelled.clone();
        let decode = move |size| {
            if cancelled.get() { Err(RenderError::Deadline) } else { draw(&tree, size) }
        };
        Ok(canvas::header(CONTENT_TYPE, size, layers + tree_bytes, decode))
    }
}

impl Svg {
    fn parse(&self, text: &str) -> Result<Tree, RenderError> {
        let document = document::parse(text)?;
        let options = Options {
            font_family: "sans-serif".to_owned(),
            image_href_resolver: ImageHrefResolver {
                resolve_data: Box::new(|_, _, _| None),
                resolve_string: Box::new(|_, _| None),
            },
            fontdb: self.fonts.database(),
            ..Options::default()
        };
        Tree::from_xmltree(&document, &options).map_err(RenderError::decode)
    }
}

fn draw(tree: &Tree, size: Size) -> Result<Pixels, RenderError> {
    if Cost::of(tree, size).too_long() {
        return Err(RenderError::Unsupported("drawing takes too long".to_owned()));
    }
    let mut pixmap = Pixmap::new(size.width, size.height)
        .ok_or_else(|| RenderError::decode("drawing does not fit into memory"))?;
    resvg::render(tree, scale(tree, size), &mut pixmap.as_mut());
    Ok(Pixels::new(pixmap.take_demultiplied(), size, Layout::Rgba))
}

/// What brings the drawing to this size.
#[expect(clippy::cast_precision_loss, reason = "sides have few digits")]
fn scale(tree: &Tree, size: Size) -> Transform {
    let nominal = tree.size();
    Transform::from_scale(size.width as f32 / nominal.width(), size.height as f32 / nominal.height())
}

#[cfg(test)]
mod tests;
