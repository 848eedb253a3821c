//! The side of whoever wants thumbnails.

use std::{
    io,
    process::Stdio,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStderr, ChildStdin, ChildStdout},
    time::Instant,
};

use super::{
    command::WorkerCommand,
    protocol::{
        Answer, BROKEN_OFF, Listening, MAX_ANSWER_BYTES, MAX_PICTURE_BYTES, Order, Picture, Ready, Setup,
        Verdict,
    },
};
use crate::{
    lifecycle::Background,
    metrics,
    stream::{ByteStream, StreamError},
    thumbnail::{
        Cost, Held, Job, Planned, RenderEngine, RenderError, RenderLimits, RenderOrder, Rendered, Running,
    },
};

/// Workers that wait for something to do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Workers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    command: WorkerCommand,
    setup: Setup,
    idle: Mutex<Vec<Idle>>,
    /// Whether what the kernel lacks was said.
    announced: AtomicBool,
    /// Whether somebody looks after those that are idle for long.
    attended: AtomicBool,
    background: Background,
}

#[derive(Debug)]
struct Idle {
    worker: Worker,
    since: Instant,
}

/// After this long without work a worker ends.
const IDLE: Duration = Duration::from_mins(1);
/// After this many sources a worker is replaced, in case its decoders leak.
const SOURCES: u32 = 1000;

impl Workers {
    /// Starts none yet. Of `limits` a worker needs the memory and the deadline.
    #[must_use]
    pub fn new(command: WorkerCommand, limits: RenderLimits) -> Self {
        let setup = Setup {
            memory_bytes: limits.memory_budget_bytes,
            cpu_seconds: limits.deadline.as_secs().saturating_add(1),
        };
        Self(Arc::new(Inner {
            command,
            setup,
            idle: Mutex::default(),
            announced: AtomicBool::new(false),
            attended: AtomicBool::new(false),
            background: Background::new(),
        }))
    }

    /// Starts one and sees whether it works. Answers what the kernel does not have of its sandbox, one remark for each.
    ///
    /// # Errors
    /// [`RenderError::Worker`] when it does not work.
    pub async fn probe(&self) -> Result<Vec<String>, RenderError> {
        let (worker, ready) = self.launch().await?;
        self.put_back(worker);
        Ok(ready.missing)
    }

    /// A worker that waits for the source. One that died while it was idle costs nobody anything.
    async fn take(&self, order: &Order) -> Result<Worker, RenderError> {
        loop {
            let idle = self.0.idle().pop();
            let Some(Idle { mut worker, .. }) = idle else { break };
            if worker.order(order).await.is_ok() {
                return Ok(worker);
            }
            worker.busy = false;
        }
        let mut worker = self.start().await?;
        worker.order(order).await.map_err(RenderError::Worker)?;
        Ok(worker)
    }

    async fn start(&self) -> Result<Worker, RenderError> {
        let (worker, ready) = self.launch().await?;
        if !ready.missing.is_empty() && !self.0.announced.swap(true, Ordering::Relaxed) {
            let missing = ready.missing.join("; ");
            tracing::warn!(missing, "render workers are not fully sandboxed");
        }
        Ok(worker)
    }

    async fn launch(&self) -> Result<(Worker, Ready), RenderError> {
        let launched = Worker::start(&self.0.command, self.0.setup).await.map_err(RenderError::Worker)?;
        count("started");
        Ok(launched)
    }

    fn put_back(&self, mut worker: Worker) {
        worker.sources += 1;
        if worker.sources >= SOURCES {
            return;
        }
        self.0.idle().push(Idle { worker, since: Instant::now() });
        if !self.0.attended.swap(true, Ordering::Relaxed) {
            self.0.background.spawn_until_stop(attend(Arc::downgrade(&self.0)));
        }
    }

