//! As [`fuzz`](super::fuzz), for parsers of pictures.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::{env, fs};

use bytes::Bytes;

use super::images::golden;
use crate::thumbnail::render::{Cancelled, Prepared, RenderTask, Work};
use crate::thumbnail::{Rendered, Renderer, ThumbnailPolicy, formats};
use crate::types::{Method, ThumbnailSpec, Variant};

/// Width and height of an AVIF, and its tiles, alpha channel included; `None` when it is refused without being decoded.
#[must_use]
pub fn avif(source: &[u8]) -> Option<(u32, u32, usize)> {
    crate::thumbnail::formats::outline_of_avif(source)
}

/// Decodes a small JPEG at every scale.
///
/// # Panics
/// When it is a picture at one scale and damaged at another.
pub fn jpeg(source: &[u8]) {
    const MAX_PIXELS: u64 = 256 * 256;
    let decoded = crate::thumbnail::formats::jpeg_at_each_scale(source, MAX_PIXELS);
    assert!(decoded.is_none_or(|decoded| decoded == [decoded[0]; 6]), "{decoded:?}");
}

/// What a program would be asked to read: its type, and pixels that it is expected to take.
#[must_use]
pub fn program(head: &[u8]) -> Option<(&'static str, u64)> {
    crate::thumbnail::programs::outline(head)
}

/// Reads the header of a source that is of one of these types, for nothing but what it is, and for a thumbnail.
///
/// # Panics
/// When it takes more than the header to tell what it is.
pub fn header(source: &[u8], types: &[&str]) {
    const MAX_PIXELS: u64 = 32_000_000;
    let source = Bytes::copy_from_slice(source);
    let seen = prepared(&source, types, Vec::new(), MAX_PIXELS);
    assert!(matches!(seen, None | Some(Prepared::Seen(_))), "{seen:?}");
    let _ = prepared(&source, types, vec![SPEC], MAX_PIXELS);
}

/// Makes an animated thumbnail of a small source of one of these types.
///
/// # Panics
/// When it is larger than it was asked for.
pub fn animation(source: &[u8], types: &[&str]) {
    /// Of the canvas or any frame.
    const MAX_PIXELS: u64 = 64 * 64;
    let source = Bytes::copy_from_slice(source);
    let Some(Prepared::Work(Work { run, .. })) = prepared(&source, types, vec![SPEC], MAX_PIXELS) else {
        return;
    };
    if let Ok(rendered) = run() {
        let [Rendered::Image { width, height, .. }] = rendered[..] else { panic!("{rendered:?}") };
        assert!((1..=SPEC.width).contains(&width) && (1..=SPEC.height).contains(&height));
    }
}

const SPEC: ThumbnailSpec =
    ThumbnailSpec { width: 8, height: 6, method: Method::Scale, variant: Variant::Animated };

fn prepared(source: &Bytes, types: &[&str], specs: Vec<ThumbnailSpec>, max_pixels: u64) -> Option<Prepared> {
    static RENDERERS: LazyLock<Vec<Arc<dyn Renderer>>> = LazyLock::new(formats::native_renderers);
    let types = types.iter().map(|&name| name.to_owned()).collect();
    let task = RenderTask {
        source: source.clone(),
        specs,
        policy: Arc::new(ThumbnailPolicy { max_pixels, types, ..ThumbnailPolicy::default() }),
        cancelled: Cancelled::default(),
    };
    RENDERERS.iter().find_map(|renderer| renderer.prepare(&task))?.ok()
}

/// Writes files to begin with into the directory that the environment variable `FUZZ_SEEDS` names: the well-formed ones
/// whose names begin with one of these.
///
/// # Panics
/// When they cannot be written.
pub fn write_seeds(kinds: &[&str]) {
    let Some(directory) = env::var_os("FUZZ_SEEDS") else { return };
    for file in golden::specimens() {
        if kinds.iter().any(|kind| file.name.starts_with(kind)) {
            fs::write(Path::new(&directory).join(&file.name), &file.bytes).expect("seeds can be written");
        }
    }
}
