//! Rendering on the blocking threads of the tokio runtime.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    engine::{Cost, Held, Job, Planned, RenderEngine, RenderOrder, Running},
    render::{Cancelled, Prepared, RenderError, RenderTask, Rendered, Renderer, Work},
};
use crate::stream::StreamError;

/// Renders on the blocking threads of the runtime: for decoders that are memory-safe. What is abandoned is told to stop,
/// and keeps what it holds until it really has.
#[derive(Debug)]
pub struct Threads(Vec<Arc<dyn Renderer>>);

impl Threads {
    /// The first of these renderers that knows a source renders it.
    #[must_use]
    pub const fn new(renderers: Vec<Arc<dyn Renderer>>) -> Self {
        Self(renderers)
    }
}

#[async_trait]
impl RenderEngine for Threads {
    async fn prepare(&self, order: RenderOrder) -> Result<Planned, RenderError> {
        let RenderOrder { source, specs, policy, held, .. } = order;
        let limit = policy.max_source_bytes;
        let source = source.collect_up_to(limit).await.map_err(|error| match error {
            StreamError::TooLarge { limit } => RenderError::TooManyBytes { limit },
            error => RenderError::Source(error),
        })?;
        let source_bytes = source.len() as u64;
        let abandon = CancelOnDrop(Cancelled::default());
        let task = RenderTask { source, specs, policy, cancelled: abandon.0.clone() };
        let renderers = self.0.clone();
        let (held, prepared) = on_blocking_thread(held, move || prepare(&renderers, &task)).await?;
        let Work { pixels, required_bytes, at_worst_bytes, run } = match prepared? {
            Prepared::Seen(probed) => return Ok(Planned::Seen(probed)),
            Prepared::Done(rendered) => return Ok(Planned::Done(rendered)),
            Prepared::Work(work) => work,
        };
        let run = Box::new(move |memory| -> Running { Box::pin(finish(held.and(memory), run, abandon)) });
        let required_bytes = required_bytes.saturating_add(source_bytes);
        Ok(Planned::Job(Job { cost: Cost { pixels, required_bytes, at_worst_bytes }, run }))
    }
}

/// Reads the header of a source with the first renderer that knows it.
///
/// # Errors
/// Those of the renderer; [`RenderError::Unsupported`] when there is none.
pub(super) fn prepare(renderers: &[Arc<dyn Renderer>], task: &RenderTask) -> Result<Prepared, RenderError> {
    let prepared = renderers.iter().find_map(|renderer| renderer.prepare(task));
    prepared.unwrap_or_else(|| Err(RenderError::Unsupported("format is not known".to_owned())))
}

async fn finish(
    held: Held,
    run: Box<dyn FnOnce() -> Result<Vec<Rendered>, RenderError> + Send>,
    _abandon: CancelOnDrop,
) -> Result<Vec<Rendered>, RenderError> {
    on_blocking_thread(held, run).await?.1
}

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

async fn on_blocking_thread<T: Send + 'static>(
    held: Held,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(Held, T), RenderError> {
    let mut job = AbortOnDrop(spawn_blocking(move || {
        let done = work();
        (held, done)
    }));
    match (&mut job.0).await {
        Ok(done) => Ok(done),
        Err(failure) if failure.is_panic() => Err(RenderError::Crashed),
        // The runtime is shutting down.
        Err(_) => Err(RenderError::Busy),
    }
}
