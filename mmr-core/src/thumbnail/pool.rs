//! Bounded rendering: so many at a time, so many waiting, so much memory, so long.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::engine::{Cost, Held, Planned, RenderEngine, RenderOrder};
use super::formats;
use super::render::{Probed, RenderError, Rendered, Renderer};
use super::threads::Threads;
use crate::policy::ThumbnailPolicy;
use crate::stream::ByteStream;
use crate::types::ThumbnailSpec;

/// Bounds of a [`RenderPool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenderLimits {
    /// Sources rendered at the same time; at least one.
    pub workers: usize,
    /// What may wait for a worker, in places: a source takes one, and one more for each MiB.
    pub queue: usize,
    /// Bytes that all renderings together may take for pixels.
    pub memory_budget_bytes: u64,
    /// Longest time from asking to the answer, waiting included.
    pub deadline: Duration,
}

impl Default for RenderLimits {
    /// A worker per processor, 64 waiting, 512 MiB, 20 seconds.
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            queue: 64,
            memory_budget_bytes: 512 * 1024 * 1024,
            deadline: Duration::from_secs(20),
        }
    }
}

/// Renders thumbnails within [`RenderLimits`]. Needs a tokio runtime with timers.
///
/// Clones share the limits. A caller that goes away leaves nothing queued; what already runs is told to stop, and keeps
/// its worker and its memory until it really has.
#[derive(Clone, Debug)]
pub struct RenderPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Arc<dyn RenderEngine>,
    deadline: Duration,
    /// One permit per place of what runs or waits.
    places: Arc<Semaphore>,
    /// As many as there are; a source that would need more takes all.
    most_places: u32,
    /// One permit per source that runs.
    workers: Arc<Semaphore>,
    /// One permit per [`UNIT`] bytes.
    memory: Arc<Semaphore>,
    memory_units: u32,
}

const MIB: u64 = 1024 * 1024;

/// Memory is counted in KiB, so that a semaphore's 32-bit counts reach 4 TiB.
const UNIT: u64 = 1024;

impl RenderPool {
    /// A pool with all memory-safe renderers of this build, on the blocking threads of the runtime.
    #[must_use]
    pub fn new(limits: RenderLimits) -> Self {
        Self::with_renderers(limits, formats::renderers())
    }

    /// A pool with these renderers, on the blocking threads of the runtime. The first that knows a source renders it.
    #[must_use]
    pub fn with_renderers(limits: RenderLimits, renderers: Vec<Arc<dyn Renderer>>) -> Self {
        Self::with_engine(limits, Arc::new(Threads::new(renderers)))
    }

    /// A pool that renders elsewhere.
    #[must_use]
    pub fn with_engine(limits: RenderLimits, engine: Arc<dyn RenderEngine>) -> Self {
        let RenderLimits { workers, queue, memory_budget_bytes, deadline } = limits;
        let workers = workers.clamp(1, Semaphore::MAX_PERMITS);
        let places = workers.saturating_add(queue).min(Semaphore::MAX_PERMITS);
        let memory_units = units(memory_budget_bytes);
        Self {
            shared: Arc::new(Shared {
                engine,
                deadline,
                places: Arc::new(Semaphore::new(places)),
                most_places: u32::try_from(places).unwrap_or(u32::MAX),
                workers: Arc::new(Semaphore::new(workers)),
                memory: Arc::new(Semaphore::new(memory_units as usize)),
                memory_units,
            }),
        }
    }

    /// Takes places in the queue for a source of `bytes`, for callers that want to know that there are before they fetch
    /// it. Dropping the ticket gives them back.
    ///
    /// # Errors
    /// [`RenderError::Busy`] when the queue is full.
    pub fn admit(&self, bytes: u64) -> Result<Ticket, RenderError> {
        let places = u32::try_from(1 + bytes / MIB).unwrap_or(u32::MAX).min(self.shared.most_places);
        let places = Arc::clone(&self.shared.places).try_acquire_many_owned(places);
        let places = places.map_err(|_| RenderError::Busy)?;
        Ok(Ticket { shared: Arc::clone(&self.shared), places, bytes })
    }

    /// Renders one thumbnail of `source`.
    ///
    /// # Errors
    /// See [`RenderError`].
    pub async fn render(
        &self,
        source: Bytes,
        spec: ThumbnailSpec,
        policy: Arc<ThumbnailPolicy>,
    ) -> Result<Rendered, RenderError> {
        let rendered = self.render_all(source, vec![spec], policy).await?;
        rendered.into_iter().next().ok_or(RenderError::Crashed)
    }

    /// Renders thumbnails of `source` in one go, in the order of `specs`.
    ///
    /// # Errors
    /// See [`RenderError`]. There are all or none.
    pub async fn render_all(
        &self,
        source: Bytes,
        specs: Vec<ThumbnailSpec>,
        policy: Arc<ThumbnailPolicy>,
    ) -> Result<Vec<Rendered>, RenderError> {
        self.admit(source.len() as u64)?.turn().await?.render(source.into(), specs, policy).await
    }

