//! One task per store that hears what other nodes publish.
//!
//! Signals are numbered without gaps, in the order in which they become visible. A session that is ours is notified of
//! each; behind a pooler the table is looked at twice a second. What this node publishes itself goes to its subscribers at
//! once, if nothing is missing before it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::stream::BoxStream;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tokio_postgres::Notification;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    connect::{Connector, Session},
    error::{NoAnswer, fault},
    pool::Pool,
    row::{Columns, values},
    signals,
};
use crate::{
    backend::board::Board,
    store::{Signal, StoreError},
};

/// How often the table is looked at where nobody notifies us.
const POLL: Duration = Duration::from_millis(500);
/// How many signals are read at once.
const BATCH: i64 = 10_000;
/// How often a silent connection is tried.
const PING: Duration = Duration::from_secs(30);
/// How often unused connections of the pool are looked for.
const TRIM: Duration = Duration::from_mins(1);
/// The longest wait between two attempts to connect.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// How long what is cached is trusted without a connection: long enough for a database to be restarted, and no longer, since
/// it may be that only this node has lost it.
const TRUST: Duration = Duration::from_mins(1);
/// How long the publisher of a signal waits until its own subscribers have it.
const ECHO: Duration = Duration::from_secs(2);

/// The subscribers of this node, and what they have heard.
#[derive(Clone)]
pub(super) struct News(Arc<Inner>);

struct Inner {
    board: Board,
    state: Mutex<State>,
    /// The number up to which everything is delivered.
    delivered: watch::Sender<i64>,
    /// Wakes who polls.
    wake: Notify,
    connector: Connector,
    pool: Pool,
}

#[derive(Debug, Default)]
struct State {
    connected: bool,
    last: i64,
}

