//! Connections: accepting, bounding and draining them.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::metrics::gauge;
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use mmr_core::lifecycle::Background;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;

use crate::service::MediaService;

mod activity;
mod metrics;
mod stall;
mod workers;

use self::{activity::Activity, stall::StallIo};
pub use self::{metrics::serve_metrics, workers::Workers};

/// What HTTP/1.1 keeps of a body in either direction, and the longest head of a request, in bytes. With thousands of
/// connections this is where the memory goes.
const CONNECTION_BUFFER: usize = 128 << 10;

/// What a client may take up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections at a time; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Time for the head of a request to arrive.
    pub header_timeout: Duration,
    /// Time that a connection may be open without a request.
    pub idle_timeout: Duration,
    /// Time that a client may take to accept any byte of a response.
    pub stall_timeout: Duration,
    /// Time for requests under way to finish at shutdown.
    pub shutdown_grace: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(90),
            stall_timeout: Duration::from_mins(1),
            shutdown_grace: Duration::from_secs(20),
        }
    }
}

/// Serves one [`MediaService`] over connections. Cheap to clone; all clones count the same connections.
#[derive(Clone, Debug)]
pub struct Server {
    service: MediaService,
    limits: HttpLimits,
    workers: Option<Workers>,
    open: Arc<AtomicUsize>,
}

/// One open connection, counted.
struct Open {
    count: Arc<AtomicUsize>,
    _slot: OwnedSemaphorePermit,
}

impl Server {
    /// A server without connections.
    #[must_use]
    pub fn new(service: MediaService, limits: HttpLimits) -> Self {
        Self { service, limits, workers: None, open: Arc::default() }
    }

    /// Runs connections on these threads, rather than where [`Server::serve`] runs.
    #[must_use]
    pub fn on(self, workers: Workers) -> Self {
        Self { workers: Some(workers), ..self }
    }

    /// Number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Serves HTTP/1.1 and cleartext HTTP/2 until `stop`, then lets requests under way finish. False when some did not
    /// within the grace.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) -> bool {
        let slots = Arc::new(Semaphore::new(self.limits.max_connections));
        let connections = Background::new();
        let builder = Arc::new(builder(&self.limits));
        loop {
            let accepted = async {
                // Never closed: the semaphore lives as long as this loop.
                let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
                Some((slot, listener.accept().await))
            };
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accepted => accepted,
            };
            match accepted {
                Some((slot, Ok((stream, _)))) => {
                    let open = Open::new(&self.open, slot);
                    let work = (Arc::clone(&builder), self.clone(), stop.clone());
                    self.launch(&connections, stream, open, work);
                }
                Some((_, Err(error))) => pause_after(&error).await,
                None => break,
            }
        }
        // Clients whose connections the kernel has accepted already would see them reset.
        let closing = tokio::time::Instant::now() + LAST_CALL.1;
        while tokio::time::Instant::now() < closing
            && let Ok(Ok((stream, _))) = tokio::time::timeout(LAST_CALL.0, listener.accept()).await
            && let Ok(slot) = Arc::clone(&slots).try_acquire_owned()
        {
            let work = (Arc::clone(&builder), self.clone(), stop.clone());
            self.launch(&connections, stream, Open::new(&self.open, slot), work);
        }
        drop(listener);
        connections.stop(self.limits.shutdown_grace).await
    }

    fn launch(&self, connections: &Background, stream: TcpStream, open: Open, work: Work) {
        let Some(workers) = &self.workers else {
            connections.spawn(async move { run(stream, work, open).await });
            return;
        };
        // A socket belongs to the runtime that watches it.
        match stream.into_std() {
            Ok(stream) => connections.spawn_on(workers.next(), async move {
                match TcpStream::from_std(stream) {
                    Ok(stream) => run(stream, work, open).await,
                    Err(error) => tracing::error!(%error, "a connection could not be handed over"),
                }
            }),
            Err(error) => tracing::error!(%error, "a connection could not be handed over"),
        }
    }
}

type Work = (Arc<auto::Builder<TokioExecutor>>, Server, CancellationToken);

async fn run(stream: TcpStream, (builder, server, stop): Work, open: Open) {
    connection(builder, stream, server, stop).await;
    drop(open);
}

impl Open {
    fn new(count: &Arc<AtomicUsize>, slot: OwnedSemaphorePermit) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        gauge!("media_http_connections").increment(1);
        Self { count: Arc::clone(count), _slot: slot }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
        gauge!("media_http_connections").decrement(1);
    }
}

/// How long nobody may have come before the listener is closed, and how long it stays open for those who do.
const LAST_CALL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// Binds the listener with a queue that a reconnecting crowd fits in.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket =
        if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

fn builder(limits: &HttpLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(CONNECTION_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .max_header_list_size(32 * 1024)
        .keep_alive_interval(limits.idle_timeout / 3)
        .keep_alive_timeout(limits.stall_timeout);
    builder
}

async fn connection(
    builder: Arc<auto::Builder<TokioExecutor>>,
    stream: TcpStream,
    server: Server,
    stop: CancellationToken,
) {
    let Server { service, limits, .. } = server;
    // Small answers must not wait for a full packet. A socket that refuses is about to fail anyway.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(StallIo::new(stream, limits.stall_timeout));
    let activity = Arc::new(Activity::new());
    let tracked = Arc::clone(&activity);
    let service = service_fn(move |request: Request<Incoming>| {
        let (service, busy) = (service.clone(), tracked.begin());
        async move {
            Ok::<_, std::convert::Infallible>(
                service.respond(request).await.map(|body| busy.until_end_of(body)),
            )
        }
    });
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut idle = pin!(activity.idle_for(limits.idle_timeout));
    let stopped = async {
        stop.cancelled().await;
        activity.settled().await;
    };
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = first_of(stopped, idle.as_mut()) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(error = &*error, "a connection ended early");
    }
}

async fn first_of(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::select! {
        () = one => {}
        () = other => {}
    }
}

/// Out of file descriptors, most likely: connections that end make room again.
async fn pause_after(error: &io::Error) {
    let about_one_client =
        matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset);
    if !about_one_client {
        tracing::error!(%error, "accepting a connection failed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
