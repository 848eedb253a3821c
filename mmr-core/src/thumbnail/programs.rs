//! Thumbnails of videos, of Opus and of HEIC, by programs that are found at run time: `ffmpeg`, and `heif-dec` or `heif-convert` of
//! libheif.
//!
//! [`Programs`] goes around the engine that renders pictures: it has a program make a picture or plain sound of what only
//! the program can read, and gives that to the engine. As with [workers](super::worker), the program that embeds this crate starts itself
//! anew under a word of its choice; there, [`run`] locks the process in and becomes `ffmpeg`:
//!
//! ```no_run
//! use std::{process::ExitCode, sync::Arc};
//! use mmr_core::thumbnail::{RenderLimits, RenderPool, Threads, formats, worker::WorkerCommand};
//! use mmr_core::thumbnail::programs::{self, Programs, Tools};
//!
//! fn main() -> ExitCode {
//!     if std::env::args().nth(1).as_deref() == Some("render-program") {
//!         return programs::run(std::env::args_os().skip(2));
//!     }
//!     let limits = RenderLimits::default();
//!     let inner = Arc::new(Threads::new(formats::renderers()));
//!     let tools = Tools::find(&std::env::var_os("PATH").unwrap_or_default());
//!     let command = WorkerCommand::this_program(["render-program"]);
//!     let pool = RenderPool::with_engine(limits, Arc::new(Programs::new(inner, tools, command, limits)));
//!     ExitCode::SUCCESS
//! }
//! ```
//!
//! A program sees a directory with its source, the libraries of the system, and nothing else: no other files, no
//! sockets, no environment, no processes to start (Landlock and seccomp, where the kernel has them). It gets no more
//! memory and processor time than was booked, and is killed at the deadline, when nobody waits any more, and when this
//! process ends.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;

use self::{
    kinds::Kind,
    process::Starter,
    scratch::{Place, Scratch},
};
use super::{
    Cost, Held, Job, Planned, Probed, RenderEngine, RenderError, RenderLimits, RenderOrder, Rendered,
    Running, ThumbnailPolicy, movie::Movie, worker::WorkerCommand,
};
use crate::{stream::ByteStream, types::ThumbnailSpec};

mod child;
mod ffmpeg;
mod heic;
mod kinds;
mod metadata;
mod peek;
mod playtime;
mod process;
mod scratch;
mod sound;
mod tools;
mod video;

pub use self::{child::run, tools::Tools};

/// Renders videos, Opus and HEIC by way of programs, and everything else as the engine inside does.
#[derive(Debug)]
pub struct Programs {
    inner: Arc<dyn RenderEngine>,
    tools: Tools,
    starter: Arc<Starter>,
    /// The most that a program may ever have.
    memory_bytes: u64,
    place: Place,
}

impl Programs {
    /// Goes around `inner`. `command` starts this program so that it calls [`run`] with the arguments that are added. Of
    /// `limits` a program needs the memory and the deadline.
    #[must_use]
    pub fn new(
        inner: Arc<dyn RenderEngine>,
        tools: Tools,
        command: WorkerCommand,
        limits: RenderLimits,
    ) -> Self {
        Self {
            inner,
            tools,
            starter: Arc::new(Starter::new(command, limits.deadline)),
            memory_bytes: limits.memory_budget_bytes,
            place: Place::default(),
        }
    }

    /// Sources are put into directories that are made here for them, instead of in the system's directory for temporary
    /// files. What a crash leaves behind is removed later.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.place = Place::new(directory.into());
        self
    }

    fn program(&self, kind: Kind) -> Result<&Path, RenderError> {
        let (program, missing) = match kind {
            Kind::Heic { .. } => (&self.tools.heif, tools::NO_HEIF),
            Kind::Video(_) | Kind::Opus => (&self.tools.ffmpeg, tools::NO_FFMPEG),
        };
        program.as_deref().ok_or_else(|| RenderError::Unsupported(missing.to_owned()))
    }
}

#[async_trait]
impl RenderEngine for Programs {
    async fn prepare(&self, order: RenderOrder) -> Result<Planned, RenderError> {
        let RenderOrder { source, specs, policy, held } = order;
        let (head, source) = peek::peek(source, kinds::HEAD_BYTES).await;
        let Some(kind) = Kind::of(&head) else {
            return self.inner.prepare(RenderOrder { source, specs, policy, held }).await;
        };
        let type_of_sound = kind.type_of_sound().filter(|known| policy.allows_type(known));
        let allowed = kind.types().iter().any(|known| policy.allows_type(known));
        let not_allowed = || RenderError::not_enabled(kind.types()[0]);
        if !allowed && type_of_sound.is_none() {
            return Err(not_allowed());
        }
        if specs.is_empty() {
            return match kind {
                Kind::Opus => self.inner.prepare(RenderOrder { source, specs, policy, held }).await,
                _ => see(kind, source, policy.max_source_bytes).await.map(Planned::Seen),
            };
        }
        let program = if allowed { self.program(kind).map(Path::to_owned) } else { Err(not_allowed()) };
        let program = match program {
            // There may be a cover, or else nothing but sound.
            Err(missing) if kind == Kind::Opus => {
                let order = RenderOrder { source, specs, policy, held };
                return self.inner.prepare(order).await.map_err(|error| match error {
                    RenderError::Unsupported(_) => missing,
                    error => error,
                });
            }
            Err(missing) if type_of_sound.is_none() || Movie::of(&head).has_pictures() => {
                return Err(missing);
            }
            program => program,
        };
        let mut movie = Movie::default();
        let look = |chunk: &[u8]| movie.feed(chunk);
        let scratch = Scratch::fill(&self.place, source, policy.max_source_bytes, look).await?;
        if let Some(known) = kind.type_of_sound()
            && movie.is_sound()
        {
            if type_of_sound.is_none() {
                return Err(RenderError::not_enabled(known));
            }
            let source = scratch.source().await?;
            return self.inner.prepare(RenderOrder { source, specs, policy, held }).await;
        }
        let program = program?;
        let recipe = match kind {
            Kind::Video(container) => Recipe::Video(container),
            Kind::Heic { .. } => Recipe::Heic(heic::Header::read(&scratch.head().await?)),
            Kind::Opus => Recipe::Sound(sound::Header::read(&scratch.head().await?)),
        };
        let cost = recipe.cost(&policy)?;
        let memory_bytes = cost.required_bytes.min(self.memory_bytes);
        let errand = Errand {
            inner: Arc::clone(&self.inner),
            starter: Arc::clone(&self.starter),
            program,
            recipe,
            scratch,
            memory_bytes,
            specs,
            policy,
        };
        let run = Box::new(move |memory| -> Running { Box::pin(errand.run(held.and(memory))) });
        Ok(Planned::Job(Job { cost, run }))
    }
}

