use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use tokio::task::JoinSet;

use super::*;
use crate::thumbnail::render::{Prepared, RenderTask, Work};
use crate::types::{Method, Variant};

/// Renders nothing, when it is told to: each rendering waits for a word from the test.
#[derive(Debug)]
struct Gated {
    cost_bytes: u64,
    at_worst_bytes: u64,
    /// Says that a rendering has begun.
    begun: tokio::sync::mpsc::UnboundedSender<()>,
    /// Lets one rendering end; whether it panics.
    gate: Arc<Mutex<mpsc::Receiver<Ending>>>,
    /// Says whether a rendering found itself abandoned when it ended.
    ended: tokio::sync::mpsc::UnboundedSender<bool>,
    running: Arc<AtomicUsize>,
    most_running: Arc<AtomicUsize>,
}

#[derive(Debug, PartialEq)]
enum Ending {
    Well,
    Panic,
}

impl Renderer for Gated {
    fn prepare(&self, task: &RenderTask) -> Option<Result<Prepared, RenderError>> {
        let (begun, gate, ended) = (self.begun.clone(), Arc::clone(&self.gate), self.ended.clone());
        let (running, most) = (Arc::clone(&self.running), Arc::clone(&self.most_running));
        let cancelled = task.cancelled.clone();
        let run = move || {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            begun.send(()).unwrap();
            let ending = gate.lock().unwrap().recv().unwrap();
            running.fetch_sub(1, Ordering::SeqCst);
            let _ = ended.send(cancelled.get());
            assert_eq!(ending, Ending::Well, "a panic that the test asked for");
            Ok(vec![picture()])
        };
        Some(Ok(Prepared::Work(Work {
            pixels: 1000,
            required_bytes: self.cost_bytes,
            at_worst_bytes: self.at_worst_bytes,
            run: Box::new(run),
        })))
    }
}

fn picture() -> Rendered {
    Rendered::Image { bytes: Bytes::from_static(b"picture"), content_type: "image/png", width: 1, height: 1 }
}

struct Bench {
    pool: RenderPool,
    begun: tokio::sync::mpsc::UnboundedReceiver<()>,
    gate: mpsc::Sender<Ending>,
    ended: tokio::sync::mpsc::UnboundedReceiver<bool>,
    most_running: Arc<AtomicUsize>,
}

impl Bench {
    fn new(workers: usize, queue: usize) -> Self {
        Self::with_cost(workers, queue, MIB, 0)
    }

    /// The budget is 10 MiB; a source takes less than [`UNIT`] of it.
    fn with_cost(workers: usize, queue: usize, cost_bytes: u64, at_worst_bytes: u64) -> Self {
        let (begun, begun_receiver) = tokio::sync::mpsc::unbounded_channel();
        let (ended, ended_receiver) = tokio::sync::mpsc::unbounded_channel();
        let (gate, gate_receiver) = mpsc::channel();
        let most_running = Arc::new(AtomicUsize::new(0));
        let renderer = Gated {
            cost_bytes,
            at_worst_bytes,
            begun,
            gate: Arc::new(Mutex::new(gate_receiver)),
            ended,
            running: Arc::default(),
            most_running: Arc::clone(&most_running),
        };
        let limits =
            RenderLimits { workers, queue, memory_budget_bytes: 10 * MIB, deadline: Duration::from_secs(20) };
        let pool = RenderPool::with_renderers(limits, vec![Arc::new(renderer)]);
        Self { pool, begun: begun_receiver, gate, ended: ended_receiver, most_running }
    }

    fn render(&self) -> impl Future<Output = Result<Rendered, RenderError>> + Send + use<> {
        let pool = self.pool.clone();
        async move { pool.render(Bytes::from_static(b"source"), spec(), Arc::default()).await }
    }

    fn release(&self, ending: Ending) {
        self.gate.send(ending).unwrap();
    }

    async fn begun(&mut self) {
        self.begun.recv().await.unwrap();
    }

