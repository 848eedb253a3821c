//! Logs and metrics.

use std::{io::IsTerminal as _, time::Duration};

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_appender::rolling;
use tracing_subscriber::{
    EnvFilter, Layer, fmt, layer::SubscriberExt as _, registry::LookupSpan, util::SubscriberInitExt as _,
};

use crate::config::{LogLevel, LogSettings};

/// Seconds, from a hit in memory to a client at the end of a long wait.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// Samples are kept one by one until somebody sorts them into buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// Sets logging up as configured.
///
/// Errors when the log directory cannot be used.
pub(crate) fn init(settings: &LogSettings) -> anyhow::Result<()> {
    let file = match &settings.directory {
        None => None,
        Some(directory) => {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("repo.logDirectory: {} cannot be created", directory.display()))?;
            let appender = rolling::Builder::new()
                .rotation(rolling::Rotation::DAILY)
                .filename_prefix("media_repo.log")
                .max_log_files(14)
                .build(directory)
                .with_context(|| {
                    format!("repo.logDirectory: {} cannot be written to", directory.display())
                })?;
            Some(layer(settings.json, false, appender))
        }
    };
    let stdout = layer(settings.json, settings.colors, std::io::stdout);
    tracing_subscriber::registry().with(filter(settings.level)).with(stdout).with(file).try_init()?;
    Ok(())
}

/// Sets logging up for somebody who looks on: warnings and errors on the standard error.
pub(crate) fn init_dev() {
    let stderr = layer(false, std::io::stderr().is_terminal(), std::io::stderr);
    // Fails where logging was set up before, which is as good.
    let _ = tracing_subscriber::registry().with(filter(LogLevel::Warn)).with(stderr).try_init();
}

/// Installs the recorder for metrics and answers what renders them. Needs a tokio runtime.
pub(crate) fn init_metrics(background: &mmr_core::lifecycle::Background) -> anyhow::Result<PrometheusHandle> {
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)?;
    let handle = builder.install_recorder().context("metrics cannot be recorded")?;
    mmr_core::metrics::describe_all();
    let upkeep = handle.clone();
    background.spawn_until_stop(async move {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

fn layer<S, W>(json: bool, colors: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    if json {
        fmt::layer().json().with_writer(writer).boxed()
    } else {
        fmt::layer().with_ansi(colors).with_target(false).with_writer(writer).boxed()
    }
}

/// Libraries below HTTP are only heard at `trace`, and the parameters of statements never.
fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(match level {
        LogLevel::Panic | LogLevel::Fatal | LogLevel::Error => "error",
        LogLevel::Warn | LogLevel::Warning => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug,hyper=info,hyper_util=info,rustls=info,h2=info,tokio_postgres=info",
        LogLevel::Trace => "trace,tokio_postgres=info",
    })
}
