//! Rendering thumbnails from generated pictures: format by size of the thumbnail, by the renderers in safe Rust and by
//! those in C, and what it costs to leave that to a worker. `side_by_side/thumbnails.py` compares with other programs.
//!
//! `cargo bench -p mmr-benches --bench thumbnail`

use std::sync::{Arc, LazyLock};
use std::{env, fmt, io};

use bytes::Bytes;
use divan::Bencher;
use mmr_core::testing::images;
use mmr_core::thumbnail::render::{Cancelled, Prepared};
use mmr_core::thumbnail::worker::{self, WorkerCommand, Workers};
use mmr_core::thumbnail::{RenderLimits, RenderPool, RenderTask, Renderer, ThumbnailPolicy, formats};
use mmr_core::types::{Method, ThumbnailSpec, Variant};

/// Under this word this program starts itself as a worker.
const WORKER: &str = "render-worker";

fn main() -> io::Result<()> {
    if env::args().nth(1).as_deref() == Some(WORKER) {
        return worker::run(&formats::native_renderers());
    }
    divan::main();
    Ok(())
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

/// Renders over and over, all `specs` from one decoding, under a policy that enables WebP too and allows `max_pixels`.
fn render(
    bencher: Bencher<'_, '_>,
    renderers: &[Arc<dyn Renderer>],
    source: &Source,
    specs: &[ThumbnailSpec],
    max_pixels: u64,
) {
    let mut policy = ThumbnailPolicy { max_pixels, ..ThumbnailPolicy::default() };
    policy.types.push("image/webp".to_owned());
    let task = RenderTask {
        source: source.bytes.clone(),
        specs: specs.to_vec(),
        policy: Arc::new(policy),
        cancelled: Cancelled::default(),
    };
    let refused = max_pixels < MAX_PIXELS;
    bencher.bench_local(|| {
        let prepared = renderers.iter().find_map(|renderer| renderer.prepare(&task));
        let rendered = match prepared.expect("every source has a renderer") {
            Ok(Prepared::Work(work)) => (work.run)(),
            Ok(Prepared::Done(done)) => Ok(done),
            Ok(Prepared::Seen(probed)) => panic!("{probed:?} is no thumbnail"),
            Err(error) => Err(error),
        };
        assert_eq!(rendered.is_err(), refused, "{rendered:?}");
        rendered
    });
}

const MAX_PIXELS: u64 = 32_000_000;

const fn still(width: u32, height: u32, method: Method) -> ThumbnailSpec {
    ThumbnailSpec { width, height, method, variant: Variant::Still }
}

const DEFAULT: [ThumbnailSpec; 5] = [
    still(32, 32, Method::Crop),
    still(96, 96, Method::Crop),
    still(320, 240, Method::Scale),
    still(640, 480, Method::Scale),
    still(800, 600, Method::Scale),
];

#[divan::bench(args = sources())]
fn safe_crop_96x96(bencher: Bencher<'_, '_>, source: &Source) {
    render(bencher, &formats::renderers(), source, &DEFAULT[1..2], MAX_PIXELS);
}

#[divan::bench(args = sources())]
fn safe_scale_320x240(bencher: Bencher<'_, '_>, source: &Source) {
    render(bencher, &formats::renderers(), source, &DEFAULT[2..3], MAX_PIXELS);
}

#[divan::bench(args = sources())]
fn safe_scale_800x600(bencher: Bencher<'_, '_>, source: &Source) {
    render(bencher, &formats::renderers(), source, &DEFAULT[4..], MAX_PIXELS);
}

#[divan::bench(args = sources())]
fn safe_all_five(bencher: Bencher<'_, '_>, source: &Source) {
    render(bencher, &formats::renderers(), source, &DEFAULT, MAX_PIXELS);
}

#[divan::bench(args = sources())]
fn native_crop_96x96(bencher: Bencher<'_, '_>, source: &Source) {
    render(bencher, &formats::native_renderers(), source, &DEFAULT[1..2], MAX_PIXELS);
}

#[divan::bench(args = sources())]
fn native_scale_320x240(bencher: Bencher<'_, '_>, source: &Source) {
    render(bencher, &formats::native_renderers(), source, &DEFAULT[2..3], MAX_PIXELS);
}

#[divan::bench(args = sources())]
fn native_scale_800x600(bencher: Bencher<'_, '_>, source: &Source) {
    render(bencher, &formats::native_renderers(), source, &DEFAULT[4..], MAX_PIXELS);
}

#[divan::bench(args = sources())]
fn native_all_five(bencher: Bencher<'_, '_>, source: &Source) {
    render(bencher, &formats::native_renderers(), source, &DEFAULT, MAX_PIXELS);
}

/// What a picture costs that is refused by its header.
#[divan::bench(args = sources())]
fn refusal(bencher: Bencher<'_, '_>, source: &Source) {
    render(bencher, &formats::renderers(), source, &DEFAULT[..1], 1);
}

/// Through a pool, from a picture in memory to the thumbnail.
fn tiny(bencher: Bencher<'_, '_>, pool: impl FnOnce(RenderLimits) -> RenderPool) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let _inside = runtime.enter();
    let pool = pool(RenderLimits::default());
    let (picture, policy) = (images::jpeg(64, 48), Arc::new(ThumbnailPolicy::default()));
    bencher.bench_local(|| {
        let rendered = pool.render(picture.clone(), DEFAULT[0], Arc::clone(&policy));
        runtime.block_on(rendered).expect("a picture has a thumbnail")
    });
}

#[divan::bench]
fn tiny_in_process(bencher: Bencher<'_, '_>) {
    tiny(bencher, |limits| RenderPool::with_renderers(limits, formats::native_renderers()));
}

/// By a worker that runs already: the first round starts it.
#[divan::bench]
fn tiny_in_warm_worker(bencher: Bencher<'_, '_>) {
    tiny(bencher, |limits| {
        let workers = Workers::new(WorkerCommand::this_program([WORKER]), limits);
        RenderPool::with_engine(limits, Arc::new(workers))
    });
}
