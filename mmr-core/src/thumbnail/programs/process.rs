//! A program under way.

use std::{
    ffi::OsStr,
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use ::metrics::counter;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, ChildStderr, ChildStdout},
};

use super::{
    child::{MISSING, NOT_STARTED, Setup},
    scratch::Scratch,
};
use crate::{
    metrics,
    thumbnail::{RenderError, worker::WorkerCommand},
};

/// As much is kept of what a program complains about.
const LAST_WORDS_BYTES: usize = 4096;

/// Starts programs, locked in.
#[derive(Debug)]
pub(super) struct Starter {
    command: WorkerCommand,
    cpu_seconds: u64,
    /// Whether what the kernel lacks was said.
    announced: AtomicBool,
}

/// What to start.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) program: &'a Path,
    pub(super) scratch: &'a Scratch,
    pub(super) memory_bytes: u64,
    /// Files in the directory that it may write to.
    pub(super) writable: &'a [&'a str],
}

impl<'a> Order<'a> {
    pub(super) const fn new(program: &'a Path, scratch: &'a Scratch, memory_bytes: u64) -> Self {
        Self { program, scratch, memory_bytes, writable: &[] }
    }
}

impl Starter {
    pub(super) const fn new(command: WorkerCommand, deadline: Duration) -> Self {
        Self { command, cpu_seconds: deadline.as_secs().saturating_add(1), announced: AtomicBool::new(false) }
    }

    /// Starts a program in its directory. `name` is for metrics.
    pub(super) fn start(
        &self,
        name: &'static str,
        order: &Order<'_>,
        arguments: &[impl AsRef<OsStr>],
    ) -> io::Result<Process<'_>> {
        let Order { program, scratch, memory_bytes, writable } = order;
        for name in *writable {
            scratch.offer(name)?;
        }
        let setup = Setup {
            memory_bytes: *memory_bytes,
            cpu_seconds: self.cpu_seconds,
            directory: scratch.path().to_owned(),
            writable: writable.iter().map(|name| scratch.path().join(name)).collect(),
        };
        let mut child = self
            .command
            .command()
            .arg(serde_json::to_string(&setup)?)
            .arg(program)
            .args(arguments)
            .current_dir(scratch.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let words = LastWords { errors, text: Vec::new() };
        Ok(Process { name, starter: self, child, output, words, over: false })
    }
}

/// A program. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process<'a> {
    name: &'static str,
    starter: &'a Starter,
    child: Child,
    output: Option<ChildStdout>,
    words: LastWords,
    over: bool,
}

impl Process<'_> {
    /// Hands its output to `reader`.
    pub(super) async fn read<T, F: Future<Output = T>>(
        &mut self,
        reader: impl FnOnce(Option<ChildStdout>) -> F,
    ) -> T {
        let work = reader(self.output.take());
        self.words.meanwhile(work).await
    }

    /// What it made was of use. If it still runs it is killed.
    pub(super) fn succeeded(mut self) {
        self.over = true;
        self.count("rendered");
    }

    /// It ended without anything of use. Tells the log how.
    pub(super) async fn failed(mut self, why: &str) -> RenderError {
        let status = self.end().await;
        self.over = true;
        self.count("failed");
        let last_words = self.words.text();
        tracing::debug!(program = self.name, ?status, last_words, why, "a program made no picture");
        let last = last_words.lines().next_back().unwrap_or(why);
        let last: String = last.chars().filter(|character| !character.is_control()).take(200).collect();
        match status {
            Ok(status) if status.code() == Some(NOT_STARTED.into()) => {
                RenderError::Worker(io::Error::other(last))
            }
            Ok(status) if out_of_time(status) => RenderError::Deadline,
            Ok(_) => RenderError::decode(format!("{}: {last}", self.name)),
            Err(error) => RenderError::Worker(error),
        }
    }

    /// Waits until it has ended by itself.
    pub(super) async fn end(&mut self) -> io::Result<ExitStatus> {
        const PATIENCE: Duration = Duration::from_millis(200);
        let output = self.output.take();
        let status = self.words.meanwhile(wait(&mut self.child, output)).await;
        // What it has left in the pipe, unless somebody else holds that open.
        let _ = tokio::time::timeout(PATIENCE, self.words.rest()).await;
        self.announce_missing();
        status
    }

    fn count(&self, outcome: &'static str) {
        counter!(metrics::PROGRAMS, "program" => self.name, "outcome" => outcome).increment(1);
    }

    fn announce_missing(&self) {
        let text = String::from_utf8_lossy(&self.words.text);
        let missing: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(MISSING)).collect();
        if !missing.is_empty() && !self.starter.announced.swap(true, Ordering::Relaxed) {
            let missing = missing.join("; ");
            tracing::warn!(missing, "programs that render are not fully sandboxed");
        }
    }
}

/// Reads output that nobody wants, lest a full pipe holds the program up.
async fn wait(child: &mut Child, output: Option<ChildStdout>) -> io::Result<ExitStatus> {
    if let Some(mut output) = output {
        let mut buffer = [0; 4096];
        while output.read(&mut buffer).await? > 0 {}
    }
    child.wait().await
}

/// Whether the kernel has ended it for the processor time that it took.
fn out_of_time(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal() == Some(Signal::XCPU.as_raw())
}

impl Drop for Process<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.count("killed");
        }
        self.announce_missing();
        // All that it may have started, where the kernel could not forbid it to.
        let group = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// What a program complains about, the latest of it.
#[derive(Debug)]
struct LastWords {
    errors: Option<ChildStderr>,
    text: Vec<u8>,
}

impl LastWords {
    /// Listens while something else happens.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = self.rest() => {}
        }
        work.await
    }

    /// Listens to the end.
    async fn rest(&mut self) {
        let Self { errors, text } = self;
        if let Some(errors) = errors {
            listen(errors, text).await;
        }
        *errors = None;
    }

    /// Without what this crate wrote itself.
    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.text);
        let lines = text.lines().filter(|line| !line.starts_with(MISSING) && !line.trim().is_empty());
        lines.collect::<Vec<_>>().join("\n")
    }
}

async fn listen(errors: &mut (impl AsyncRead + Unpin), text: &mut Vec<u8>) {
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = errors.read(&mut buffer).await {
        text.extend_from_slice(&buffer[..read]);
        let surplus = text.len().saturating_sub(LAST_WORDS_BYTES);
        text.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_latest_of_many_words_is_kept() {
        let said = [vec![b'a'; 10_000], b"the end".to_vec()].concat();
        let mut text = Vec::new();
        listen(&mut said.as_slice(), &mut text).await;
        assert_eq!(text.len(), LAST_WORDS_BYTES);
        assert!(text.ends_with(b"the end"));
    }
}
