//! The listener for Prometheus, apart from everything that strangers reach.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use mmr_core::lifecycle::Background;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves `render()` at `/metrics` and `/_media/metrics` until `stop`.
pub async fn serve_metrics<R>(listener: TcpListener, render: R, stop: CancellationToken)
where
    R: Fn() -> String + Clone + Send + Sync + 'static,
{
    let connections = Background::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    super::pause_after(&error).await;
                    continue;
                }
            },
        };
        let render = render.clone();
        connections.spawn_until_stop(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let response = answer(request.uri().path(), &render);
                async move { Ok::<_, std::convert::Infallible>(response) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(std::time::Duration::from_secs(10));
            if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "a metrics connection ended early");
            }
        });
    }
}

fn answer(path: &str, render: &impl Fn() -> String) -> Response<Full<Bytes>> {
    let known = matches!(path, "/metrics" | "/_media/metrics");
    let mut response = Response::new(Full::from(if known { render() } else { "see /metrics\n".to_owned() }));
    *response.status_mut() = if known { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let text = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}
