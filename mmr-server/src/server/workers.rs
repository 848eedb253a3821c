//! Threads that each run their own share of the connections.
//!
//! A connection stays on its thread, so that answering a request from memory wakes no other thread and shares no queue. At
//! 10 KB that is a third of the processor time of a request. Idle threads do not take over from busy ones; connections are
//! dealt out in turn, and what computes for long (pictures, cold reads) is done on blocking threads anyway.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Blocking threads of all workers together: enough to keep several disks busy, few enough to bound their stacks.
const BLOCKING_THREADS: usize = 32;
/// How long a blocking thread is kept for the next burst.
const KEEP_THREADS: Duration = Duration::from_secs(2);

/// Runs connections. Cheap to clone; the threads end with the last clone.
#[derive(Clone, Debug)]
pub struct Workers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handles: Vec<Handle>,
    next: AtomicUsize,
    _stop: DropGuard,
}

impl Workers {
    /// Starts `count` threads, at least one.
    ///
    /// Errors when the operating system gives no more threads.
    pub fn start(count: usize) -> io::Result<Self> {
        let count = count.max(1);
        let stop = CancellationToken::new();
        let handles = (0..count).map(|index| start(index, count, stop.clone())).collect::<io::Result<_>>()?;
        Ok(Self(Arc::new(Inner { handles, next: AtomicUsize::new(0), _stop: stop.drop_guard() })))
    }

    /// One thread for every two processors: the others render, read disks, write the database, and run what stands beside.
    ///
    /// Errors when the operating system gives no more threads.
    pub fn start_for_processors() -> io::Result<Self> {
        Self::start(thread::available_parallelism().map_or(1, usize::from) / 2)
    }

    /// The thread whose turn it is.
    pub(super) fn next(&self) -> &Handle {
        let turn = self.0.next.fetch_add(1, Ordering::Relaxed);
        &self.0.handles[turn % self.0.handles.len()]
    }
}

fn start(index: usize, count: usize, stop: CancellationToken) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads((BLOCKING_THREADS / count).max(8))
        .thread_keep_alive(KEEP_THREADS)
        .build()?;
    let handle = runtime.handle().clone();
    let run = move || runtime.block_on(stop.cancelled());
    thread::Builder::new().name(format!("connections-{index}")).spawn(run)?;
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_dealt_out_in_turn() {
        let workers = Workers::start(2).unwrap();
        let runtime = Builder::new_current_thread().build().unwrap();
        let name = |handle: &Handle| {
            let named = handle.spawn(async { thread::current().name().map(str::to_owned) });
            runtime.block_on(named).unwrap().unwrap()
        };
        let names: Vec<_> = (0..4).map(|_| name(workers.next())).collect();
        assert_eq!(names, ["connections-0", "connections-1", "connections-0", "connections-1"]);
    }
}