impl News {
    /// Begins to listen, and comes back when it does. Ends with the guard.
    #[expect(clippy::disallowed_methods, reason = "the tasks end with the store")]
    pub(super) async fn start(connector: Connector, pool: Pool) -> Result<(Self, DropGuard), StoreError> {
        let news = Self(Arc::new(Inner {
            board: Board::default(),
            state: Mutex::default(),
            delivered: watch::Sender::new(0),
            wake: Notify::new(),
            connector,
            pool: pool.clone(),
        }));
        let source = news.connect().await?;
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(news.clone().listen(source)));
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                sleep(TRIM).await;
                pool.trim(TRIM);
            }
        }));
        Ok((news, stop.drop_guard()))
    }

    pub(super) fn subscribe(&self) -> BoxStream<'static, Signal> {
        self.0.board.subscribe()
    }

    /// Makes sure that the subscribers of this node have a signal that it has published, unless they cannot be reached
    /// at the moment: they get [`Signal::Lost`] then.
    pub(super) async fn published(&self, id: i64, signal: &Signal) {
        {
            let mut state = self.state();
            if state.connected && state.last + 1 == id {
                self.tell(&mut state, id, signal);
                return;
            }
        }
        self.0.wake.notify_one();
        let mut delivered = self.0.delivered.subscribe();
        // An error is a timeout.
        let _ = timeout(ECHO, delivered.wait_for(|delivered| *delivered >= id)).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, state: &mut State, id: i64, signal: &Signal) {
        self.0.board.publish(signal);
        state.last = id;
        self.0.delivered.send_replace(id);
    }

    /// A signal that was heard; perhaps not for the first time.
    fn heard(&self, id: i64, payload: &str) {
        let mut state = self.state();
        if id <= state.last {
            return;
        }
        if id > state.last + 1 {
            self.0.board.publish(&Signal::Lost);
        }
        self.tell(&mut state, id, &signals::decode(payload));
    }

    /// From `id` on everything will be heard.
    fn connected(&self, id: i64, anew: bool) {
        let mut state = self.state();
        state.connected = true;
        state.last = id;
        if anew {
            self.0.board.publish(&Signal::Lost);
        }
        self.0.delivered.send_replace(id);
    }

    fn disconnected(&self) {
        self.state().connected = false;
    }

    async fn connect(&self) -> Result<Source, StoreError> {
        let limit = self.0.connector.timeout();
        let source = timeout(limit, self.try_connect()).await;
        source.map_err(|_| StoreError::from(NoAnswer(limit)))?
    }

    async fn try_connect(&self) -> Result<Source, StoreError> {
        if !self.0.connector.is_pooled() {
            let (sender, notifications) = mpsc::unbounded_channel();
            let session = self.0.connector.open(Some(sender)).await;
            let session = session.map_err(|error| self.0.connector.fault(error))?;
            // It may have turned out just now.
            if !self.0.connector.is_pooled() {
                session.client.batch_execute("LISTEN mmr_signals").await.map_err(fault)?;
                let row = session.client.query_typed_one(signals::NEWEST, &[]).await.map_err(fault)?;
                self.connected(Columns::of("signals", &row).get()?, false);
                return Ok(Source::Notified(session, notifications));
            }
        }
        let rows = self.0.pool.read(signals::NEWEST, &[]).await?;
        let newest = rows.first().map_or(Ok(0), |row| Columns::of("signals", row).get())?;
        self.connected(newest, false);
        Ok(Source::Polled)
    }

    async fn listen(self, mut source: Source) {
        loop {
            match source {
                Source::Notified(session, notifications) => self.follow(session, notifications).await,
                Source::Polled => self.poll().await,
            }
            self.disconnected();
            tracing::warn!("signals of other nodes are not heard: the connection to the database is lost");
            let mut pause = Duration::from_millis(50);
            let mut trusted_until = Instant::now() + TRUST;
            source = loop {
                sleep(pause).await;
                match self.connect().await {
                    Ok(source) => break source,
                    Err(error) => tracing::debug!(%error, "still no connection to the database"),
                }
                if trusted_until <= Instant::now() {
                    self.0.board.publish(&Signal::Lost);
                    trusted_until = Instant::now() + TRUST;
                }
                pause = (pause * 2).min(MAX_PAUSE);
            };
            let last = self.state().last;
            self.connected(last, true);
            tracing::info!("signals of other nodes are heard again");
        }
    }

    /// Comes back when the connection is lost.
    async fn follow(&self, session: Session, mut notifications: mpsc::UnboundedReceiver<Notification>) {
        loop {
            match timeout(PING, notifications.recv()).await {
                Ok(Some(notification)) => {
                    let text = notification.payload();
                    let (id, payload) = text.split_once(' ').unwrap_or((text, ""));
                    if let Ok(id) = id.parse() {
                        self.heard(id, payload);
                    }
                }
                Ok(None) => return,
                Err(_) => {
                    match timeout(self.0.connector.timeout(), session.client.check_connection()).await {
                        Ok(Ok(())) => {}
                        _ => return,
                    }
                }
            }
        }
    }

    /// Comes back when the database does not answer.
    async fn poll(&self) {
        while !self.0.pool.is_closed() {
            // An error is the timeout.
            let _ = timeout(POLL, self.0.wake.notified()).await;
            let last = self.state().last;
            let Ok(rows) = self.0.pool.read(signals::SINCE, &values![last, BATCH]).await else { return };
            for row in &rows {
                let mut columns = Columns::of("signals", row);
                let (Ok(newest), Ok(id), Ok(payload)) = (columns.get(), columns.get(), columns.get()) else {
                    return;
                };
                if newest < last {
                    // A crash took the newest signals with it, and their numbers are given again. The pooler has let
                    // nobody see the crash itself.
                    self.connected(newest, true);
                } else if let (Some(id), Some(payload)) = (id, payload) {
                    self.heard(id, payload);
                }
            }
        }
    }
}

/// Where signals come from.
enum Source {
    Notified(Session, mpsc::UnboundedReceiver<Notification>),
    Polled,
}
