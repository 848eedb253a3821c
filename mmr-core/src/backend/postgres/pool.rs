//! Running statements: a connection, a deadline, and what is done when something fails.

use std::{future::Future, time::Duration};

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool as Connections, PoolError, QueueMode, RecyclingMethod, Runtime,
    TimeoutType, Timeouts,
};
use tokio::{runtime::Handle, time::timeout};
use tokio_postgres::{
    Error, Row,
    types::{ToSql, Type},
};

use super::{
    PostgresOptions,
    connect::Connector,
    error::{Closed, Exhausted, Fate, NoAnswer, fate, fault},
    row::Value,
};
use crate::store::StoreError;

/// How often a statement is repeated that lost a deadlock.
const REPEATS: u32 = 8;
/// How much longer than the server we wait for it to notice that time is up.
const GRACE: Duration = Duration::from_secs(5);

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// Nothing: it can be repeated when its answer was lost.
    None,
    /// It can not.
    Writes,
}

/// How a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// It is one of few, and worth preparing where the session is ours.
    Fixed,
    /// It was put together for this call.
    Composed,
}

/// The connections. Clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    connections: Connections,
    connector: Connector,
    max_idle: usize,
    acquire_timeout: Duration,
    deadline: Duration,
}

impl Pool {
    pub(super) fn new(connector: Connector, options: &PostgresOptions) -> Result<Self, StoreError> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(connector.config(), connector.clone(), recycling);
        let connections = Connections::builder(manager)
            .max_size(options.max_connections.max(1) as usize)
            .timeouts(Timeouts {
                wait: Some(options.acquire_timeout),
                create: Some(options.connect_timeout),
                recycle: Some(options.connect_timeout),
            })
            // What ran last is warm, there and here; and what is not needed stands still, and is closed.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Other(error.into()))?;
        Ok(Self {
            connections,
            connector,
            max_idle: options.max_idle as usize,
            acquire_timeout: options.acquire_timeout,
            deadline: options.statement_timeout.saturating_add(GRACE),
        })
    }

    /// Runs a fixed statement that changes nothing.
    pub(super) async fn read(&self, sql: &'static str, params: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.run(sql, params, Effect::None, Form::Fixed).await
    }

    /// Runs a fixed statement that changes something; when `Ok` comes back, it is committed.
    pub(super) async fn write(
        &self,
        sql: &'static str,
        params: &[Value<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        self.run(sql, params, Effect::Writes, Form::Fixed).await
    }

    /// [`Pool::read`] with a statement made for this call.
    pub(super) async fn read_composed(
        &self,
        sql: &str,
        params: &[Value<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        self.run(sql, params, Effect::None, Form::Composed).await
    }

    /// [`Pool::write`] with a statement made for this call.
    pub(super) async fn write_composed(
        &self,
        sql: &str,
        params: &[Value<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        self.run(sql, params, Effect::Writes, Form::Composed).await
    }

    async fn run(
        &self,
        sql: &str,
        params: &[Value<'_>],
        effect: Effect,
        form: Form,
    ) -> Result<Vec<Row>, StoreError> {
        let mut repeats = 0;
        let mut reconnected = false;
        loop {
            let connection = self.connection().await?;
            let error = match self.attempt(connection, sql, params, form).await? {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            match fate(&error) {
                Fate::Undone if repeats < REPEATS => {
                    tokio::time::sleep(pause(repeats)).await;
                    repeats += 1;
                }
                Fate::Forgotten | Fate::Outdated if repeats < REPEATS => repeats += 1,
                Fate::Lost if effect == Effect::None && !reconnected => reconnected = true,
                _ => return Err(fault(error)),
            }
        }
    }

    /// Sends the statement once. What the server says is the inner result.
    async fn attempt(
        &self,
        connection: Object,
        sql: &str,
        params: &[Value<'_>],
        form: Form,
    ) -> Result<Result<Vec<Row>, Error>, StoreError> {
        let prepared = form == Form::Fixed && !self.connector.is_pooled();
        let held = Held { connection: Some(connection), pool: self };
        let Some(client) = held.connection.as_ref() else { return Err(NoAnswer(self.deadline).into()) };
        let answer = async {
            if !prepared {
                let params: Vec<(&(dyn ToSql + Sync), Type)> =
                    params.iter().map(|value| (value as _, value.ty())).collect();
                return client.query_typed(sql, &params).await;
            }
            let types: Vec<Type> = params.iter().map(Value::ty).collect();
            let statement = client.prepare_typed_cached(sql, &types).await?;
            let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as _).collect();
            client.query(&statement, &params).await
        };
        let Ok(answer) = timeout(self.deadline, answer).await else {
            held.cancel();
            // What else lies idle goes to the same place, and is probably as dead.
            self.connections.retain(|_, _| false);
            return Err(NoAnswer(self.deadline).into());
        };
        match answer.as_ref().map_err(fate) {
            Ok(_) | Err(Fate::Undone | Fate::Failed) => held.give_back(),
            Err(Fate::Lost | Fate::Outdated) => held.discard(),
            Err(Fate::Forgotten) => {
                self.connector.set_pooled();
                held.discard();
            }
        }
        Ok(answer)
    }

    async fn connection(&self) -> Result<Object, StoreError> {
        self.connections.get().await.map_err(|error| match error {
            PoolError::Closed => Closed.into(),
            PoolError::Timeout(TimeoutType::Wait) => Exhausted(self.acquire_timeout).into(),
            PoolError::Backend(error) => self.connector.fault(error),
            error => StoreError::Unavailable(Box::new(error)),
        })
    }

    /// Closes connections that were not needed for a while, but for a few.
    pub(super) fn trim(&self, unused_for: Duration) {
        let mut kept = 0;
        let _ = self.connections.retain(|_, metrics| {
            kept += 1;
            kept <= self.max_idle || metrics.last_used() < unused_for
        });
    }

    /// Closes all of them; calls that run are finished.
    pub(super) fn close(&self) {
        self.connections.close();
    }

    pub(super) fn is_pooled(&self) -> bool {
        self.connector.is_pooled()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.connections.is_closed()
    }
}

/// A little longer each time, and not the same for everybody.
fn pause(repeats: u32) -> Duration {
    let mut random = [0];
    // Without randomness all just wait as long as each other.
    let _ = getrandom::fill(&mut random);
    Duration::from_millis((1 << repeats.min(6)) + u64::from(random[0]) / 16)
}

/// A connection with a statement under way. When the caller goes away in the middle, the connection waits for the answer
/// before anybody else gets it.
struct Held<'a> {
    connection: Option<Object>,
    pool: &'a Pool,
}

impl Held<'_> {
    fn give_back(mut self) {
        drop(self.connection.take());
    }

    fn discard(mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }

    /// Asks the server to stop, and does not wait for it.
    fn cancel(mut self) {
        let Some(connection) = self.connection.take() else { return };
        let cancel = connection.cancel_token();
        drop(Object::take(connection));
        let (tls, limit) = (self.pool.connector.tls(), self.pool.connector.timeout());
        in_background(async move {
            // The statement's own timeout is what counts, should this fail.
            let _ = timeout(limit, cancel.cancel_query(tls)).await;
        });
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let limit = self.pool.deadline;
        in_background(async move {
            match timeout(limit, connection.check_connection()).await {
                Ok(Ok(())) => drop(connection),
                _ => drop(Object::take(connection)),
            }
        });
    }
}

pub(super) fn in_background(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(work);
    }
}
