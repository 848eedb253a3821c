//! The first page of PDF documents, on white.
//!
//! hayro is safe Rust, but unpacks whatever it is given and draws whatever the page says. [`streams`] bounds the former
//! before it sees the document. A page that is drawn for too long, by forms that draw forms, is ended by the deadline of
//! its worker; on a thread of this process it runs to its end.

mod streams;

use std::sync::Arc;

use hayro::hayro_interpret::InterpreterSettings;
use hayro::hayro_syntax::{LoadPdfError, Pdf as Document};
use hayro::kurbo::Affine;
use hayro::vello_cpu::color::palette::css::WHITE;
use hayro::vello_cpu::{Pixmap, RasterizerSettings, RenderContext, Resources, TargetInit};
use hayro::{RenderCache, RenderSettings, render_into};

use super::canvas;
use super::still::steps::Layout;
use super::still::{Format, Header, Pixels};
use crate::thumbnail::render::{RenderError, RenderTask};
use crate::types::Size;

const CONTENT_TYPE: &str = "application/pdf";

/// How far the beginning of a document is looked for.
const LOOK: usize = 1024;

/// What pictures on the page could take: their sizes are known only once they are reached.
const AT_WORST_BYTES: u64 = 256 * 1024 * 1024;

#[derive(Clone, Copy, Debug)]
pub(super) struct Pdf;

impl Format for Pdf {
    fn is(&self, source: &[u8]) -> bool {
        source.get(..LOOK).unwrap_or(source).windows(5).any(|window| window == b"%PDF-")
    }

    fn open(&self, task: &RenderTask) -> Result<Header, RenderError> {
        canvas::admit(CONTENT_TYPE, task)?;
        let unpacked = streams::bound(&task.source, &task.cancelled)?;
        let document = Document::new(Arc::new(task.source.clone())).map_err(|error| match error {
            LoadPdfError::Decryption(_) => encrypted(),
            LoadPdfError::Invalid => RenderError::decode("document is damaged"),
        })?;
        let page = document.pages().first().ok_or_else(|| RenderError::decode("document has no pages"))?;
        let (width, height) = page.render_dimensions();
        let size = canvas::size(width.into(), height.into(), task)?;
        let cancelled = task.cancelled.clone();
        let decode = move |size| {
            if cancelled.get() { Err(RenderError::Deadline) } else { draw(&document, size) }
        };
        // What is unpacked is kept, and once more as what it is parsed into. Painting takes two more pictures.
        let bytes = 2 * unpacked + 8 * size.area() + BASE_BYTES;
        let header = canvas::header(CONTENT_TYPE, size, bytes, decode);
        Ok(Header { at_worst_bytes: AT_WORST_BYTES, ..header })
    }
}

/// Fonts, caches and the like.
const BASE_BYTES: u64 = 16 * 1024 * 1024;

fn encrypted() -> RenderError {
    RenderError::Unsupported("document is encrypted".to_owned())
}

fn draw(document: &Document, size: Size) -> Result<Pixels, RenderError> {
    let page = document.pages().first().ok_or_else(|| RenderError::decode("document has no pages"))?;
    let short = |side: u32| u16::try_from(side).map_err(RenderError::decode);
    let (width, height) = (short(size.width)?, short(size.height)?);
    let nominal = page.render_dimensions();
    let scale = Affine::scale_non_uniform(
        f64::from(width) / f64::from(nominal.0),
        f64::from(height) / f64::from(nominal.1),
    );
    let transform = scale * Affine::new(page.initial_transform(true).as_coeffs());
    let mut context = RenderContext::new(width, height);
    let (cache, settings) = (RenderCache::new(), InterpreterSettings::default());
    render_into(page, &cache, &settings, &RenderSettings::default(), &mut context, transform);
    context.flush();
    let mut pixmap = Pixmap::new(width, height);
    let onto_white =
        RasterizerSettings { target_init: TargetInit::Clear(WHITE), ..RasterizerSettings::default() };
    context.render_with(&mut pixmap, &mut Resources::default(), onto_white);
    let data: Vec<u8> =
        pixmap.data_as_u8_slice().chunks_exact(4).flat_map(|pixel| pixel.iter().take(3)).copied().collect();
    Ok(Pixels::new(data, size, Layout::Rgb))
}

#[cfg(test)]
mod tests;