    async fn serve(&self, order: RenderOrder) -> Result<Planned, RenderError> {
        let RenderOrder { source, expected_bytes, specs, policy, held } = order;
        let limit = self.0.setup.memory_bytes;
        if expected_bytes > limit {
            return Err(RenderError::TooManyBytes { limit });
        }
        let mut worker = self.take(&Order::new(&specs, &policy, expected_bytes)).await?;
        let answer = async {
            match worker.feed(source, policy.max_source_bytes).await? {
                Ok(bytes) => Ok(Ok((bytes, worker.answer().await?))),
                Err(broken) => Ok(Err(broken)),
            }
        };
        let (source_bytes, answer) = match answer.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(broken)) => {
                self.put_back(worker);
                return Err(broken);
            }
            Err(error) => return Err(worker.obituary(&error).await),
        };
        match answer {
            Answer::Planned { pixels, required_bytes, at_worst_bytes } => {
                let this = self.clone();
                let memory_bytes = required_bytes.saturating_add(at_worst_bytes);
                let required_bytes = required_bytes.saturating_add(source_bytes);
                let cost = Cost { pixels, required_bytes, at_worst_bytes };
                let run = Box::new(move |memory| -> Running {
                    Box::pin(this.finish(worker, memory_bytes, held.and(memory)))
                });
                Ok(Planned::Job(Job { cost, run }))
            }
            Answer::Seen(seen) => {
                let Some(probed) = seen.into_probed() else {
                    return Err(worker.obituary(&io::Error::other("it saw what nobody knows")).await);
                };
                self.put_back(worker);
                Ok(Planned::Seen(probed))
            }
            Answer::Done(pictures) => self.collect(worker, pictures).await.map(Planned::Done),
            Answer::Failed(failure) => {
                self.put_back(worker);
                Err(failure.into())
            }
        }
    }

    async fn finish(
        self,
        mut worker: Worker,
        memory_bytes: u64,
        _held: Held,
    ) -> Result<Vec<Rendered>, RenderError> {
        let answer = match worker.say(&Verdict::Go { memory_bytes }).await {
            Ok(()) => worker.answer().await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(Answer::Done(pictures)) => self.collect(worker, pictures).await,
            Ok(Answer::Failed(failure)) => {
                self.put_back(worker);
                Err(failure.into())
            }
            Ok(Answer::Planned { .. } | Answer::Seen(_)) => {
                Err(worker.obituary(&io::Error::other("it was told to go and looks again")).await)
            }
            Err(error) => Err(worker.obituary(&error).await),
        }
    }

    async fn collect(
        &self,
        mut worker: Worker,
        pictures: Vec<Picture>,
    ) -> Result<Vec<Rendered>, RenderError> {
        match worker.pictures(pictures).await {
            Ok(rendered) => {
                self.put_back(worker);
                Ok(rendered)
            }
            Err(error) => Err(worker.obituary(&error).await),
        }
    }
}

#[async_trait]
impl RenderEngine for Workers {
    async fn prepare(&self, order: RenderOrder) -> Result<Planned, RenderError> {
        self.serve(order).await
    }
}

impl Inner {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends workers that are idle for long, and itself with the last of them.
async fn attend(workers: Weak<Inner>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(workers) = workers.upgrade() else { return };
        let mut idle = workers.idle();
        idle.retain(|idle| idle.since.elapsed() < IDLE);
        if idle.is_empty() {
            // Under the lock, so that whoever comes back next sees it.
            workers.attended.store(false, Ordering::Relaxed);
            return;
        }
    }
}

/// One process. Dropping it kills it.
#[derive(Debug)]
struct Worker {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    errors: ChildStderr,
    sources: u32,
    busy: bool,
}

