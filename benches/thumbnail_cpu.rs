//! Our side of `benches/side_by_side/thumbnails.py`: processor time of rendering, on one thread.
//!
//! `thumbnail-cpu render SAFE_OR_NATIVE FILE SIZES ROUNDS OUT` renders `FILE` at all `SIZES` (`800x600`, or `96x96c`
//! for a crop; with commas between) as often as `ROUNDS` says, writes the thumbnails to `OUT.0`, `OUT.1`, …, and
//! prints the least milliseconds. `thumbnail-cpu sources DIR` writes the pictures to measure with.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use bytes::Bytes;
use mmr_core::testing::images;
use mmr_core::thumbnail::render::{Cancelled, Prepared};
use mmr_core::thumbnail::{RenderTask, Rendered, Renderer, ThumbnailPolicy, formats};
use mmr_core::types::{Method, ThumbnailSpec, Variant};
use rustix::time::{ClockId, clock_gettime};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["sources", directory] => write_sources(directory),
        ["render", build, file, sizes, rounds, out] => {
            let renderers =
                if build == "native" { formats::native_renderers() } else { formats::renderers() };
            let specs = sizes.split(',').map(spec).collect::<Outcome<Vec<_>>>()?;
            measure(&renderers, &fs::read(file)?.into(), &specs, rounds.parse()?, out)
        }
        _ => Err("thumbnail-cpu render safe|native FILE SIZES ROUNDS OUT, or sources DIR".into()),
    }
}

fn write_sources(directory: &str) -> Outcome<()> {
    fs::create_dir_all(directory)?;
    fs::write(format!("{directory}/photo12.jpg"), images::photo_jpeg(4032, 3024))?;
    fs::write(format!("{directory}/photo24.jpg"), images::photo_jpeg(6000, 4000))?;
    fs::write(format!("{directory}/photo4.png"), images::photo_png(2448, 1632))?;
    Ok(())
}

fn spec(size: &str) -> Outcome<ThumbnailSpec> {
    let (size, method) = size.strip_suffix('c').map_or((size, Method::Scale), |size| (size, Method::Crop));
    let (width, height) = size.split_once('x').ok_or("a size is WIDTHxHEIGHT")?;
    Ok(ThumbnailSpec { width: width.parse()?, height: height.parse()?, method, variant: Variant::Still })
}

fn measure(
    renderers: &[Arc<dyn Renderer>],
    source: &Bytes,
    specs: &[ThumbnailSpec],
    rounds: u32,
    out: &str,
) -> Outcome<()> {
    let mut least = Duration::MAX;
    let mut thumbnails = Vec::new();
    for _ in 0..rounds.max(1) {
        let began = processor_time();
        thumbnails = render(renderers, source, specs)?;
        least = least.min(processor_time().saturating_sub(began));
    }
    for (number, thumbnail) in thumbnails.iter().enumerate() {
        if let Rendered::Image { bytes, .. } = thumbnail {
            fs::write(format!("{out}.{number}"), bytes)?;
        }
    }
    println!("{:.2}", least.as_secs_f64() * 1000.0);
    Ok(())
}

fn render(
    renderers: &[Arc<dyn Renderer>],
    source: &Bytes,
    specs: &[ThumbnailSpec],
) -> Outcome<Vec<Rendered>> {
    let types = ["image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"].map(str::to_owned);
    let policy = ThumbnailPolicy { types: types.to_vec(), ..ThumbnailPolicy::default() };
    let task = RenderTask {
        source: source.clone(),
        specs: specs.to_vec(),
        policy: Arc::new(policy),
        cancelled: Cancelled::default(),
    };
    let prepared = renderers.iter().find_map(|renderer| renderer.prepare(&task));
    match prepared.ok_or("no renderer knows this format")?? {
        Prepared::Seen(probed) => Err(format!("{probed:?} is no thumbnail").into()),
        Prepared::Done(done) => Ok(done),
        Prepared::Work(work) => Ok((work.run)()?),
    }
}

/// Of this process.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
