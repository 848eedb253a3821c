//! `mmr-server serve`.

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream::BoxStream};
use mmr_core::{lifecycle::Background, store::Signal};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::TokenCache,
    config::{self, Loaded, Settings, wire},
    server::{Server, Workers, listen, serve_metrics},
    telemetry,
};

/// Time for what does not serve clients to end.
const CLOSING: Duration = Duration::from_secs(5);
/// How long a blocking thread is kept for the next burst.
const KEEP_THREADS: Duration = Duration::from_secs(2);

pub(super) fn run(config: &Path) -> anyhow::Result<ExitCode> {
    let path = config::path_or_environment(config);
    let Loaded { settings, warnings } = config::load(&path)?;
    telemetry::init(&settings.log)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if !settings.unsupported.is_empty() {
        let keys = settings.unsupported.join(", ");
        tracing::warn!("not supported yet, these settings have no effect: {keys}");
    }
    let done = runtime()?.block_on(serve(settings))?;
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn serve(settings: Settings) -> anyhow::Result<bool> {
    let stop = shutdown_signal();
    let background = Background::new();
    if let Some((host, port)) = &settings.metrics {
        let handle = telemetry::init_metrics(&background)?;
        let listener = bind(host, *port).await.context("metrics.bindAddress, metrics.port")?;
        let stop = stop.clone();
        background.spawn(async move { serve_metrics(listener, move || handle.render(), stop).await });
    }
    let (host, port) = &settings.http.listen;
    let listener = bind(host, *port).await.context("repo.bindAddress, repo.port")?;
    let wired = wire(&settings).await?;
    background.spawn_until_stop(forget_tokens(wired.repository.store().subscribe(), wired.tokens.clone()));
    let names: Vec<_> = settings.homeservers.iter().map(|host| host.name.as_str()).collect();
    tracing::info!(address = %listener.local_addr()?, homeservers = names.join(", "), "serving");

    let limits = settings.http.limits;
    let workers = Workers::start_for_processors().context("the threads for connections cannot be started")?;
    // Its threads also finish what requests left behind, so it lives until everything is closed.
    let server = Server::new(wired.service.clone(), limits).on(workers);
    let drained = server.serve(listener, stop).await;
    if !drained {
        tracing::warn!(
            seconds = limits.shutdown_grace.as_secs(),
            "some requests did not finish in time and were cut off; see repo.shutdownGraceSeconds"
        );
    }
    let closed = wired.close(limits.shutdown_grace).await;
    background.stop(CLOSING).await;
    drop(server);
    tracing::info!("stopped");
    Ok(drained && closed)
}

async fn bind(host: &str, port: u16) -> anyhow::Result<TcpListener> {
    let mut last = None;
    let addresses =
        tokio::net::lookup_host((host, port)).await.with_context(|| format!("{host} is no address"))?;
    for address in addresses {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => {
                last = Some(anyhow::Error::new(error).context(format!("{address} cannot be listened on")));
            }
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("{host} has no address")))
}

/// Other nodes tell of logouts that went through them.
async fn forget_tokens(mut signals: BoxStream<'static, Signal>, tokens: Vec<TokenCache>) {
    while let Some(signal) = signals.next().await {
        match signal {
            Signal::LoggedOut(user) => tokens.iter().for_each(|cache| cache.forget_user(&user)),
            Signal::Lost => tokens.iter().for_each(TokenCache::forget_all),
            Signal::Uploaded(_) | Signal::MediaChanged(_) | Signal::AllMediaChanged => {}
        }
    }
}

/// The runtime for everything but connections.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(KEEP_THREADS)
        .build()
        .context("the runtime cannot be started")
}

/// Cancelled by SIGINT or SIGTERM. Impatience at the terminal is heard: a second SIGINT ends the process.
pub(super) fn shutdown_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    #[expect(
        clippy::disallowed_methods,
        reason = "this task is what shutdown begins with, and lives until the end"
    )]
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping; requests under way may finish, Ctrl+C ends them");
        cancelled.cancel();
        if interrupt.recv().await.is_some() {
            std::process::exit(130);
        }
    });
    token
}
