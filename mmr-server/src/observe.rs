//! Counting requests, under the metric names of matrix-media-repo.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use http::{Method, StatusCode};
use metrics::{Counter, Histogram, counter, histogram};
use ruma::ServerName;

/// Counts the requests of one homeserver. Handles are looked up once, not per request.
#[derive(Clone, Debug)]
pub(crate) struct Observer(Arc<Inner>);

struct Inner {
    host: String,
    series: RwLock<HashMap<(&'static str, Method), Arc<Series>>>,
}

struct Series {
    host: String,
    action: &'static str,
    method: Method,
    requests: Counter,
    seconds: Histogram,
    responses: RwLock<HashMap<StatusCode, Counter>>,
}

/// A request under way.
pub(crate) struct Observed {
    series: Arc<Series>,
    began: Instant,
}

impl Observer {
    pub(crate) fn new(server: &ServerName) -> Self {
        Self(Arc::new(Inner { host: server.to_string(), series: RwLock::default() }))
    }

    pub(crate) fn begin(&self, action: &'static str, method: &Method) -> Observed {
        let key = (action, method.clone());
        let known = self.0.series.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let series = known.unwrap_or_else(|| {
            let series = Arc::new(Series::new(&self.0.host, action, method));
            let mut all = self.0.series.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(key).or_insert(series))
        });
        series.requests.increment(1);
        Observed { series, began: Instant::now() }
    }
}

impl Series {
    fn new(host: &str, action: &'static str, method: &Method) -> Self {
        let (host, name) = (host.to_owned(), method.to_string());
        let labels = [("host", host.clone()), ("action", action.to_owned()), ("method", name)];
        Self {
            requests: counter!("media_http_requests_total", &labels),
            seconds: histogram!("media_http_response_time_seconds", &labels),
            responses: RwLock::default(),
            host,
            action,
            method: method.clone(),
        }
    }

    fn count(&self, status: StatusCode) {
        if let Some(counter) = self.responses.read().unwrap_or_else(PoisonError::into_inner).get(&status) {
            return counter.increment(1);
        }
        let labels = [
            ("host", self.host.clone()),
            ("action", self.action.to_owned()),
            ("method", self.method.to_string()),
            ("statusCode", status.as_str().to_owned()),
        ];
        let counter = counter!("media_http_responses_total", &labels);
        counter.increment(1);
        self.responses.write().unwrap_or_else(PoisonError::into_inner).insert(status, counter);
    }
}

impl Observed {
    pub(crate) fn end(self, status: StatusCode) {
        let Self { series, began } = self;
        let took = began.elapsed();
        series.count(status);
        series.seconds.record(took);
        let (action, method) = (series.action, &series.method);
        tracing::debug!(action, %method, status = status.as_u16(), ?took, "request answered");
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").field("host", &self.host).finish_non_exhaustive()
    }
}
