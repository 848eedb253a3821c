//! Background work that shutdown knows of.

use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Starts tasks and ends them. Cheap to clone; all clones share the tasks.
#[derive(Clone, Debug, Default)]
pub struct Background {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Background {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `work` to its end, also during shutdown: for work that others wait for and that ends by itself.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.tasks.spawn(work)
    }

    /// Runs `work` to its end on another runtime.
    pub fn spawn_on(
        &self,
        runtime: &tokio::runtime::Handle,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.tasks.spawn_on(work, runtime);
    }

    /// Runs `work` until it ends or shutdown drops it at its next `await`.
    pub fn spawn_until_stop(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled_owned(work).await;
        });
    }

    /// Whether shutdown has begun.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Begins shutdown and waits up to `grace` for all tasks. False when some were still running.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(grace, self.tasks.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stopping_drops_endless_work_and_waits_for_the_rest() {
        let background = Background::new();
        background.spawn_until_stop(std::future::pending());
        let finished = background.spawn(async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            7
        });
        assert!(background.stop(Duration::from_secs(2)).await);
        assert_eq!(finished.await.unwrap(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_gives_up_after_the_grace() {
        let background = Background::new();
        background.spawn(std::future::pending::<()>());
        assert!(!background.stop(Duration::from_secs(2)).await);
    }
}
