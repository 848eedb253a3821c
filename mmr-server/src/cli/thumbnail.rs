//! `mmr-server thumbnail`: what `thumbnailer` of matrix-media-repo does.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::{ArgAction, Args, ValueEnum};
use mmr_core::{
    policy::ThumbnailPolicy,
    thumbnail::{
        RenderError, RenderLimits, RenderPool, Rendered,
        worker::{WorkerCommand, Workers},
    },
    types::{Method, ThumbnailSpec, Variant},
};

use super::RENDER_WORKER;

/// The source is damaged, or nothing makes thumbnails of it.
const NOT_THUMBNAILABLE: u8 = 3;
/// The source is beyond a limit.
const TOO_LARGE: u8 = 4;

/// Options of `mmr-server thumbnail`.
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    after_help = "\
Renders one file as the server would: in a sandboxed process of its own, by the same decoders, under
the same limits. The configuration is not read; the defaults here are those of the configuration.
Type, size, bytes and time are told on the standard error.

A file that is no larger than the box comes out as it is.

Examples:
  mmr-server thumbnail photo.jpg -o small.jpg -w 320 -h 240
  mmr-server thumbnail -i sticker.gif -a -w 96 -h 96 -m crop > sticker.webp

Exit status:
  0  there is a thumbnail
  1  a file cannot be read or written, or no render worker can be started
  2  the command line is wrong
  3  no thumbnail can be made: the file is damaged, or of a type that is not supported
  4  no thumbnail is made: the file is beyond a limit"
)]
pub(super) struct Options {
    #[command(flatten)]
    source: Source,
    /// Where to write the thumbnail. Without it, to the standard output unless that is a terminal.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Width of the box in pixels.
    #[arg(short, long, value_name = "PIXELS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    width: u32,
    /// Height of the box in pixels.
    #[arg(short = 'h', long, value_name = "PIXELS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    height: u32,
    /// How the picture is brought into the box.
    #[arg(short, long, value_enum, default_value_t = How::Scale)]
    method: How,
    /// Keep an animation moving.
    #[arg(short, long)]
    animated: bool,
    /// Take the file only if it is of this content type. The type is always found in the bytes.
    #[arg(short, long, value_name = "TYPE", value_parser = known_type)]
    format: Option<String>,
    /// Let a still thumbnail be WebP.
    #[arg(long, conflicts_with = "animated")]
    webp: bool,
    #[command(flatten)]
    limits: Limits,
    /// Print help (-h is the height).
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// The file to make a thumbnail of.
    file: Option<PathBuf>,
    /// The same, as an option.
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct Limits {
    /// Largest file that a thumbnail is made of (`thumbnails.maxSourceBytes`).
    #[arg(long, value_name = "BYTES", default_value_t = 10_485_760)]
    max_bytes: u64,
    /// Fewest pixels of a picture that is refused (`thumbnails.maxPixels`).
    #[arg(long, value_name = "PIXELS", default_value_t = 32_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    max_pixels: u64,
    /// Largest file that is animated (`thumbnails.maxAnimateSizeBytes`).
    #[arg(long, value_name = "BYTES", default_value_t = 10_485_760)]
    max_animate_bytes: u64,
    /// Memory for rendering (`thumbnails.memoryBudgetBytes`).
    #[arg(long, value_name = "BYTES", default_value_t = 536_870_912)]
    memory: u64,
    /// Time for rendering (`thumbnails.renderTimeoutSeconds`).
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Where in an animation a still picture is taken, from 0 to 1 (`thumbnails.stillFrame`).
    #[arg(long, value_name = "PLACE", default_value_t = 0.5, value_parser = place)]
    still_frame: f32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum How {
    /// All of it, inside the box.
    Scale,
    /// Its middle, cut to the shape of the box.
    Crop,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.output.is_none() && io::stdout().is_terminal() {
        bail!("the standard output is a terminal; name a file with --output, or redirect it");
    }
    // What a worker that crashed has said.
    let log =
        tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).without_time().with_target(false);
    log.with_ansi(false).with_writer(io::stderr).init();
    let begin = Instant::now();
    let source = match read(options)? {
        Ok(source) => source,
        Err(error) => return failed(error),
    };
    let rendered = match super::serve::runtime()?.block_on(render(options, source.clone())) {
        Ok(rendered) => rendered,
        Err(error) => return failed(error),
    };
    let (bytes, content_type, width, height, note) = match rendered {
        Rendered::Image { bytes, content_type, width, height } => (bytes, content_type, width, height, ""),
        Rendered::Original { content_type, width, height } => {
            (source, content_type, width, height, ", the file itself")
        }
    };
    write(options.output.as_deref(), &bytes)?;
    let (len, millis) = (bytes.len(), begin.elapsed().as_millis());
    eprintln!("{content_type}, {width}x{height}, {len} bytes, {millis} ms{note}");
    Ok(ExitCode::SUCCESS)
}

/// The inner error is that of a source which is too large.
fn read(options: &Options) -> anyhow::Result<Result<Bytes, RenderError>> {
    let Source { file, input } = &options.source;
    let path = file.as_ref().or(input.as_ref()).context("no file is named")?;
    let limit = options.limits.max_bytes;
    let mut source = Vec::new();
    let opened =
        File::open(path).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut source));
    opened.with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(if source.len() as u64 > limit { Err(RenderError::TooManyBytes { limit }) } else { Ok(source.into()) })
}