    /// Reads the header of a source, or of its beginning, and of `bytes` of it at most.
    ///
    /// # Errors
    /// See [`RenderError`].
    pub async fn probe(&self, source: ByteStream, bytes: u64) -> Result<Probed, RenderError> {
        self.admit(bytes)?.turn().await?.probe(source).await
    }
}

/// Places in the queue of a [`RenderPool`].
#[derive(Debug)]
#[must_use = "a ticket holds places in the queue"]
pub struct Ticket {
    shared: Arc<Shared>,
    places: OwnedSemaphorePermit,
    bytes: u64,
}

impl Ticket {
    /// Waits for a free worker. The deadline counts from here.
    ///
    /// # Errors
    /// [`RenderError::Busy`] when there was none until the deadline.
    pub async fn turn(self) -> Result<Turn, RenderError> {
        let Self { shared, places, bytes } = self;
        let deadline = Instant::now() + shared.deadline;
        let worker = timely(deadline, Arc::clone(&shared.workers).acquire_owned()).await?;
        Ok(Turn { shared, deadline, held: Held::new(vec![places, worker]), bytes })
    }
}

/// A worker of a [`RenderPool`] that is free for one source.
#[derive(Debug)]
#[must_use = "a turn holds a worker"]
pub struct Turn {
    shared: Arc<Shared>,
    deadline: Instant,
    held: Held,
    bytes: u64,
}

impl Turn {
    /// Renders thumbnails of `source`, in the order of `specs`.
    ///
    /// # Errors
    /// See [`RenderError`].
    pub async fn render(
        self,
        source: ByteStream,
        specs: Vec<ThumbnailSpec>,
        policy: Arc<ThumbnailPolicy>,
    ) -> Result<Vec<Rendered>, RenderError> {
        let Self { shared, deadline, held, bytes } = self;
        let wanted = specs.len();
        let order = RenderOrder { source, expected_bytes: bytes, specs, policy, held };
        let rendered = match before(deadline, shared.engine.prepare(order)).await? {
            Planned::Seen(_) => return Err(RenderError::Crashed),
            Planned::Done(rendered) => rendered,
            Planned::Job(job) => {
                let memory = shared.book(job.cost, deadline).await?;
                before(deadline, (job.run)(memory)).await?
            }
        };
        // An engine may be a process that a hostile source has taken over.
        if rendered.len() == wanted { Ok(rendered) } else { Err(RenderError::Crashed) }
    }
}

impl Turn {
    /// Reads no more of a source than places were taken for.
    pub(super) async fn probe(self, source: ByteStream) -> Result<Probed, RenderError> {
        let Self { shared, deadline, held, bytes } = self;
        // Nothing is decoded, so that limits on what is decoded say nothing here.
        let policy = ThumbnailPolicy {
            max_pixels: u64::MAX,
            max_source_bytes: bytes,
            types: ThumbnailPolicy::known_types().map(str::to_owned).collect(),
            ..ThumbnailPolicy::default()
        };
        let (specs, policy) = (Vec::new(), Arc::new(policy));
        let order = RenderOrder { source, expected_bytes: bytes, specs, policy, held };
        match before(deadline, shared.engine.prepare(order)).await? {
            Planned::Seen(probed) => Ok(probed),
            Planned::Done(_) | Planned::Job(_) => Err(RenderError::Crashed),
        }
    }
}

impl Shared {
    async fn book(&self, cost: Cost, deadline: Instant) -> Result<Held, RenderError> {
        let Cost { pixels, required_bytes, at_worst_bytes } = cost;
        let required = units(required_bytes);
        if required > self.memory_units {
            let limit = fitting_pixels(pixels, required, self.memory_units);
            return Err(RenderError::TooMuchMemory { pixels, limit });
        }
        let booked = units(required_bytes.saturating_add(at_worst_bytes)).min(self.memory_units);
        let memory = timely(deadline, Arc::clone(&self.memory).acquire_many_owned(booked)).await?;
        Ok(Held::new(vec![memory]))
    }
}

async fn timely<T, E>(deadline: Instant, wait: impl Future<Output = Result<T, E>>) -> Result<T, RenderError> {
    match timeout_at(deadline, wait).await {
        Ok(Ok(permit)) => Ok(permit),
        // The semaphores are never closed, so the inner error does not occur.
        Ok(Err(_)) | Err(_) => Err(RenderError::Busy),
    }
}

/// Abandons work that has not ended at its deadline.
async fn before<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, RenderError>>,
) -> Result<T, RenderError> {
    timeout_at(deadline, work).await.unwrap_or(Err(RenderError::Deadline))
}

fn units(bytes: u64) -> u32 {
    let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
    u32::try_from(bytes.div_ceil(UNIT)).map_or(most, |units| units.min(most))
}

/// How many pixels of the same kind the whole budget would hold.
fn fitting_pixels(pixels: u64, required: u32, available: u32) -> u64 {
    let fitting = u128::from(pixels) * u128::from(available) / u128::from(required.max(1));
    u64::try_from(fitting).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
