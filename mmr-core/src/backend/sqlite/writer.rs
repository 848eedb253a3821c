//! The thread that writes, in groups.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
    thread,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{checkpoint::Checkpointer, error::Closed, row::run};
use crate::{backend::group::GroupError, store::StoreError};

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

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, sync::mpsc as std_mpsc};

    use futures_util::future::join_all;
    use tempfile::TempDir;

    use super::*;
    use crate::backend::sqlite::{SqliteOptions, conn};

    struct Database {
        directory: TempDir,
        writer: Writer,
    }

    impl Database {
        fn new() -> Self {
            let directory = TempDir::new().unwrap();
            let path = directory.path().join("db");
            let options = SqliteOptions { sync: false, ..SqliteOptions::default() };
            let mut conn = conn::open_writer(&path, &options).unwrap();
            conn.execute_batch(
                "CREATE TABLE numbers (n INTEGER PRIMARY KEY, below INTEGER REFERENCES numbers (n))",
            )
            .unwrap();
            let checkpointer = Checkpointer::start(&path, &options, &mut conn).unwrap();
            Self { writer: Writer::start(conn, checkpointer).unwrap(), directory }
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("db")
        }

        fn numbers(&self) -> Vec<i64> {
            numbers(&Connection::open(self.path()).unwrap())
        }

        /// Runs the operations in one group: the writer is kept busy until all of them wait.
        async fn in_one_group(&self, operations: Vec<Boxed>) -> Vec<Result<(), StoreError>> {
            let (go, wait) = std_mpsc::channel::<()>();
            let (begun, has_begun) = oneshot::channel();
            let busy = self.writer.run(move |_| {
                begun.send(()).unwrap();
                wait.recv().unwrap();
                Ok(())
            });
            let queued = async {
                has_begun.await.unwrap();
                let mut calls: Vec<_> =
                    operations.into_iter().map(|operation| Box::pin(self.writer.run(operation))).collect();
                for call in &mut calls {
                    assert!(futures_util::poll!(call.as_mut()).is_pending());
                }
                go.send(()).unwrap();
                join_all(calls).await
            };
            let (first, answers) = tokio::join!(busy, queued);
            first.unwrap();
            answers
        }
    }

    type Boxed = Box<dyn FnOnce(&Connection) -> Result<(), StoreError> + Send>;

    fn numbers(conn: &Connection) -> Vec<i64> {
        let mut statement = conn.prepare("SELECT n FROM numbers ORDER BY n").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    fn add(n: i64) -> Boxed {
        Box::new(move |conn| run(conn, "INSERT INTO numbers (n) VALUES (?1)", [n]).map(drop))
    }

    /// Adds a number, and then does something else.
    fn add_and(n: i64, then: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static) -> Boxed {
        Box::new(move |conn| add(n)(conn).and_then(|()| then(conn)))
    }

    #[tokio::test]
    async fn an_operation_that_fails_is_undone_alone() {
        let database = Database::new();
        let failing = add_and(2, |_| Err(StoreError::Conflict { what: "test" }));
        let answers = database.in_one_group(vec![add(1), failing, add(3)]).await;
        assert!(matches!(answers[..], [Ok(()), Err(StoreError::Conflict { .. }), Ok(())]), "{answers:?}");
        assert_eq!(database.numbers(), [1, 3]);
    }

    #[tokio::test]
    async fn an_operation_that_panics_is_undone_alone() {
        let database = Database::new();
        let panicking = add_and(2, |_| panic!("a test"));
        let answers = database.in_one_group(vec![add(1), panicking, add(3)]).await;
        assert!(matches!(answers[..], [Ok(()), Err(StoreError::Other(_)), Ok(())]), "{answers:?}");
        database.writer.run(add(4)).await.unwrap();
        assert_eq!(database.numbers(), [1, 3, 4]);
    }

    #[tokio::test]
    async fn operations_that_wait_are_committed_together() {
        let database = Database::new();
        let path = database.path();
        let look = Box::new(move |conn: &Connection| {
            assert_eq!(numbers(conn), [1]);
            assert_eq!(numbers(&Connection::open(path).unwrap()), [0; 0]);
            Ok(())
        });
        let answers = database.in_one_group(vec![add(1), look]).await;
        assert!(matches!(answers[..], [Ok(()), Ok(())]), "{answers:?}");
        assert_eq!(database.numbers(), [1]);
    }

    #[tokio::test]
    async fn a_commit_that_fails_fails_its_whole_group() {
        let database = Database::new();
        let dangling = Box::new(|conn: &Connection| {
            run(conn, "PRAGMA defer_foreign_keys = true", [])?;
            run(conn, "INSERT INTO numbers (n, below) VALUES (2, 77)", []).map(drop)
        });
        let answers = database.in_one_group(vec![add(1), dangling, add(3)]).await;
        assert!(
            answers.iter().all(|answer| matches!(answer, Err(StoreError::Unavailable(_)))),
            "{answers:?}"
        );
        assert_eq!(database.numbers(), [0; 0]);
        database.writer.run(add(4)).await.unwrap();
        assert_eq!(database.numbers(), [4]);
    }

    #[tokio::test]
    async fn a_transaction_that_is_lost_fails_its_whole_group() {
        let database = Database::new();
        let ending = add_and(2, |conn| run(conn, "ROLLBACK", []).map(drop));
        let answers = database.in_one_group(vec![add(1), ending, add(3)]).await;
        assert!(
            answers.iter().all(|answer| matches!(answer, Err(StoreError::Unavailable(_)))),
            "{answers:?}"
        );
        database.writer.run(add(4)).await.unwrap();
        assert_eq!(database.numbers(), [4]);
    }

    #[tokio::test]
    async fn a_full_disk_fails_what_does_not_fit_and_nothing_else() {
        let database = Database::new();
        let resize = |pages: u32| {
            move |conn: &Connection| {
                conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
                Ok(())
            }
        };
        database.writer.run(add(1)).await.unwrap();
        database.writer.run(resize(2)).await.unwrap();
        let large = Box::new(|conn: &Connection| {
            let sql = "WITH RECURSIVE n (n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM n LIMIT 10000)
                INSERT INTO numbers (n) SELECT n FROM n";
            run(conn, sql, []).map(drop)
        });
        let answer = database.writer.run(large).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        database.writer.run(resize(1_000_000)).await.unwrap();
        database.writer.run(add(2)).await.unwrap();
        assert_eq!(database.numbers(), [1, 2]);
    }

    #[tokio::test]
    async fn a_call_that_nobody_waits_for_any_more_takes_effect() {
        let database = Database::new();
        let mut call = Box::pin(database.writer.run(add(1)));
        // Hands it over; the writer may be done before this returns.
        let _ = futures_util::poll!(call.as_mut());
        drop(call);
        database.writer.run(add(2)).await.unwrap();
        assert_eq!(database.numbers(), [1, 2]);
    }

    #[tokio::test]
    async fn dropping_the_writer_finishes_what_is_queued() {
        let database = Database::new();
        for n in 0..100 {
            let mut call = Box::pin(database.writer.run(add(n)));
            // Hands it over; the writer may be done before this returns.
            let _ = futures_util::poll!(call.as_mut());
        }
        let Database { directory, writer } = database;
        drop(writer);
        let conn = Connection::open(directory.path().join("db")).unwrap();
        assert_eq!(numbers(&conn).len(), 100);
    }

    #[tokio::test]
    async fn closing_finishes_what_is_queued_and_takes_no_more() {
        let database = Database::new();
        let mut call = Box::pin(database.writer.run(add(1)));
        let queued = futures_util::poll!(call.as_mut()).is_pending();
        database.writer.close().await;
        if queued {
            call.await.unwrap();
        }
        assert!(matches!(database.writer.run(add(2)).await, Err(StoreError::Unavailable(_))));
        assert!(!database.path().with_file_name("db-wal").exists(), "the log is empty and gone");
        database.writer.close().await;
        assert_eq!(database.numbers(), [1]);
    }
}
