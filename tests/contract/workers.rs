//! Render workers: they render like threads, and nothing that a source does reaches beyond its worker.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use mmr_core::{
    stream::{ByteStream, StreamError},
    testing::images,
    thumbnail::{
        RenderError, RenderLimits, RenderPool, Rendered, ThumbnailPolicy,
        worker::{WorkerCommand, Workers},
    },
    types::{Method, ThumbnailSpec, Variant},
};

/// A pool of workers that no other test has.
struct Bench {
    tag: String,
    pool: RenderPool,
}

impl Bench {
    fn new() -> Self {
        Self::with(RenderLimits::default(), &[])
    }

    fn telling(lie: &str) -> Self {
        Self::with(RenderLimits::default(), &[lie])
    }

    fn with_deadline(deadline: Duration) -> Self {
        Self::with(RenderLimits { deadline, ..RenderLimits::default() }, &[])
    }

    fn with(limits: RenderLimits, rest: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let tag = format!("bench-{}-{}-", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let arguments = std::iter::once(&*tag).chain(rest.iter().copied());
        let command = WorkerCommand::program(env!("CARGO_BIN_EXE_test-render-worker"), arguments);
        let pool = RenderPool::with_engine(limits, Arc::new(Workers::new(command, limits)));
        Self { tag, pool }
    }

    async fn render(&self, source: Bytes) -> Result<Rendered, RenderError> {
        self.pool.render(source, spec(32, 24), policy()).await
    }

    /// What becomes of a source that does mischief.
    async fn mischief(&self, word: &str) -> Result<Rendered, RenderError> {
        self.render(format!("mischief: {word}").into()).await
    }

    /// The report of mischief that is survived.
    async fn report(&self, word: &str) -> String {
        match self.mischief(word).await {
            Err(RenderError::Unsupported(report)) => report,
            other => panic!("{other:?}"),
        }
    }

    async fn assert_well(&self) {
        let rendered = self.render(images::png(64, 48)).await;
        assert!(matches!(rendered, Ok(Rendered::Image { width: 32, height: 24, .. })), "{rendered:?}");
    }

    /// Process ids of the workers that live, zombies excluded.
    fn workers(&self) -> Vec<u32> {
        let processes = fs::read_dir("/proc").expect("a /proc").filter_map(|entry| {
            let id = entry.ok()?.file_name().to_str()?.parse::<u32>().ok()?;
            let command = fs::read_to_string(format!("/proc/{id}/cmdline")).ok()?;
            command.contains(&self.tag).then_some(id)
        });
        processes.collect()
    }

    /// Waits for a moment with so many workers.
    async fn until_workers_are(&self, count: usize) {
        let patience = Instant::now() + Duration::from_secs(20);
        while self.workers().len() != count {
            assert!(Instant::now() < patience, "{:?} instead of {count}", self.workers());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn spec(width: u32, height: u32) -> ThumbnailSpec {
    ThumbnailSpec { width, height, method: Method::Scale, variant: Variant::Still }
}

fn policy() -> Arc<ThumbnailPolicy> {
    Arc::default()
}

#[tokio::test]
async fn a_worker_renders_what_a_thread_renders() {
    let (bench, threads) = (Bench::new(), RenderPool::new(RenderLimits::default()));
    let crop = ThumbnailSpec { method: Method::Crop, ..spec(16, 16) };
    for (source, exactly) in [
        // Decoders and encoders of JPEG are others in a worker.
        (images::photo_jpeg(1600, 1200), false),
        (images::alpha_png(200, 100), true),
        (images::gif(20, 20), true),
    ] {
        let specs = vec![spec(100, 80), crop, spec(800, 600)];
        let by_worker = bench.pool.render_all(source.clone(), specs.clone(), policy()).await.unwrap();
        let by_thread = threads.render_all(source, specs, policy()).await.unwrap();
        let outlines = |all: &[Rendered]| all.iter().map(outline).collect::<Vec<_>>();
        assert_eq!(outlines(&by_worker), outlines(&by_thread));
        assert!(by_worker == by_thread || !exactly);
    }
}

/// Type and size, and whether it is the source itself.
fn outline(rendered: &Rendered) -> (&'static str, u32, u32, bool) {
    match *rendered {
        Rendered::Image { content_type, width, height, .. } => (content_type, width, height, false),
        Rendered::Original { content_type, width, height } => (content_type, width, height, true),
    }
}

/// What is booked is enough for the decoders, their fallbacks and two allocators.
#[tokio::test]
async fn a_worker_has_memory_for_the_largest_pictures() {
    const PATIENCE: Duration = Duration::from_mins(10);
    type Picture = fn(u32, u32) -> Bytes;
    let limits = RenderLimits { workers: 1, deadline: PATIENCE, ..RenderLimits::default() };
    let bench = Bench::with(limits, &[]);
    let (width, height) = (6500, 4900);
    let sources: [(&str, Picture); 3] = [
        ("baseline", images::photo_jpeg),
        ("progressive", images::progressive_jpeg),
        ("cut in half", images::truncated_jpeg),
    ];
    for (name, source) in sources {
        let source = source(width, height);
        let rendered = bench.pool.render(source, spec(800, 600), policy()).await;
        assert!(
            matches!(rendered, Ok(Rendered::Image { width: 796, height: 600, .. })),
            "{name}: {rendered:?}"
        );
    }
    assert_eq!(bench.workers().len(), 1, "one for all");
}

#[tokio::test]
async fn a_worker_tells_what_a_source_is() {
    let bench = Bench::new();
    for (source, content_type, size, millis) in [
        (images::jpeg_with_orientation(120, 80, 6), "image/jpeg", (120, 80), None),
        (images::animated_gif(30, 20, 3), "image/gif", (30, 20), Some(300)),
        (images::png_bomb(), "image/png", (30_000, 30_000), None),
        (images::wav(12_000), "audio/wav", (0, 0), Some(1500)),
    ] {
        let bytes = source.len() as u64;
        let probed = bench.pool.probe(source.into(), bytes).await.unwrap();
        assert_eq!((probed.content_type, (probed.width, probed.height)), (content_type, size));
        assert_eq!(probed.duration, millis.map(Duration::from_millis));
    }
    let nonsense = bench.pool.probe(Bytes::from_static(b"nonsense").into(), 8).await;
    assert!(matches!(nonsense, Err(RenderError::Unsupported(_))), "{nonsense:?}");
    assert_eq!(bench.workers().len(), 1, "and serves the next");
}

#[tokio::test]
async fn one_worker_serves_one_source_after_the_other() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench.assert_well().await;
    }
    assert_eq!(bench.workers().len(), 1);
}

#[tokio::test]
async fn a_refusal_arrives_with_its_details_and_spares_the_worker() {
    let bench = Bench::new();
    let before = {
        bench.assert_well().await;
        bench.workers()
    };
    let strict = Arc::new(ThumbnailPolicy { max_pixels: 100, ..ThumbnailPolicy::default() });
    let refusal = bench.pool.render(images::png(20, 20), spec(4, 4), strict).await;
    assert!(matches!(refusal, Err(RenderError::TooManyPixels { pixels: 400, limit: 100 })), "{refusal:?}");
    let damaged = bench.render(images::png(64, 48).slice(..100)).await;
    assert!(matches!(damaged, Err(RenderError::Decode(_))), "{damaged:?}");
    assert_eq!(bench.workers(), before);
}

#[tokio::test]
async fn a_source_of_too_many_bytes_is_cut_off() {
    let bench = Bench::new();
    let strict = Arc::new(ThumbnailPolicy { max_source_bytes: 100, ..ThumbnailPolicy::default() });
    let refusal = bench.pool.render(images::png(64, 48), spec(4, 4), strict).await;
    assert!(matches!(refusal, Err(RenderError::TooManyBytes { limit: 100 })), "{refusal:?}");
    bench.assert_well().await;
}

#[tokio::test]
async fn a_source_that_breaks_off_spares_the_worker() {
    let bench = Bench::new();
    let broken = [Ok(images::png(64, 48).slice(..50)), Err(StreamError::Storage("gone".into()))];
    let source = ByteStream::new(stream::iter(broken));
    let ticket = bench.pool.admit(100).unwrap();
    let outcome = ticket.turn().await.unwrap().render(source, vec![spec(4, 4)], policy()).await;
    assert!(matches!(outcome, Err(RenderError::Source(StreamError::Storage(_)))), "{outcome:?}");
    let before = bench.workers();
    bench.assert_well().await;
    assert_eq!(bench.workers(), before);
}

#[tokio::test]
async fn a_worker_that_crashes_costs_one_source_one_error() {
    for word in ["panic", "abort", "overflow the stack"] {
        let bench = Bench::new();
        let outcome = bench.mischief(word).await;
        assert!(matches!(outcome, Err(RenderError::Crashed)), "{word}: {outcome:?}");
        bench.until_workers_are(0).await;
        bench.assert_well().await;
    }
}

#[tokio::test]
async fn a_source_gets_no_more_memory_than_was_booked_for_it() {
    let bench = Bench::new();
    let outcome = bench.mischief("allocate").await;
    assert!(matches!(outcome, Err(RenderError::Crashed)), "{outcome:?}");
}

#[tokio::test]
async fn no_worker_survives_its_deadline() {
    for word in ["hang", "hang at once", "sleep"] {
        let bench = Bench::with_deadline(Duration::from_secs(2));
        let outcome = bench.mischief(word).await;
        assert!(matches!(outcome, Err(RenderError::Deadline)), "{word}: {outcome:?}");
        bench.until_workers_are(0).await;
        bench.assert_well().await;
    }
}

#[tokio::test]
async fn a_worker_ends_when_nobody_waits_for_it() {
    let bench = Bench::new();
    {
        let mut hanging = Box::pin(bench.mischief("hang"));
        while bench.workers().is_empty() {
            let step = tokio::time::timeout(Duration::from_millis(5), &mut hanging).await;
            assert!(step.is_err(), "{step:?}");
        }
    }
    bench.until_workers_are(0).await;
}

#[tokio::test]
async fn a_worker_that_was_killed_while_idle_is_replaced() {
    let bench = Bench::new();
    bench.assert_well().await;
    for id in bench.workers() {
        let killed = std::process::Command::new("kill").args(["-9", &id.to_string()]).status().unwrap();
        assert!(killed.success());
    }
    // Whether it is dead by now or still dying.
    bench.assert_well().await;
}

#[tokio::test]
async fn idle_workers_end_with_their_pool() {
    let bench = Bench::new();
    bench.assert_well().await;
    let Bench { tag, pool } = bench;
    drop(pool);
    Bench { tag, pool: RenderPool::new(RenderLimits::default()) }.until_workers_are(0).await;
}

#[tokio::test]
async fn a_worker_can_neither_read_nor_write_nor_reach_anything() {
    let bench = Bench::new();
    for word in [
        "read a file",
        "list a directory",
        "write a file",
        "connect",
        "send",
        "start a program",
        "start a thread",
    ] {
        assert_eq!(bench.report(word).await, "error: PermissionDenied", "{word}");
    }
    assert_eq!(bench.workers().len(), 1, "none of it harms the worker");
}

#[tokio::test]
async fn a_worker_does_not_inherit_the_environment() {
    let names = Bench::new().report("environment").await;
    assert!(names.split(' ').all(|name| name.is_empty() || name.starts_with("MIMALLOC_")), "{names}");
}

#[tokio::test]
async fn a_worker_that_lies_is_a_worker_that_crashed() {
    for lie in ["no pictures", "a page", "a picture without end", "a word without end", "nonsense", "a sight"]
    {
        let outcome = Bench::telling(lie).render(images::png(64, 48)).await;
        assert!(matches!(outcome, Err(RenderError::Crashed)), "{lie}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_worker_that_cannot_be_used_is_an_error_that_says_so() {
    for bench in [Bench::telling("end at once"), {
        let command = WorkerCommand::program("/nowhere/to/be/found", ["x"]);
        let limits = RenderLimits::default();
        let pool = RenderPool::with_engine(limits, Arc::new(Workers::new(command, limits)));
        Bench { tag: String::new(), pool }
    }] {
        let outcome = bench.render(images::png(64, 48)).await;
        assert!(matches!(outcome, Err(RenderError::Worker(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn many_sources_share_as_many_workers_as_there_may_be() {
    let limits = RenderLimits { workers: 2, ..RenderLimits::default() };
    let bench = Bench::with(limits, &[]);
    let outcomes = stream::iter(0..24).map(|_| bench.assert_well()).buffer_unordered(8);
    assert_eq!(outcomes.count().await, 24);
    assert!(bench.workers().len() <= 2, "{:?}", bench.workers());
}

#[tokio::test]
async fn a_source_that_is_larger_than_the_budget_is_refused_unread() {
    let limits = RenderLimits { memory_budget_bytes: 1024 * 1024, queue: 8, ..RenderLimits::default() };
    let result = Bench::with(limits, &[]).render(vec![0; 1024 * 1024 + 1].into()).await;
    assert!(matches!(result, Err(RenderError::TooManyBytes { limit }) if limit == 1024 * 1024), "{result:?}");
}

#[tokio::test]
async fn a_source_counts_against_the_budget() {
    let picture = images::jpeg(64, 48);
    let padded = [&picture[..], &vec![0; 3 * 1024 * 1024]].concat();
    for (source, fits) in [(picture, true), (padded.into(), false)] {
        let limits = RenderLimits { memory_budget_bytes: 3 * 1024 * 1024 + 1024, ..RenderLimits::default() };
        let result = Bench::with(limits, &[]).render(source).await;
        assert_eq!(!matches!(result, Err(RenderError::TooMuchMemory { .. })), fits, "{result:?}");
    }
}
