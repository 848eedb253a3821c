//! Rendering one thumbnail from generated pictures: format by size of the thumbnail, through the pool.
//!
//! `cargo bench -p mmr-benches --bench thumbnail`

use std::fmt;
use std::sync::Arc;
use std::sync::LazyLock;

use bytes::Bytes;
use divan::Bencher;
use mmr_core::testing::images;
use mmr_core::thumbnail::{RenderLimits, RenderPool, ThumbnailPolicy};
use mmr_core::types::{Method, ThumbnailSpec, Variant};

fn main() {
    divan::main();
}

/// A picture to make thumbnails of.
struct Source {
    name: &'static str,
    bytes: LazyLock<Bytes>,
}

static SOURCES: [Source; 5] = [
    Source { name: "jpeg_12mp", bytes: LazyLock::new(|| images::photo_jpeg(4032, 3024)) },
    Source { name: "jpeg_3mp_progressive", bytes: LazyLock::new(|| images::progressive_jpeg(2048, 1536)) },
    Source { name: "png_4mp", bytes: LazyLock::new(|| images::photo_png(2448, 1632)) },
    Source { name: "webp_4mp_lossless", bytes: LazyLock::new(|| images::photo_webp(2448, 1632)) },
    Source { name: "gif_30_frames", bytes: LazyLock::new(|| images::animated_gif(960, 540, 30)) },
];

impl fmt::Display for &Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn sources() -> impl Iterator<Item = &'static Source> {
    SOURCES.iter()
}

/// Renders over and over, under a policy that enables WebP too and allows `max_pixels`.
fn render(bencher: Bencher<'_, '_>, source: &Source, spec: ThumbnailSpec, max_pixels: u64) {
    let mut policy = ThumbnailPolicy { max_pixels, ..ThumbnailPolicy::default() };
    policy.types.push("image/webp".to_owned());
    let policy = Arc::new(policy);
    let pool = RenderPool::new(RenderLimits::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime without I/O needs nothing");
    let refused = max_pixels < MAX_PIXELS;
    LazyLock::force(&source.bytes);
    bencher.bench_local(|| {
        let rendered = runtime.block_on(pool.render(source.bytes.clone(), spec, Arc::clone(&policy)));
        assert_eq!(rendered.is_err(), refused, "{rendered:?}");
        rendered
    });
}

const MAX_PIXELS: u64 = 32_000_000;

const fn still(width: u32, height: u32, method: Method) -> ThumbnailSpec {
    ThumbnailSpec { width, height, method, variant: Variant::Still }
}

#[divan::bench(args = sources())]
fn scale_800x600(bencher: Bencher<'_, '_>, source: &Source) {
    render(bencher, source, still(800, 600, Method::Scale), MAX_PIXELS);
}

#[divan::bench(args = sources())]
fn scale_320x240(bencher: Bencher<'_, '_>, source: &Source) {
    render(bencher, source, still(320, 240, Method::Scale), MAX_PIXELS);
}

#[divan::bench(args = sources())]
fn crop_96x96(bencher: Bencher<'_, '_>, source: &Source) {
    render(bencher, source, still(96, 96, Method::Crop), MAX_PIXELS);
}

/// What a picture costs that is refused by its header.
#[divan::bench(args = sources())]
fn refusal(bencher: Bencher<'_, '_>, source: &Source) {
    render(bencher, source, still(32, 32, Method::Scale), 1);
}
