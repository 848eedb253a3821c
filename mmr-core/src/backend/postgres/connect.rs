//! Opening sessions, and finding out whether they are ours.
//!
//! A pooler such as `PgBouncer` may hand each transaction to another session of the server: settings, prepared statements
//! and notifications are lost then. Nobody says so, so it is tried: a session is opened with a setting of our own in its
//! startup message, and asked whether it has it. Only then anything that belongs to a session is relied on.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::Connect;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, Error, Notification, Socket, config::SslMode,
    tls::MakeTlsConnect, types::Type,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    PostgresOptions,
    dsn::{Dsn, DsnError, TlsMode},
    error::{connect_fault, is_of_tls},
    tls,
};
use crate::store::StoreError;

const APPLICATION_NAME: &str = "mmr";

/// Opens sessions. Clones share what was found out.
#[derive(Clone)]
pub(super) struct Connector(Arc<Inner>);

struct Inner {
    config: Config,
    /// Settings for each session, in the words of the server's command line.
    settings: String,
    tls: MakeRustlsConnect,
    tls_mode: TlsMode,
    /// Once a session was not ours, none is taken for ours any more.
    pooled: AtomicBool,
    timeout: Duration,
}

/// A session and the task that moves its bytes.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) task: JoinHandle<()>,
}

impl Connector {
    /// Reads the files that the connection string names. Blocks.
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, DsnError> {
        let dsn = Dsn::parse(&options.url)?;
        let tls = tls::connector(&dsn)?;
        let tls_mode = dsn.tls;
        let mut config = dsn.config;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(options.connect_timeout);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(options.statement_timeout);
        }
        config.keepalives_idle(Duration::from_secs(30));
        config.keepalives_interval(Duration::from_secs(10));
        config.keepalives_retries(3);
        if config.get_application_name().is_none() {
            config.application_name(APPLICATION_NAME);
        }
        let settings = format!(
            "-c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout=60000",
            options.statement_timeout.as_millis(),
            options.lock_timeout.as_millis(),
        );
        let pooled = AtomicBool::new(false);
        let timeout = options.connect_timeout;
        Ok(Self(Arc::new(Inner { config, settings, tls, tls_mode, pooled, timeout })))
    }

    /// Whether sessions are not ours alone.
    pub(super) fn is_pooled(&self) -> bool {
        self.0.pooled.load(Ordering::Relaxed)
    }

    pub(super) fn set_pooled(&self) {
        if !self.0.pooled.swap(true, Ordering::Relaxed) {
            tracing::info!(
                "the database is behind a pooler: statements are not prepared, and signals are polled for"
            );
        }
    }

    pub(super) fn config(&self) -> Config {
        self.0.config.clone()
    }

    pub(super) fn tls(&self) -> MakeRustlsConnect {
        self.0.tls.clone()
    }

    /// What it means to a caller that there is no session.
    pub(super) fn fault(&self, error: Error) -> StoreError {
        connect_fault(error, self.0.tls_mode)
    }

    pub(super) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// Opens a session. What others notify it of goes to `notifications`.
    pub(super) async fn open(
        &self,
        notifications: Option<mpsc::UnboundedSender<Notification>>,
    ) -> Result<Session, Error> {
        if self.is_pooled() {
            return self.start(&self.0.config, notifications).await;
        }
        let token = token();
        let mut config = self.0.config.clone();
        let theirs = config.get_options().unwrap_or_default();
        config.options(format!("{theirs} {} -c mmr.session={token}", self.0.settings));
        match self.start(&config, notifications.clone()).await {
            Ok(session) => {
                if !holds(&session.client, &token).await? {
                    self.set_pooled();
                }
                Ok(session)
            }
            Err(error) if is_refusal(&error) => {
                let session = self.start(&self.0.config, notifications).await?;
                self.set_pooled();
                Ok(session)
            }
            Err(error) => Err(error),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the task ends with the client that it serves")]
    async fn start(
        &self,
        config: &Config,
        notifications: Option<mpsc::UnboundedSender<Notification>>,
    ) -> Result<Session, Error> {
        let (client, mut connection) = Box::pin(self.connect_raw(config)).await?;
        let task = tokio::spawn(async move {
            loop {
                match poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notification(notification))) => {
                        if let Some(listener) = &notifications {
                            // An error means that nobody listens any more.
                            let _ = listener.send(notification);
                        }
                    }
                    Some(Ok(AsyncMessage::Notice(notice))) => {
                        tracing::debug!(%notice, "the database has a notice");
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        tracing::debug!(%error, "a connection to the database broke");
                        return;
                    }
                    None => return,
                }
            }
        });
        Ok(Session { client, task })
    }
}

type Connected = (Client, Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>);

impl Connector {
    /// Connects with TLS and without, as far as and in the order that the mode says, until the server lets us in.
    async fn connect_raw(&self, config: &Config) -> Result<Connected, Error> {
        let first = config.connect(self.tls()).await;
        let Some(mode) = self.0.tls_mode.second_try() else { return first };
        let error = match first {
            Err(error) if error.code().is_some() || is_of_tls(&error) => error,
            other => return other,
        };
        let mut config = config.clone();
        config.ssl_mode(mode);
        config.connect(self.tls()).await.map_err(|again| {
            // Without TLS the server may say no more than that it wants TLS.
            let (encrypted, plain) = if mode == SslMode::Disable { (error, again) } else { (again, error) };
            if encrypted.code().is_some() { encrypted } else { plain }
        })
    }
}

/// Whether the session has the setting that it was opened with.
async fn holds(client: &Client, token: &str) -> Result<bool, Error> {
    let sql = "SELECT current_setting('mmr.session', true) IS NOT DISTINCT FROM $1";
    let row = client.query_typed_one(sql, &[(&token, Type::TEXT)]).await?;
    row.try_get(0)
}

/// Whether the other side answered, and did not like how it was asked: not the user, the database, or the hour.
fn is_refusal(error: &Error) -> bool {
    error
        .code()
        .is_some_and(|code| ["08", "0A", "22", "42"].iter().any(|class| code.code().starts_with(class)))
}

fn token() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system's random generator works");
    format!("{:016x}", u64::from_le_bytes(bytes))
}

type Connecting<'a> = Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + 'a>>;

impl Connect for Connector {
    fn connect(&self, _config: &Config) -> Connecting<'_> {
        Box::pin(async {
            let Session { client, task } = self.open(None).await?;
            Ok((client, task))
        })
    }
}
