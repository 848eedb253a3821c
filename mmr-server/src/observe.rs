//! Counting requests, under the metric names of matrix-media-repo.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use http::{Method, StatusCode};
use metrics::{Counter, Histogram, counter, histogram};
use ruma::ServerName;

use crate::route::{ACTIONS, Endpoint};

/// Counts the requests of one homeserver. Series are found by index, since looking them up by label would cost as much as
/// the rest of a small request.
#[derive(Clone)]
pub(crate) struct Observer(Arc<Inner>);

struct Inner {
    host: String,
    series: [[OnceLock<Series>; METHODS.len()]; ACTIONS],
}

/// The methods that endpoints know.
const METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::POST, Method::PUT];
/// Statuses from 100 on.
const STATUSES: usize = 500;

struct Series {
    requests: Counter,
    seconds: Histogram,
    responses: Box<[OnceLock<Counter>; STATUSES]>,
}

/// A request under way.
pub(crate) struct Observed<'o> {
    observer: &'o Observer,
    action: &'static str,
    method: &'o Method,
    series: &'o Series,
    began: Instant,
}

impl Observer {
    pub(crate) fn new(server: &ServerName) -> Self {
        let series = std::array::from_fn(|_| std::array::from_fn(|_| OnceLock::new()));
        Self(Arc::new(Inner { host: server.to_string(), series }))
    }

    pub(crate) fn begin<'o>(&'o self, endpoint: &Endpoint<'_>, method: &'o Method) -> Observed<'o> {
        let (index, action) = endpoint.action();
        // The router lets no other method through.
        let column = METHODS.iter().position(|known| known == method).unwrap_or_default();
        let series = self.0.series[index][column].get_or_init(|| self.series(action, method));
        series.requests.increment(1);
        Observed { observer: self, action, method, series, began: Instant::now() }
    }

    fn series(&self, action: &'static str, method: &Method) -> Series {
        let labels = [
            ("host", self.0.host.clone()),
            ("action", action.to_owned()),
            ("method", method.as_str().to_owned()),
        ];
        Series {
            requests: counter!("media_http_requests_total", &labels),
            seconds: histogram!("media_http_response_time_seconds", &labels),
            responses: Box::new(std::array::from_fn(|_| OnceLock::new())),
        }
    }
}

impl Observed<'_> {
    pub(crate) fn end(self, status: StatusCode) {
        let Self { observer, action, method, series, began } = self;
        let took = began.elapsed();
        if let Some(counter) = series.responses.get(usize::from(status.as_u16()).saturating_sub(100)) {
            let register = || {
                let labels = [
                    ("host", observer.0.host.clone()),
                    ("action", action.to_owned()),
                    ("method", method.as_str().to_owned()),
                    ("statusCode", status.as_str().to_owned()),
                ];
                counter!("media_http_responses_total", &labels)
            };
            counter.get_or_init(register).increment(1);
        }
        series.seconds.record(took);
        tracing::debug!(action, %method, status = status.as_u16(), ?took, "request answered");
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").field("host", &self.0.host).finish_non_exhaustive()
    }
}
