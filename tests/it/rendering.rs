//! How often pictures are decoded for the thumbnails that are asked for, and what is kept of them.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all};
use http::{Method, StatusCode};
use mmr_core::{
    backend::{memory::MemoryStore, object_store::ObjectStoreDatastore},
    datastore::Datastore,
    policy::{ServerPolicy, ThumbnailPolicy},
    store::MediaStore,
    stream::ByteStream,
    testing::{
        fault::{FaultPlan, FaultyStore},
        fixtures::Gate,
        images,
    },
    thumbnail::{Planned, RenderEngine, RenderError, RenderLimits, RenderOrder, Threads, formats},
};
use mmr_test_support::{ALICE, BOB, TestServer, TestServerBuilder};
use serde_json::json;

/// Renders on threads, and remembers what it was given.
#[derive(Debug)]
struct Watched {
    threads: Threads,
    /// Length of each source, and how many thumbnails were wanted of it.
    orders: Mutex<Vec<(usize, usize)>>,
    /// Stands in front of every rendering.
    gate: Option<Gate>,
}

impl Watched {
    fn new() -> Arc<Self> {
        Self::behind(None)
    }

    fn behind(gate: Option<Gate>) -> Arc<Self> {
        let threads = Threads::new(formats::renderers());
        Arc::new(Self { threads, orders: Mutex::default(), gate })
    }

    fn orders(&self) -> Vec<(usize, usize)> {
        self.orders.lock().expect("nobody panicked").clone()
    }
}

#[async_trait]
impl RenderEngine for Watched {
    async fn prepare(&self, mut order: RenderOrder) -> Result<Planned, RenderError> {
        let source = order.source.collect_up_to(u64::MAX).await.map_err(RenderError::Source)?;
        self.orders.lock().expect("nobody panicked").push((source.len(), order.specs.len()));
        order.source = ByteStream::from(source);
        if let Some(gate) = &self.gate {
            gate.pass().await;
        }
        self.threads.prepare(order).await
    }
}

/// A server whose one worker is watched.
async fn server(engine: &Arc<Watched>, thumbnails: ThumbnailPolicy) -> TestServer {
    let policy = ServerPolicy { thumbnails: Arc::new(thumbnails), ..ServerPolicy::default() };
    let render = RenderLimits { workers: 1, ..RenderLimits::default() };
    builder(engine, render, policy).start().await
}

fn builder(engine: &Arc<Watched>, render: RenderLimits, policy: ServerPolicy) -> TestServerBuilder {
    let engine: Arc<dyn RenderEngine> = Arc::<Watched>::clone(engine);
    TestServerBuilder { policy, render, engine: Some(engine), ..TestServerBuilder::default() }
}

fn target(uri: &str, query: &str) -> String {
    format!("/_matrix/client/v1/media/thumbnail/{uri}?{query}")
}

/// Each of the sizes that are configured by default.
const SIZES: [&str; 5] = [
    "width=32&height=32&method=crop",
    "width=96&height=96&method=crop",
    "width=320&height=240",
    "width=640&height=480",
    "width=800&height=600",
];

async fn objects(server: &TestServer) -> usize {
    server.datastore.list(None).count().await
}

/// A picture of which the largest thumbnail is made along with any other.
fn large_photo() -> Bytes {
    let photo = images::photo_jpeg(2400, 1800);
    assert!(photo.len() > 512 * 1024, "{} bytes", photo.len());
    photo
}

#[tokio::test]
async fn sizes_that_are_asked_for_together_come_from_one_decode() {
    let gate = Gate::new();
    let engine = Watched::behind(Some(gate.clone()));
    let plan = FaultPlan::counting();
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new()), plan.clone()));
    let render = RenderLimits { workers: 1, ..RenderLimits::default() };
    let server =
        TestServerBuilder { store: Some(store), ..builder(&engine, render, ServerPolicy::default()) };
    let server = server.start().await;
    let before = server.client.upload(ALICE, "image/png", images::png(64, 64)).await;
    let picture = images::photo_jpeg(1600, 1200);
    let uri = server.client.upload(ALICE, "image/jpeg", picture.clone()).await;
    // The one worker is busy while all of them come.
    let busy_target = target(&before, SIZES[0]);
    let busy = server.client.get(&busy_target, BOB);
    let targets = SIZES.map(|query| target(&uri, query));
    let together = async {
        gate.reached().await;
        let asked = join_all(targets.iter().map(|target| server.client.get(target, BOB)));
        // Whoever has looked for a thumbnail in vain joins those who wait; the first has looked, too.
        let all_wait = async {
            while plan.log().iter().filter(|call| **call == "ThumbnailIndex::thumbnail").count() < 6 {
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
            gate.open();
        };
        tokio::join!(asked, all_wait).0
    };
    let (_, replies) = tokio::join!(busy, together);
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK));
    assert_eq!(engine.orders().last(), Some(&(picture.len(), 5)));
    assert_eq!(engine.orders().len(), 2);
}