    /// Runs eight renderings of which `together` are expected to run at once, and says how many did.
    async fn most_running(&mut self, together: usize) -> usize {
        let mut tasks = JoinSet::new();
        for _ in 0..8 {
            tasks.spawn(self.render());
        }
        for _ in 0..together {
            self.begun().await;
        }
        // Those that hold a worker have begun, or are about to find out whether there is memory.
        while self.pool.shared.workers.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        for _ in together..8 {
            self.release(Ending::Well);
            self.begun().await;
        }
        for _ in 1..together {
            self.release(Ending::Well);
        }
        self.release(Ending::Well);
        for result in tasks.join_all().await {
            result.unwrap();
        }
        self.most_running.load(Ordering::SeqCst)
    }
}

fn spec() -> ThumbnailSpec {
    ThumbnailSpec { width: 32, height: 32, method: Method::Scale, variant: Variant::Still }
}

/// Polls a future once; it must not be ready.
async fn begin<T>(future: &mut (impl Future<Output = T> + Unpin)) {
    assert!(futures_util::poll!(future).is_pending(), "there was nothing to wait for");
}

#[tokio::test]
async fn a_rendering_is_answered_with_its_picture() {
    let bench = Bench::new(1, 0);
    bench.release(Ending::Well);
    assert_eq!(bench.render().await.unwrap(), picture());
}

#[tokio::test]
async fn a_full_queue_is_busy_at_once() {
    let mut bench = Bench::new(1, 1);
    let mut tasks = JoinSet::new();
    tasks.spawn(bench.render());
    bench.begun().await;
    let mut waiting = Box::pin(bench.render());
    begin(&mut waiting).await;

    assert!(matches!(bench.render().await, Err(RenderError::Busy)));

    bench.release(Ending::Well);
    bench.release(Ending::Well);
    waiting.await.unwrap();
    tasks.join_all().await.pop().unwrap().unwrap();
    bench.release(Ending::Well);
    bench.render().await.expect("the queue is free again");
}

#[tokio::test]
async fn a_dropped_ticket_gives_its_place_back() {
    let bench = Bench::new(1, 0);
    let ticket = bench.pool.admit(1).unwrap();
    assert!(matches!(bench.pool.admit(1), Err(RenderError::Busy)));
    drop(ticket);
    assert!(bench.pool.admit(1).is_ok());
}

#[tokio::test]
async fn no_more_run_at_once_than_there_are_workers() {
    let mut bench = Bench::new(2, 6);
    assert_eq!(bench.most_running(2).await, 2);
}

#[tokio::test]
async fn a_caller_that_leaves_the_queue_frees_its_place_and_never_runs() {
    let mut bench = Bench::new(1, 1);
    let mut tasks = JoinSet::new();
    tasks.spawn(bench.render());
    bench.begun().await;
    let mut waiting = Box::pin(bench.render());
    begin(&mut waiting).await;
    drop(waiting);

    let mut next = Box::pin(bench.render());
    begin(&mut next).await;
    bench.release(Ending::Well);
    bench.release(Ending::Well);
    next.await.unwrap();
    assert!(bench.begun.try_recv().is_ok(), "the second began");
    assert!(bench.begun.try_recv().is_err(), "the one that left never did");
}

#[tokio::test]
async fn a_caller_that_leaves_tells_the_running_work_to_stop() {
    let mut bench = Bench::new(1, 0);
    let mut tasks = JoinSet::new();
    tasks.spawn(bench.render());
    bench.begun().await;
    tasks.shutdown().await;
    bench.release(Ending::Well);
    assert_eq!(bench.ended.recv().await, Some(true), "the work saw that it was abandoned");
}

#[tokio::test]
async fn a_caller_that_stays_is_not_taken_for_one_that_left() {
    let mut bench = Bench::new(1, 0);
    bench.release(Ending::Well);
    bench.render().await.unwrap();
    assert_eq!(bench.ended.recv().await, Some(false));
}

#[tokio::test]
async fn abandoned_work_keeps_its_place_until_it_really_ends() {
    let mut bench = Bench::new(1, 0);
    let mut tasks = JoinSet::new();
    tasks.spawn(bench.render());
    bench.begun().await;
    tasks.shutdown().await;
    assert!(matches!(bench.pool.admit(1), Err(RenderError::Busy)));

    bench.release(Ending::Well);
    let freed = bench.pool.shared.places.acquire().await.expect("the place comes back");
    drop(freed);
}