async fn render(options: &Options, source: Bytes) -> Result<Rendered, RenderError> {
    let Options { width, height, method, animated, webp, format, limits, .. } = options;
    let render = RenderLimits {
        workers: 1,
        queue: 0,
        memory_budget_bytes: limits.memory,
        deadline: Duration::from_secs(limits.timeout),
    };
    let policy = ThumbnailPolicy {
        max_pixels: limits.max_pixels - 1,
        max_source_bytes: limits.max_bytes,
        types: match format {
            Some(format) => vec![format.clone()],
            None => ThumbnailPolicy::known_types().map(str::to_owned).collect(),
        },
        max_animate_bytes: limits.max_animate_bytes,
        still_frame: limits.still_frame,
        ..ThumbnailPolicy::default()
    };
    let variant = match (animated, webp) {
        (true, _) => Variant::Animated,
        (false, true) => Variant::WebP,
        (false, false) => Variant::Still,
    };
    let spec = ThumbnailSpec { width: *width, height: *height, method: (*method).into(), variant };
    let workers = Workers::new(WorkerCommand::this_program([RENDER_WORKER]), render);
    RenderPool::with_engine(render, Arc::new(workers)).render(source, spec, Arc::new(policy)).await
}

fn failed(error: RenderError) -> anyhow::Result<ExitCode> {
    let code = match error {
        RenderError::TooManyPixels { .. }
        | RenderError::TooMuchMemory { .. }
        | RenderError::TooManyBytes { .. }
        | RenderError::Deadline => TOO_LARGE,
        RenderError::Worker(_) | RenderError::Source(_) | RenderError::Busy => return Err(error.into()),
        _ => NOT_THUMBNAILABLE,
    };
    eprintln!("error: {:#}", anyhow::Error::new(error));
    Ok(ExitCode::from(code))
}

fn write(output: Option<&Path>, bytes: &[u8]) -> anyhow::Result<()> {
    let Some(path) = output else {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        return written.context("the standard output cannot be written");
    };
    std::fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}

fn known_type(name: &str) -> Result<String, String> {
    if ThumbnailPolicy::knows_type(name) {
        return Ok(name.to_owned());
    }
    let known: Vec<_> = ThumbnailPolicy::known_types().collect();
    Err(format!("accepted: one of {}", known.join(", ")))
}

fn place(text: &str) -> Result<f32, String> {
    let place = text.parse().ok().filter(|place| (0.0..=1.0).contains(place));
    place.ok_or_else(|| "accepted: a number from 0 to 1".to_owned())
}

impl From<How> for Method {
    fn from(how: How) -> Self {
        match how {
            How::Scale => Self::Scale,
            How::Crop => Self::Crop,
        }
    }
}