#[tokio::test]
async fn a_small_size_comes_from_a_larger_one_that_is_there() {
    let engine = Watched::new();
    let server = server(&engine, ThumbnailPolicy::default()).await;
    let picture = images::photo_jpeg(1600, 1200);
    let uri = server.client.upload(ALICE, "image/jpeg", picture.clone()).await;
    let large = server.client.get(&target(&uri, "width=800&height=600"), BOB).await;
    let small = server.client.get(&target(&uri, "width=320&height=240"), BOB).await;
    assert_eq!(small.status, StatusCode::OK);
    assert_eq!(engine.orders(), [(picture.len(), 1), (large.body.len(), 1)]);
}

#[tokio::test]
async fn a_size_that_would_suffer_comes_from_the_original() {
    let engine = Watched::new();
    let server = server(&engine, ThumbnailPolicy::default()).await;
    let picture = images::photo_jpeg(1600, 1200);
    let uri = server.client.upload(ALICE, "image/jpeg", picture.clone()).await;
    server.client.get(&target(&uri, "width=800&height=600"), BOB).await;
    server.client.get(&target(&uri, "width=640&height=480"), BOB).await;
    assert_eq!(engine.orders(), [(picture.len(), 1), (picture.len(), 1)]);
}

#[tokio::test]
async fn a_large_picture_is_decoded_once_for_what_comes_soon_after() {
    let engine = Watched::new();
    let server = server(&engine, ThumbnailPolicy::default()).await;
    let picture = large_photo();
    let uri = server.client.upload(ALICE, "image/jpeg", picture.clone()).await;
    for query in [
        "width=96&height=96&method=crop",
        "width=800&height=600",
        "width=640&height=480",
        "width=320&height=240",
    ] {
        assert_eq!(server.client.get(&target(&uri, query), BOB).await.status, StatusCode::OK);
    }
    let decoded = engine.orders().iter().filter(|(len, _)| *len == picture.len()).count();
    assert_eq!((decoded, engine.orders().len()), (1, 2), "{:?}", engine.orders());
}

#[tokio::test]
async fn a_file_that_failed_costs_once() {
    let engine = Watched::new();
    let server =
        server(&engine, ThumbnailPolicy { max_pixels: 1_000_000, ..ThumbnailPolicy::default() }).await;
    for (source, status) in [
        (images::png(100, 100).slice(..200), (400, "M_UNKNOWN")),
        (Bytes::from_static(b"no picture at all"), (400, "M_UNKNOWN")),
        (images::black_png(2000, 1000), (413, "M_TOO_LARGE")),
    ] {
        let uri = server.client.upload(ALICE, "image/png", source).await;
        let before = engine.orders().len();
        for query in SIZES {
            let reply = server.client.get(&target(&uri, query), BOB).await;
            assert_eq!(reply.error(), (status.0, status.1.to_owned()));
        }
        assert_eq!(engine.orders().len(), before + 1);
    }
}

/// Crashes, and counts how often.
#[derive(Debug, Default)]
struct Crashing(AtomicU32);

#[async_trait]
impl RenderEngine for Crashing {
    async fn prepare(&self, _: RenderOrder) -> Result<Planned, RenderError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(RenderError::Crashed)
    }
}

