//! One job per thing at a time, however many want its result.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::lifecycle::Background;

/// Jobs under way, by what they are about. Cheap to clone.
///
/// A job runs on its own: whoever wants its result may leave without stopping it.
#[derive(Debug)]
pub struct Flights<K, T>(Arc<Inner<K, T>>);

#[derive(Debug)]
struct Inner<K, T> {
    background: Background,
    jobs: Mutex<HashMap<K, watch::Receiver<Option<T>>>>,
}

impl<K, T> Clone for Flights<K, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// No jobs yet; those to come run in `background`.
    #[must_use]
    pub fn new(background: Background) -> Self {
        Self(Arc::new(Inner { background, jobs: Mutex::default() }))
    }

    /// The result of the job about `key`: of the one under way, or of `start`, which then runs in the background.
    ///
    /// `None` when the job panicked or was dropped by shutdown.
    pub async fn join<F>(&self, key: K, start: impl FnOnce() -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut job = {
            let mut jobs = self.0.lock();
            if let Some(job) = jobs.get(&key) {
                job.clone()
            } else {
                let (sender, receiver) = watch::channel(None);
                jobs.insert(key.clone(), receiver.clone());
                self.launch(key, sender, start());
                receiver
            }
        };
        let outcome = job.wait_for(Option::is_some).await.ok()?;
        outcome.clone()
    }

    fn launch(
        &self,
        key: K,
        sender: watch::Sender<Option<T>>,
        work: impl Future<Output = T> + Send + 'static,
    ) {
        let landing = Landing { flights: self.clone(), key };
        self.0.background.spawn(async move {
            let outcome = work.await;
            // Out of the table first, so that nobody joins a job whose result is already stale.
            drop(landing);
            sender.send_replace(Some(outcome));
        });
    }
}

impl<K, T> Inner<K, T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, watch::Receiver<Option<T>>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the job out of the table, also when it panics.
struct Landing<K: Eq + Hash, T> {
    flights: Flights<K, T>,
    key: K,
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        self.flights.0.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn everybody_gets_the_result_of_one_job() {
        let flights = Flights::new(Background::new());
        let runs = Arc::new(AtomicU32::new(0));
        let joins = (0..16).map(|_| {
            let runs = Arc::clone(&runs);
            flights.join("key", move || async move {
                tokio::task::yield_now().await;
                runs.fetch_add(1, Ordering::Relaxed)
            })
        });
        let results = futures_util::future::join_all(joins).await;
        assert_eq!(results, vec![Some(0); 16]);
    }

    #[tokio::test]
    async fn a_job_goes_on_when_its_starter_leaves() {
        let flights = Flights::new(Background::new());
        let (release, released) = oneshot::channel::<()>();
        let starter = flights.join(1, move || async move { released.await.is_ok() });
        assert!(futures_util::FutureExt::now_or_never(starter).is_none());
        let other = flights.join(1, || async { unreachable!("the first job is still under way") });
        release.send(()).unwrap();
        assert_eq!(other.await, Some(true));
    }

    #[tokio::test]
    async fn after_a_panic_the_next_one_starts_afresh() {
        let flights: Flights<i32, i32> = Flights::new(Background::new());
        let failed = flights.join(1, || async { panic!("a defect") }).await;
        assert_eq!(failed, None);
        assert_eq!(flights.join(1, || async { 5 }).await, Some(5));
    }
}
