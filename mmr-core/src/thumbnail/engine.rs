//! Where pixels are made: on threads of this process, or elsewhere.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;

use super::render::{Probed, RenderError, Rendered};
use crate::{policy::ThumbnailPolicy, stream::ByteStream, types::ThumbnailSpec};

/// Renders thumbnails for a [`RenderPool`](super::RenderPool), which decides when and how many.
///
/// Rendering has two parts, so that memory is booked before it is taken. Dropping the future of either part abandons
/// the rendering.
#[async_trait]
pub trait RenderEngine: fmt::Debug + Send + Sync + 'static {
    /// Reads the source, and of its content no more than the header.
    async fn prepare(&self, order: RenderOrder) -> Result<Planned, RenderError>;
}

/// Thumbnails to make of one source.
#[derive(Debug)]
pub struct RenderOrder {
    /// The source; at most [`ThumbnailPolicy::max_source_bytes`] are read of it.
    pub source: ByteStream,
    /// How many bytes that will be, as far as is known: room for them is made at once.
    pub expected_bytes: u64,
    /// The thumbnails wanted; none to be told what the source is. See [`RenderTask::specs`](super::RenderTask::specs).
    pub specs: Vec<ThumbnailSpec>,
    /// The policy of this request.
    pub policy: Arc<ThumbnailPolicy>,
    /// What the rendering occupies.
    pub held: Held,
}

/// What the header of a source led to.
#[derive(Debug)]
pub enum Planned {
    /// No thumbnails were wanted: this is what the source is.
    Seen(Probed),
    /// No pixels are needed: every thumbnail is the original, in the order of the specs.
    Done(Vec<Rendered>),
    /// Pixels are needed.
    Job(Job),
}

/// What a rendering takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// See [`Work::pixels`](super::render::Work::pixels).
    pub pixels: u64,
    /// See [`Work::required_bytes`](super::render::Work::required_bytes), and the source, where that lies in memory.
    pub required_bytes: u64,
    /// See [`Work::at_worst_bytes`](super::render::Work::at_worst_bytes).
    pub at_worst_bytes: u64,
}

/// The second part of a rendering.
pub struct Job {
    /// What it takes.
    pub cost: Cost,
    /// Does the work: one thumbnail for each spec, in their order. Is given the memory that was booked.
    pub run: Box<dyn FnOnce(Held) -> Running + Send>,
}

/// Work under way.
pub type Running = BoxFuture<'static, Result<Vec<Rendered>, RenderError>>;

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("cost", &self.cost).finish_non_exhaustive()
    }
}

/// Everything that a rendering occupies: a place, a worker, memory. It travels with the work, not with whoever waits for
/// it, so that it is given back when the work ends: well, badly, or long after everybody has left.
#[derive(Debug)]
pub struct Held(Vec<OwnedSemaphorePermit>);

impl Held {
    pub(super) const fn new(permits: Vec<OwnedSemaphorePermit>) -> Self {
        Self(permits)
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}