#[tokio::test]
async fn a_header_that_crashes_its_reader_costs_once() {
    let engine = Arc::new(Crashing::default());
    let watched: Arc<dyn RenderEngine> = Arc::<Crashing>::clone(&engine);
    let server = TestServerBuilder { engine: Some(watched), ..TestServerBuilder::default() }.start().await;
    let uri = server.client.upload(ALICE, "image/png", images::png(64, 64)).await;
    for _ in 0..2 {
        let info = server.client.get(&format!("/_matrix/media/unstable/info/{uri}"), BOB).await;
        assert_eq!((info.status, &info.json()["width"]), (StatusCode::OK, &json!(null)));
    }
    assert_eq!(server.client.get(&target(&uri, SIZES[0]), BOB).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(engine.0.load(Ordering::Relaxed), 1);
}

/// Fails in one way.
#[derive(Debug)]
struct Failing(fn() -> RenderError);

#[async_trait]
impl RenderEngine for Failing {
    async fn prepare(&self, _: RenderOrder) -> Result<Planned, RenderError> {
        Err((self.0)())
    }
}

/// What is answered where rendering fails like this.
async fn answer_to(failure: fn() -> RenderError) -> (u16, String, String) {
    let engine: Option<Arc<dyn RenderEngine>> = Some(Arc::new(Failing(failure)));
    let server = TestServerBuilder { engine, ..TestServerBuilder::default() }.start().await;
    let uri = server.client.upload(ALICE, "image/png", images::png(64, 64)).await;
    let reply = server.client.get(&target(&uri, SIZES[0]), BOB).await;
    let (status, errcode) = reply.error();
    (status, errcode, reply.json()["error"].as_str().expect("a message").to_owned())
}

#[tokio::test]
async fn a_source_that_is_too_large_is_told_the_limit_and_its_setting() {
    for (failure, message) in [
        (
            (|| RenderError::TooManyPixels { pixels: 9, limit: 5 }) as fn() -> RenderError,
            "The media is larger than the 5 pixels that thumbnails.maxPixels allows",
        ),
        (
            || RenderError::TooMuchMemory { pixels: 9, limit: 5 },
            "The media is larger than the 5 pixels for which thumbnails.memoryBudgetBytes has room",
        ),
        (
            || RenderError::TooManyBytes { limit: 5 },
            "The media is larger than the 5 bytes that thumbnails.maxSourceBytes allows",
        ),
    ] {
        assert_eq!(answer_to(failure).await, (413, "M_TOO_LARGE".to_owned(), message.to_owned()));
    }
}

#[tokio::test]
async fn a_source_that_cannot_be_rendered_is_told_why() {
    for (failure, message) in [
        (
            (|| RenderError::decode("no end")) as fn() -> RenderError,
            "Cannot make a thumbnail: source cannot be decoded: no end",
        ),
        (
            || RenderError::Unsupported("format is not known".to_owned()),
            "Cannot make a thumbnail: source cannot be thumbnailed: format is not known",
        ),
        (|| RenderError::Crashed, "Cannot make a thumbnail: its decoder failed"),
        (
            || RenderError::Deadline,
            "Cannot make a thumbnail: rendering took longer than thumbnails.renderTimeoutSeconds",
        ),
    ] {
        assert_eq!(answer_to(failure).await, (400, "M_UNKNOWN".to_owned(), message.to_owned()));
    }
}

#[tokio::test]
async fn a_type_that_is_not_enabled_is_told_the_setting() {
    let server = TestServer::start().await;
    let uri = server.client.upload(ALICE, "image/bmp", images::bmp(64, 64)).await;
    let reply = server.client.get(&target(&uri, SIZES[0]), BOB).await;
    assert_eq!(reply.error(), (400, "M_UNKNOWN".to_owned()));
    let message = reply.json()["error"].as_str().expect("a message").to_owned();
    assert!(message.ends_with("image/bmp is not among thumbnails.types"), "{message}");
}

#[tokio::test]
async fn a_picture_that_no_memory_holds_is_told_the_setting() {
    let render = RenderLimits { memory_budget_bytes: 1024 * 1024, ..RenderLimits::default() };
    let server = TestServerBuilder { render, ..TestServerBuilder::default() }.start().await;
    let uri = server.client.upload(ALICE, "image/png", images::black_png(2000, 1000)).await;
    let reply = server.client.get(&target(&uri, SIZES[0]), BOB).await;
    assert_eq!(reply.error(), (413, "M_TOO_LARGE".to_owned()));
    let message = reply.json()["error"].as_str().expect("a message").to_owned();
    assert!(message.contains("thumbnails.memoryBudgetBytes"), "{message}");
}

#[tokio::test]
async fn unusual_sizes_are_rendered_but_not_kept() {
    for dynamic_sizing in [false, true] {
        let engine = Watched::new();
        let server = server(&engine, ThumbnailPolicy { dynamic_sizing, ..ThumbnailPolicy::default() }).await;
        let uri = server.client.upload(ALICE, "image/png", images::png(400, 300)).await;
        let before = objects(&server).await;
        for width in 201..221 {
            let unusual = target(&uri, &format!("width={width}&height=77&method=crop"));
            let reply = server.client.get(&unusual, BOB).await;
            assert_eq!(reply.status, StatusCode::OK);
        }
        assert_eq!(objects(&server).await, before);
        let again = target(&uri, "width=201&height=77&method=crop");
        let rendered = engine.orders().len();
        assert_eq!(server.client.get(&again, BOB).await.status, StatusCode::OK);
        assert_eq!(engine.orders().len(), rendered, "remembered for a while");
    }
}

#[tokio::test]
async fn a_rendering_ends_when_its_client_leaves() {
    let gate = Gate::new();
    let engine = Watched::behind(Some(gate.clone()));
    let server = server(&engine, ThumbnailPolicy::default()).await;
    let uri = server.client.upload(ALICE, "image/png", images::png(200, 200)).await;
    let wanted = target(&uri, SIZES[1]);
    {
        let mut leaving = Box::pin(server.client.get(&wanted, BOB));
        tokio::select! {
            () = gate.reached() => {}
            _ = &mut leaving => panic!("the gate is closed"),
        }
    }
    // The one worker is free again although the gate has stayed closed.
    let other = server.client.upload(ALICE, "image/png", images::png(300, 200)).await;
    let second = target(&other, SIZES[1]);
    let asked = server.client.get(&second, BOB);
    let opened = async {
        while engine.orders().len() < 2 {
            tokio::task::yield_now().await;
        }
        gate.open();
    };
    let (reply, ()) = tokio::join!(asked, opened);
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn a_full_queue_answers_at_once_and_says_when_to_come_back() {
    let gate = Gate::new();
    let engine = Watched::behind(Some(gate.clone()));
    let render = RenderLimits { workers: 1, queue: 0, ..RenderLimits::default() };
    let server = builder(&engine, render, ServerPolicy::default()).start().await;
    let first = server.client.upload(ALICE, "image/png", images::png(200, 200)).await;
    let second = server.client.upload(ALICE, "image/png", images::png(300, 200)).await;
    let wanted = target(&first, SIZES[1]);
    let asked = server.client.get(&wanted, BOB);
    let refused = async {
        gate.reached().await;
        let reply = server.client.get(&target(&second, SIZES[1]), BOB).await;
        gate.open();
        reply
    };
    let (reply, refused) = tokio::join!(asked, refused);
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(refused.error(), (429, "M_LIMIT_EXCEEDED".to_owned()));
    assert_eq!(refused.header("Retry-After"), "5");
    let later = server.client.get(&target(&second, SIZES[1]), BOB).await;
    assert_eq!(later.status, StatusCode::OK, "a full queue is not remembered as a failure");
}

#[tokio::test]
async fn a_picture_is_rendered_once_for_all_nodes() {
    let store: Arc<dyn MediaStore> = Arc::new(MemoryStore::new());
    let datastore: Arc<dyn Datastore> = Arc::new(ObjectStoreDatastore::in_memory());
    let gate = Gate::new();
    let engine = Watched::behind(Some(gate.clone()));
    let node = || TestServerBuilder {
        store: Some(Arc::clone(&store)),
        datastore: Some(Arc::clone(&datastore)),
        shared: true,
        ..builder(&engine, RenderLimits::default(), ServerPolicy::default())
    };
    let (a, b) = (node().start().await, node().start().await);
    let uri = a.client.upload(ALICE, "image/png", images::png(200, 200)).await;
    let wanted = target(&uri, SIZES[1]);
    let replies = join_all([&a, &b].map(|node| node.client.get(&wanted, BOB)));
    let opened = async {
        gate.reached().await;
        gate.open();
    };
    let (replies, ()) = tokio::join!(replies, opened);
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK && reply.body == replies[0].body));
    assert_eq!(engine.orders().len(), 1);
}