#[tokio::test(start_paused = true)]
async fn work_that_takes_too_long_is_answered_at_the_deadline_and_keeps_its_worker() {
    let mut bench = Bench::new(1, 1);
    let mut tasks = JoinSet::new();
    tasks.spawn(bench.render());
    bench.begun().await;
    tokio::time::advance(Duration::from_secs(21)).await;
    let result = tasks.join_next().await.unwrap().unwrap();
    assert!(matches!(result, Err(RenderError::Deadline)), "{result:?}");

    let mut next = Box::pin(bench.render());
    begin(&mut next).await;
    assert_eq!(bench.pool.shared.workers.available_permits(), 0, "the worker is still at it");
    bench.release(Ending::Well);
    bench.release(Ending::Well);
    next.await.expect("the worker came back");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_worker_until_the_deadline_is_busy_not_deadline() {
    let mut bench = Bench::new(1, 1);
    let mut tasks = JoinSet::new();
    tasks.spawn(bench.render());
    bench.begun().await;
    let mut waiting = Box::pin(bench.render());
    begin(&mut waiting).await;
    tokio::time::advance(Duration::from_secs(21)).await;
    assert!(matches!(waiting.await, Err(RenderError::Busy)));
    bench.release(Ending::Well);
}

#[tokio::test]
async fn a_panic_fails_one_rendering_and_frees_everything() {
    let bench = Bench::with_cost(1, 0, 10 * MIB - UNIT, 0);
    bench.release(Ending::Panic);
    assert!(matches!(bench.render().await, Err(RenderError::Crashed)));
    bench.release(Ending::Well);
    bench.render().await.expect("worker, place and memory are free again");
}

#[tokio::test]
async fn renderings_that_do_not_fit_the_budget_together_run_one_after_the_other() {
    let mut bench = Bench::with_cost(4, 4, 6 * MIB, 0);
    assert_eq!(bench.most_running(1).await, 1);
}

#[tokio::test]
async fn renderings_that_fit_the_budget_together_run_together() {
    let mut bench = Bench::with_cost(4, 4, 5 * MIB - UNIT, 0);
    assert_eq!(bench.most_running(2).await, 2);
}

#[tokio::test]
async fn a_rendering_that_could_never_fit_is_refused_without_running() {
    let mut bench = Bench::with_cost(1, 0, 20 * MIB, 0);
    let result = bench.render().await;
    assert!(matches!(result, Err(RenderError::TooMuchMemory { pixels: 1000, limit: 499 })), "{result:?}");
    assert!(bench.begun.try_recv().is_err());
}

#[tokio::test]
async fn sources_count_against_the_budget() {
    let bench = Bench::with_cost(1, 0, 6 * MIB, 0);
    let source = Bytes::from(vec![0; 5 << 20]);
    let result = bench.pool.render(source, spec(), Arc::default()).await;
    assert!(matches!(result, Err(RenderError::TooMuchMemory { .. })), "{result:?}");
}

#[tokio::test]
async fn what_a_crafted_source_might_take_makes_it_run_alone_but_not_fail() {
    let mut bench = Bench::with_cost(4, 4, MIB, 1000 * MIB);
    assert_eq!(bench.most_running(1).await, 1);
}

#[tokio::test]
async fn a_source_that_no_renderer_knows_is_unsupported() {
    let pool = RenderPool::with_renderers(RenderLimits::default(), Vec::new());
    let result = pool.render(Bytes::from_static(b"%PDF-1.7"), spec(), Arc::default()).await;
    assert!(matches!(result, Err(RenderError::Unsupported(_))), "{result:?}");
}

#[tokio::test]
async fn a_source_of_too_many_bytes_is_refused_before_any_renderer_sees_it() {
    let mut bench = Bench::new(1, 0);
    let policy = ThumbnailPolicy { max_source_bytes: 5, ..ThumbnailPolicy::default() };
    let result = bench.pool.render(Bytes::from_static(b"source"), spec(), Arc::new(policy)).await;
    assert!(matches!(result, Err(RenderError::TooManyBytes { limit: 5 })), "{result:?}");
    assert!(bench.begun.try_recv().is_err());
}

#[test]
fn an_absurd_budget_is_cut_to_what_can_be_counted() {
    let limits = RenderLimits {
        workers: usize::MAX,
        queue: usize::MAX,
        memory_budget_bytes: u64::MAX,
        deadline: Duration::from_secs(1),
    };
    assert!(RenderPool::new(limits).admit(1).is_ok());
}
