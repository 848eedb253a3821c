//! Bounded rendering: so many at a time, so many waiting, so much memory, so long.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use super::formats;
use super::render::{Cancelled, Prepared, RenderError, RenderTask, Rendered, Renderer, Work};
use crate::policy::ThumbnailPolicy;
use crate::types::ThumbnailSpec;

/// Bounds of a [`RenderPool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenderLimits {
    /// Thumbnails rendered at the same time; at least one.
    pub workers: usize,
    /// Thumbnails that may wait for a worker.
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

/// Renders thumbnails on the blocking threads of the tokio runtime (with timers), within [`RenderLimits`].
///
/// Clones share the limits. A caller that goes away leaves nothing queued; what already runs is told to
/// stop, and keeps its worker and its memory until it really has.
#[derive(Clone, Debug)]
pub struct RenderPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    renderers: Vec<Arc<dyn Renderer>>,
    deadline: Duration,
    /// One permit per thumbnail that runs or waits.
    places: Arc<Semaphore>,
    /// One permit per thumbnail that runs.
    workers: Arc<Semaphore>,
    /// One permit per [`UNIT`] bytes.
    memory: Arc<Semaphore>,
    memory_units: u32,
}

/// Memory is counted in KiB, so that a semaphore's 32-bit counts reach 4 TiB.
const UNIT: u64 = 1024;

impl RenderPool {
    /// A pool with all renderers of this build.
    #[must_use]
    pub fn new(limits: RenderLimits) -> Self {
        Self::with_renderers(limits, formats::renderers())
    }

    /// A pool with these renderers. The first that knows a source renders it.
    #[must_use]
    pub fn with_renderers(limits: RenderLimits, renderers: Vec<Arc<dyn Renderer>>) -> Self {
        let RenderLimits { workers, queue, memory_budget_bytes, deadline } = limits;
        let workers = workers.clamp(1, Semaphore::MAX_PERMITS);
        let places = workers.saturating_add(queue).min(Semaphore::MAX_PERMITS);
        let memory_units = units(memory_budget_bytes);
        Self {
            shared: Arc::new(Shared {
                renderers,
                deadline,
                places: Arc::new(Semaphore::new(places)),
                workers: Arc::new(Semaphore::new(workers)),
                memory: Arc::new(Semaphore::new(memory_units as usize)),
                memory_units,
            }),
        }
    }

    /// Takes a place in the queue, for callers that want to know that there is one before they fetch the
    /// source. Dropping the ticket gives the place back.
    ///
    /// # Errors
    /// [`RenderError::Busy`] when the queue is full.
    pub fn admit(&self) -> Result<Ticket, RenderError> {
        let place = Arc::clone(&self.shared.places).try_acquire_owned().map_err(|_| RenderError::Busy)?;
        Ok(Ticket { shared: Arc::clone(&self.shared), place })
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
        rendered.into_iter().next().ok_or_else(|| RenderError::decode("renderer made no thumbnail"))
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
        self.admit()?.render(source, specs, policy).await
    }
}

/// A place in the queue of a [`RenderPool`].
#[derive(Debug)]
#[must_use = "a ticket holds a place in the queue"]
pub struct Ticket {
    shared: Arc<Shared>,
    place: OwnedSemaphorePermit,
}

impl Ticket {
    /// Renders thumbnails of `source`, in the order of `specs`. The deadline counts from here.
    ///
    /// # Errors
    /// See [`RenderError`].
    pub async fn render(
        self,
        source: Bytes,
        specs: Vec<ThumbnailSpec>,
        policy: Arc<ThumbnailPolicy>,
    ) -> Result<Vec<Rendered>, RenderError> {
        let Self { shared, place } = self;
        let deadline = Instant::now() + shared.deadline;
        let abandon = CancelOnDrop(Cancelled::default());
        let task = RenderTask { source, specs, policy, cancelled: abandon.0.clone() };

        let worker = timely(deadline, Arc::clone(&shared.workers).acquire_owned()).await?;
        let held = vec![place, worker];
        let renderers = shared.renderers.clone();
        let (mut held, prepared) =
            on_blocking_thread(held, deadline, move || prepare(&renderers, &task)).await?;
        let Work { pixels, required_bytes, at_worst_bytes, run } = match prepared? {
            Prepared::Done(rendered) => return Ok(rendered),
            Prepared::Work(work) => work,
        };

        let required = units(required_bytes);
        if required > shared.memory_units {
            let limit = fitting_pixels(pixels, required, shared.memory_units);
            return Err(RenderError::TooManyPixels { pixels, limit });
        }
        let booked = units(required_bytes.saturating_add(at_worst_bytes)).min(shared.memory_units);
        let memory = Arc::clone(&shared.memory).acquire_many_owned(booked);
        held.push(timely(deadline, memory).await?);
        let (_held, rendered) = on_blocking_thread(held, deadline, run).await?;
        rendered
    }
}

/// Everything that a rendering occupies. It travels with the running code, not with the caller, so that it
/// is given back when the code ends: by returning, by panicking, or long after the caller has left.
type Held = Vec<OwnedSemaphorePermit>;

struct CancelOnDrop(Cancelled);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Takes what has not begun to run out of the runtime's queue.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn timely<T, E>(deadline: Instant, wait: impl Future<Output = Result<T, E>>) -> Result<T, RenderError> {
    match timeout_at(deadline, wait).await {
        Ok(Ok(permit)) => Ok(permit),
        // The semaphores are never closed, so the inner error does not occur.
        Ok(Err(_)) | Err(_) => Err(RenderError::Busy),
    }
}

async fn on_blocking_thread<T: Send + 'static>(
    held: Held,
    deadline: Instant,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(Held, T), RenderError> {
    let mut job = AbortOnDrop(spawn_blocking(move || {
        let done = work();
        (held, done)
    }));
    match timeout_at(deadline, &mut job.0).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(failure)) if failure.is_panic() => Err(RenderError::Panicked),
        // The runtime is shutting down.
        Ok(Err(_)) => Err(RenderError::Busy),
        Err(_) => Err(RenderError::Deadline),
    }
}

fn prepare(renderers: &[Arc<dyn Renderer>], task: &RenderTask) -> Result<Prepared, RenderError> {
    let (bytes, limit) = (task.source.len() as u64, task.policy.max_source_bytes);
    if bytes > limit {
        return Err(RenderError::TooManyBytes { bytes, limit });
    }
    let prepared = renderers.iter().find_map(|renderer| renderer.prepare(task));
    prepared.unwrap_or_else(|| Err(RenderError::Unsupported("format is not known".to_owned())))
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