#[tokio::test]
async fn an_answer_depends_on_what_the_client_accepts_and_says_so() {
    let server = server(&Watched::new(), ThumbnailPolicy::default()).await;
    let uri = server.client.upload(ALICE, "image/png", images::png(200, 200)).await;
    let wanted = target(&uri, SIZES[1]);
    let plain = server.client.get(&wanted, BOB).await;
    assert_eq!((plain.header("Content-Type"), plain.header("Vary")), ("image/png", "Accept"));
    let call = server.client.call(Method::GET, &wanted).token(BOB).header("Accept", "image/webp,*/*");
    assert_eq!(call.send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn no_more_files_are_rendered_at_once_than_there_are_workers() {
    for workers in [1, 2] {
        let (gate, plan) = (Gate::new(), FaultPlan::counting());
        let engine = Watched::behind(Some(gate.clone()));
        let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new()), plan.clone()));
        let render = RenderLimits { workers, ..RenderLimits::default() };
        let server =
            TestServerBuilder { store: Some(store), ..builder(&engine, render, ServerPolicy::default()) };
        let server = server.start().await;
        let mut targets = Vec::new();
        for width in [200, 300, 400, 500] {
            let uri = server.client.upload(ALICE, "image/png", images::png(width, 200)).await;
            targets.push(target(&uri, SIZES[1]));
        }
        let asked = join_all(targets.iter().map(|target| server.client.get(target, BOB)));
        let at_once = async {
            while plan.log().iter().filter(|call| **call == "ThumbnailIndex::thumbnail").count() < 4
                || engine.orders().len() < workers
            {
                tokio::task::yield_now().await;
            }
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            let at_once = engine.orders().len();
            gate.open();
            at_once
        };
        let (replies, at_once) = tokio::join!(asked, at_once);
        assert!(replies.iter().all(|reply| reply.status == StatusCode::OK));
        assert_eq!((at_once, engine.orders().len()), (workers, 4));
    }
}