/// What a source is, told without a program. How large it is seen is not.
async fn see(kind: Kind, source: ByteStream, most_bytes: u64) -> Result<Probed, RenderError> {
    let (duration, is_sound) = match kind {
        Kind::Video(container) => playtime::read(container, source.limited(most_bytes)).await?,
        Kind::Heic { .. } | Kind::Opus => (None, false),
    };
    let content_type = kind.type_of_sound().filter(|_| is_sound).unwrap_or(kind.types()[0]);
    Ok(Probed { content_type, width: 0, height: 0, duration })
}

/// What a program would be asked to read, by its beginning: its type, and pixels that it is expected to take.
#[doc(hidden)]
#[must_use]
pub fn outline(head: &[u8]) -> Option<(&'static str, u64)> {
    let kind = Kind::of(head)?;
    let pixels = match kind {
        Kind::Video(_) => video::MOST_PIXELS,
        Kind::Heic { .. } => heic::Header::read(head).pixels(),
        Kind::Opus => sound::PIXELS,
    };
    Some((kind.types()[0], pixels))
}

/// How a picture is made of a source.
#[derive(Debug)]
enum Recipe {
    Video(kinds::Container),
    Heic(heic::Header),
    Sound(sound::Header),
}

impl Recipe {
    /// What program and engine take, one after the other.
    fn cost(&self, policy: &ThumbnailPolicy) -> Result<Cost, RenderError> {
        let (pixels, required_bytes) = match self {
            Self::Video(_) => (video::MOST_PIXELS, video::MEMORY_BYTES),
            Self::Heic(header) => (header.pixels(), header.memory_bytes()),
            Self::Sound(header) => (sound::PIXELS, header.memory_bytes()),
        };
        let limit = policy.max_pixels;
        if matches!(self, Self::Heic(_)) && pixels > limit {
            return Err(RenderError::TooManyPixels { pixels, limit });
        }
        Ok(Cost { pixels, required_bytes, at_worst_bytes: 0 })
    }
}

/// A rendering for which there is memory now.
#[derive(Debug)]
struct Errand {
    inner: Arc<dyn RenderEngine>,
    starter: Arc<Starter>,
    program: PathBuf,
    recipe: Recipe,
    scratch: Scratch,
    memory_bytes: u64,
    specs: Vec<ThumbnailSpec>,
    policy: Arc<ThumbnailPolicy>,
}

impl Errand {
    async fn run(self, held: Held) -> Result<Vec<Rendered>, RenderError> {
        let max_pixels = self.policy.max_pixels;
        let order = process::Order::new(&self.program, &self.scratch, self.memory_bytes);
        let (frame, content_type) = match &self.recipe {
            Recipe::Video(container) => {
                (video::frame(&self.starter, order, *container, max_pixels).await?, "image/jpeg")
            }
            Recipe::Heic(header) => {
                (heic::picture(&self.starter, order, header).await?, header.content_type())
            }
            Recipe::Sound(header) => {
                (sound::decoded(&self.starter, order, *header, max_pixels).await?, sound::CONTENT_TYPE)
            }
        };
        let Self { inner, scratch, memory_bytes, specs, policy, .. } = self;
        drop(scratch);
        let policy = ThumbnailPolicy {
            // It is ours: what the operator allows was asked of the source.
            types: vec![content_type.to_owned()],
            max_source_bytes: frame.len() as u64,
            ..ThumbnailPolicy::clone(&policy)
        };
        let order = RenderOrder { source: frame.clone().into(), specs, policy: Arc::new(policy), held };
        let rendered = match inner.prepare(order).await? {
            Planned::Seen(_) => return Err(RenderError::Crashed),
            Planned::Done(rendered) => rendered,
            Planned::Job(Job { cost: Cost { pixels, required_bytes, .. }, run }) => {
                // The program has ended, so that what was booked for it is free; more is not ours.
                if required_bytes > memory_bytes {
                    let limit = pixels.saturating_mul(memory_bytes) / required_bytes;
                    return Err(RenderError::TooMuchMemory { pixels, limit });
                }
                run(Held::new(Vec::new())).await?
            }
        };
        Ok(rendered.into_iter().map(|rendered| own(rendered, &frame)).collect())
    }
}

/// To the engine the frame is the original; to everybody else it is a thumbnail of it.
fn own(rendered: Rendered, frame: &Bytes) -> Rendered {
    match rendered {
        Rendered::Original { content_type, width, height } => {
            Rendered::Image { bytes: frame.clone(), content_type, width, height }
        }
        image @ Rendered::Image { .. } => image,
    }
}
