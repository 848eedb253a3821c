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

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use self::{
    kinds::{Container, Kind},
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

    /// The program for a kind, if it is there and one of these types is allowed.
    fn program(&self, kind: Kind, types: &[&str], policy: &ThumbnailPolicy) -> Result<PathBuf, RenderError> {
        allow(types, policy)?;
        let (program, missing) = match kind {
            Kind::Heic { .. } => (&self.tools.heif, tools::NO_HEIF),
            Kind::Video(_) | Kind::Opus => (&self.tools.ffmpeg, tools::NO_FFMPEG),
        };
        program.clone().ok_or_else(|| RenderError::Unsupported(missing.to_owned()))
    }

    async fn heic(&self, kind: Kind, order: RenderOrder) -> Result<Planned, RenderError> {
        let program = self.program(kind, kind.types(), &order.policy)?;
        let (scratch, order) = self.fill(order, |_| ()).await?;
        let recipe = Recipe::Heic(heic::Header::read(&scratch.head().await?));
        self.plan(program, recipe, scratch, order)
    }

    async fn opus(&self, order: RenderOrder) -> Result<Planned, RenderError> {
        allow(Kind::Opus.types(), &order.policy)?;
        match self.program(Kind::Opus, Kind::Opus.types(), &order.policy) {
            Ok(program) => {
                let (scratch, order) = self.fill(order, |_| ()).await?;
                let recipe = Recipe::Sound(sound::Header::of_opus(&scratch.head().await?));
                self.plan(program, recipe, scratch, order)
            }
            // There may be a cover.
            Err(missing) => self.inner.prepare(order).await.map_err(|error| match error {
                RenderError::Unsupported(_) => missing,
                error => error,
            }),
        }
    }

    /// A video, if it is one: there may be nothing in it but sound.
    async fn video(
        &self,
        container: Container,
        head: &[u8],
        order: RenderOrder,
    ) -> Result<Planned, RenderError> {
        let kind = Kind::Video(container);
        let sound = [container.type_of_sound()];
        let for_pictures = self.program(kind, kind.types(), &order.policy);
        // Sound in MP4 needs none.
        let for_sound = if container.is_movie() {
            allow(&sound, &order.policy).map(|()| None)
        } else {
            self.program(kind, &sound, &order.policy).map(Some)
        };
        let for_pictures = match for_pictures {
            Err(refusal) if for_sound.is_err() || Movie::of(head).has_pictures() => return Err(refusal),
            other => other,
        };
        let mut movie = Movie::default();
        let (scratch, order) = self.fill(order, |chunk| movie.feed(chunk)).await?;
        let is_sound = if container.is_movie() {
            movie.is_sound()
        } else {
            playtime::read(container, Bytes::from(scratch.head().await?).into()).await?.is_sound
        };
        match (is_sound, for_sound) {
            (false, _) => self.plan(for_pictures?, Recipe::Video(container), scratch, order),
            (true, Err(refusal)) => Err(refusal),
            (true, Ok(Some(program))) => {
                self.plan(program, Recipe::Sound(sound::Header::of_video(container)), scratch, order)
            }
            (true, Ok(None)) => {
                let source = scratch.source().await?;
                self.inner.prepare(RenderOrder { source, ..order }).await
            }
        }
    }

    /// Takes the source out of an order, into a directory of its own.
    async fn fill(
        &self,
        mut order: RenderOrder,
        look: impl FnMut(&[u8]) + Send,
    ) -> Result<(Scratch, RenderOrder), RenderError> {
        let source = std::mem::replace(&mut order.source, ByteStream::empty());
        let scratch = Scratch::fill(&self.place, source, order.policy.max_source_bytes, look).await?;
        Ok((scratch, order))
    }

    fn plan(
        &self,
        program: PathBuf,
        recipe: Recipe,
        scratch: Scratch,
        order: RenderOrder,
    ) -> Result<Planned, RenderError> {
        let RenderOrder { specs, policy, held, .. } = order;
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

fn allow(types: &[&str], policy: &ThumbnailPolicy) -> Result<(), RenderError> {
    let allowed = types.iter().any(|known| policy.allows_type(known));
    if allowed { Ok(()) } else { Err(RenderError::not_enabled(types[0])) }
}

#[async_trait]
impl RenderEngine for Programs {
    async fn prepare(&self, order: RenderOrder) -> Result<Planned, RenderError> {
        let (head, source) = peek::peek(order.source, kinds::HEAD_BYTES).await;
        let order = RenderOrder { source, ..order };
        match Kind::of(&head) {
            None => self.inner.prepare(order).await,
            Some(Kind::Opus) if order.specs.is_empty() => self.inner.prepare(order).await,
            Some(kind) if order.specs.is_empty() => see(kind, order).await.map(Planned::Seen),
            Some(Kind::Opus) => self.opus(order).await,
            Some(Kind::Video(container)) => self.video(container, &head, order).await,
            Some(kind @ Kind::Heic { .. }) => self.heic(kind, order).await,
        }
    }
}

/// What a source is, told without a program. How large it is seen is not.
async fn see(kind: Kind, order: RenderOrder) -> Result<Probed, RenderError> {
    allow(kind.types(), &order.policy)?;
    let said = match kind {
        Kind::Video(container) => {
            playtime::read(container, order.source.limited(order.policy.max_source_bytes)).await?
        }
        Kind::Heic { .. } | Kind::Opus => playtime::Said::default(),
    };
    let content_type = match kind {
        Kind::Video(container) if said.is_sound => container.type_of_sound(),
        _ => kind.types()[0],
    };
    Ok(Probed { content_type, width: 0, height: 0, duration: said.duration })
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
    Video(Container),
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
                (sound::decoded(&self.starter, order, header, max_pixels).await?, sound::CONTENT_TYPE)
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
        let expected_bytes = policy.max_source_bytes;
        let (source, policy) = (frame.clone().into(), Arc::new(policy));
        let order = RenderOrder { source, expected_bytes, specs, policy, held };
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