impl Worker {
    async fn start(command: &WorkerCommand, setup: Setup) -> io::Result<(Self, Ready)> {
        let mut child = command
            .command()
            // The limit of memory counts what the allocator takes in advance.
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(io::Error::other("a worker has no pipes"));
        };
        widen(&input);
        let mut worker = Self { child, input, output, errors, sources: 0, busy: false };
        worker.say(&setup).await?;
        let ready = worker.hear().await?;
        worker.busy = false;
        Ok((worker, ready))
    }

    /// Tells it what to make of the source that comes next.
    async fn order(&mut self, order: &Order) -> io::Result<()> {
        self.say(order).await?;
        self.hear::<Listening>().await.map(|Listening| ())
    }

    async fn say(&mut self, word: &(impl Serialize + Sync)) -> io::Result<()> {
        self.busy = true;
        let word = serde_json::to_vec(word)?;
        let len = u32::try_from(word.len()).map_err(io::Error::other)?;
        let mut frame = Vec::with_capacity(4 + word.len());
        frame.extend_from_slice(&len.to_le_bytes());
        frame.extend_from_slice(&word);
        self.input.write_all(&frame).await
    }

    async fn hear<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let word = self.frame(MAX_ANSWER_BYTES).await?;
        Ok(serde_json::from_slice(&word)?)
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        let answer = self.hear().await?;
        self.busy = matches!(answer, Answer::Planned { .. });
        Ok(answer)
    }

    async fn frame(&mut self, limit: u32) -> io::Result<Vec<u8>> {
        let len = self.output.read_u32_le().await?;
        if len > limit {
            return Err(io::Error::other("it says more than it may"));
        }
        let mut frame = Vec::new();
        let read = (&mut self.output).take(len.into()).read_to_end(&mut frame).await?;
        if read < len as usize { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(frame) }
    }

    /// Passes the source on, and answers how many bytes that were. The inner error is the source's.
    async fn feed(&mut self, source: ByteStream, limit: u64) -> io::Result<Result<u64, RenderError>> {
        let mut source = source.limited(limit);
        let mut bytes = 0;
        while let Some(chunk) = source.next().await {
            match chunk {
                Ok(chunk) => {
                    bytes += chunk.len() as u64;
                    self.chunk(&chunk).await?;
                }
                Err(error) => {
                    self.input.write_u32_le(BROKEN_OFF).await?;
                    self.busy = false;
                    return Ok(Err(match error {
                        StreamError::TooLarge { limit } => RenderError::TooManyBytes { limit },
                        error => RenderError::Source(error),
                    }));
                }
            }
        }
        self.input.write_u32_le(0).await.map(|()| Ok(bytes))
    }

    async fn chunk(&mut self, chunk: &Bytes) -> io::Result<()> {
        // An empty frame would end the source.
        for part in chunk.chunks(1024 * 1024 * 1024) {
            self.input.write_u32_le(u32::try_from(part.len()).map_err(io::Error::other)?).await?;
            self.input.write_all(part).await?;
        }
        Ok(())
    }

    async fn pictures(&mut self, pictures: Vec<Picture>) -> io::Result<Vec<Rendered>> {
        self.busy = true;
        let mut rendered = Vec::with_capacity(pictures.len());
        for picture in pictures {
            let bytes = if picture.original { Vec::new() } else { self.frame(MAX_PICTURE_BYTES).await? };
            let picture = picture.into_rendered(bytes.into());
            rendered.push(picture.ok_or_else(|| io::Error::other("it made what no renderer makes"))?);
        }
        self.busy = false;
        Ok(rendered)
    }

    /// Tells the log how it ended.
    async fn obituary(mut self, error: &io::Error) -> RenderError {
        const PATIENCE: Duration = Duration::from_millis(200);
        self.busy = false;
        let _ = self.child.start_kill();
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = status.map_or_else(|_| "unknown".to_owned(), |status| format!("{status:?}"));
        let mut last_words = Vec::new();
        let mut errors = (&mut self.errors).take(4096);
        let _ = tokio::time::timeout(PATIENCE, errors.read_to_end(&mut last_words)).await;
        let last_words = String::from_utf8_lossy(&last_words);
        tracing::warn!(%error, status, last_words = last_words.trim_end(), "a render worker crashed");
        count("crashed");
        RenderError::Crashed
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.busy {
            count("killed");
        }
    }
}

/// Sources of some megabytes go over in a few steps.
fn widen(pipe: &ChildStdin) {
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, 1024 * 1024);
}

fn count(event: &'static str) {
    ::metrics::counter!(metrics::WORKERS, "event" => event).increment(1);
}
