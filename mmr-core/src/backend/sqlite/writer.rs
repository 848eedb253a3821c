//! The thread that writes, in groups.

use std::{
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{checkpoint::Checkpointer, error::Closed, row::run};
use crate::store::StoreError;

/// Operations that may wait; callers beyond wait for a place.
const QUEUE: usize = 1024;
/// Operations that are committed together at most.
const GROUP: usize = 256;

/// The queue in front of the thread. Dropping it waits until the thread has finished what is queued.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Message>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

enum Message {
    Run(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

impl Writer {
    pub(super) fn start(conn: Connection, checkpointer: Checkpointer) -> Result<Self, StoreError> {
        let (queue, messages) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("mmr-sqlite-write".to_owned())
            .spawn(move || serve(conn, checkpointer, messages))
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        Ok(Self { queue: Some(queue), thread: Mutex::new(Some(thread)) })
    }

    /// Queues `operation` and waits until its group is committed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Operation { work: Some(operation), outcome: None, reply };
        let queue = self.queue.as_ref().ok_or(Closed)?;
        queue.send(Message::Run(Box::new(job))).await.map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)?
    }

    /// Finishes what is queued, takes no more, and closes the connection.
    pub(super) async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if let Some(queue) = &self.queue
            && queue.send(Message::Close(reply)).await.is_ok()
        {
            // An error means that the thread has ended, too.
            let _ = done.await;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // The thread catches the panics of operations; one of its own has nobody left to be told.
        let _ = thread.map(thread::JoinHandle::join);
    }
}

fn serve(conn: Connection, mut checkpointer: Checkpointer, mut messages: mpsc::Receiver<Message>) {
    let mut waiting_for_close = Vec::new();
    let mut group = Vec::new();
    while messages.blocking_recv_many(&mut group, GROUP) > 0 {
        let mut jobs = Vec::with_capacity(group.len());
        for message in group.drain(..) {
            match message {
                Message::Run(job) => jobs.push(job),
                Message::Close(reply) => {
                    messages.close();
                    waiting_for_close.push(reply);
                }
            }
        }
        commit_group(&conn, jobs);
        checkpointer.after_commit(&conn);
    }
    checkpointer.finish(&conn);
    drop(conn);
    for reply in waiting_for_close {
        // An error means that nobody waits any more.
        let _ = reply.send(());
    }
}

/// Runs all jobs in one transaction, each in a savepoint of its own, and answers them when it is committed.
fn commit_group(conn: &Connection, mut jobs: Vec<Box<dyn Job>>) {
    let result = run_group(conn, &mut jobs).map_err(GroupError::from);
    if result.is_err() && !conn.is_autocommit() {
        // Should this fail, the next BEGIN will, and its callers are told.
        let _ = run(conn, "ROLLBACK", []);
    }
    for job in jobs {
        job.answer(result.as_ref().copied());
    }
}

fn run_group(conn: &Connection, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    if jobs.is_empty() {
        return Ok(());
    }
    run(conn, "BEGIN IMMEDIATE", [])?;
    for job in jobs {
        run(conn, "SAVEPOINT job", [])?;
        let succeeded = job.run(conn);
        if conn.is_autocommit() {
            // A full disk, for one, ends the whole transaction.
            return Err(StoreError::Unavailable(
                "the transaction was rolled back by an operation in it".into(),
            ));
        }
        if !succeeded {
            run(conn, "ROLLBACK TO job", [])?;
        }
        run(conn, "RELEASE job", [])?;
    }
    run(conn, "COMMIT", []).map(drop)
}

/// Why a whole group failed; shared by all of its callers.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the transaction that the operation was part of failed")]
struct GroupError(#[source] Arc<dyn Error + Send + Sync>);

impl From<StoreError> for GroupError {
    fn from(error: StoreError) -> Self {
        Self(Arc::new(error))
    }
}

/// An operation whose result type is forgotten.
trait Job: Send {
    /// Runs it once. False when its changes must be undone.
    fn run(&mut self, conn: &Connection) -> bool;

    /// Tells the caller, if it is still there, once it is known what became of the group.
    fn answer(self: Box<Self>, group: Result<(), &GroupError>);
}

struct Operation<T, F> {
    work: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Operation<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, conn: &Connection) -> bool {
        let Some(work) = self.work.take() else { return false };
        let outcome = catch_unwind(AssertUnwindSafe(|| work(conn)))
            .unwrap_or_else(|_| Err(StoreError::Other("the operation panicked".into())));
        self.outcome.insert(outcome).is_ok()
    }

    fn answer(self: Box<Self>, group: Result<(), &GroupError>) {
        let answer = match (self.outcome, group) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(error)) => Err(StoreError::Unavailable(Box::new(error.clone()))),
            (None, Ok(())) => Err(Closed.into()),
        };
        // An error means that the caller has gone.
        let _ = self.reply.send(answer);
    }
}
