//! `/.well-known/matrix/server`: whom a server names in its place.
//!
//! See "[`GET /.well-known/matrix/server`]" in the specification. Failures are no errors here; the search goes on
//! without a file. How long files and failures are remembered is what Synapse does, where the specification is silent.
//!
//! [`GET /.well-known/matrix/server`]: https://spec.matrix.org/v1.19/server-server-api/#getwell-knownmatrixserver

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{CACHE_CONTROL, EXPIRES, LOCATION},
};
use http_body_util::{BodyExt as _, Limited};
use hyper::{body::Incoming, rt::Executor as _};
use hyper_util::rt::TokioExecutor;
use moka::future::Cache;
use ruma::OwnedServerName;
use serde::Deserialize;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use url::Url;

use super::{error::NetError, options::NetOptions, transport::Transport};
use crate::{clock::Clock, types::Timestamp};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Life time of a file that says nothing about it, and its bounds whatever it says.
const DEFAULT_LIFETIME: Duration = Duration::from_hours(24);
const SHORTEST_LIFETIME: Duration = Duration::from_mins(5);
const LONGEST_LIFETIME: Duration = Duration::from_hours(48);
/// How long the first failure is remembered; each further one twice as long, up to an hour.
const FIRST_FAILURE: Duration = MINUTE;
const LONGEST_FAILURE: Duration = HOUR;
/// A server whose file was valid until recently is probably only restarting.
const FAILURE_AFTER_VALID: Duration = Duration::from_mins(2);
const RECENTLY: Duration = Duration::from_hours(2);

const MAX_REDIRECTS: usize = 5;
const MAX_BODY: usize = 50 * 1024;
const MAX_REMEMBERED: u64 = 10_000;

/// Whom a server names in its place: a host, with or without a port.
pub(crate) type Delegate = OwnedServerName;

/// Asks for the files and remembers them. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct WellKnown {
    transport: Transport,
    timeout: Duration,
    port: u16,
    clock: Arc<dyn Clock>,
    slots: Cache<String, Slot>,
}

/// What is known about one host. Locked while it is being asked.
type Slot = Arc<Mutex<Option<Memory>>>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Memory {
    delegate: Option<Delegate>,
    expires: Timestamp,
    /// When the last valid file expires or expired.
    valid_until: Option<Timestamp>,
    /// Failures since then.
    failures: u32,
}

/// Why there is no delegate. Told to the log only.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("it took longer than {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("the status is {0}")]
    Status(StatusCode),
    #[error("a redirect leads nowhere, back, or away from https")]
    Redirect,
    #[error("there are more than {MAX_REDIRECTS} redirects")]
    TooManyRedirects,
    #[error("the body is longer than {MAX_BODY} bytes, or breaks off")]
    Body,
    #[error("the body names no server")]
    Invalid,
}

impl WellKnown {
    pub(super) fn new(options: &NetOptions, transport: Transport) -> Self {
        Self {
            transport,
            timeout: options.well_known_timeout,
            port: options.well_known_port,
            clock: Arc::clone(&options.clock),
            slots: Cache::new(MAX_REMEMBERED),
        }
    }

    /// Whom `host` names in its place, if anybody.
    ///
    /// However many ask, the host is asked once. Whoever gives up does not stop it, so that a host that never answers is
    /// remembered as such even when everybody is less patient than we are.
    pub(super) async fn lookup(&self, host: &str) -> Option<Delegate> {
        let host = host.to_ascii_lowercase();
        let slot = self.slots.get_with_by_ref(&host, async { Slot::default() }).await;
        let memory = slot.lock_owned().await;
        if let Some(fresh) = memory.as_ref().filter(|memory| self.clock.now() < memory.expires) {
            return fresh.delegate.clone();
        }
        let (answer, answered) = oneshot::channel();
        let this = self.clone();
        TokioExecutor::new().execute(async move {
            let delegate = this.refresh(&host, memory).await;
            // Nobody may be waiting any more.
            answer.send(delegate).ok();
        });
        answered.await.ok().flatten()
    }

    async fn refresh(&self, host: &str, mut memory: OwnedMutexGuard<Option<Memory>>) -> Option<Delegate> {
        let late = |_| Failure::Timeout(self.timeout);
        let result = tokio::time::timeout(self.timeout, self.fetch(host)).await.map_err(late).flatten();
        let now = self.clock.now();
        let renewed = match result {
            Ok((delegate, headers)) => Memory::of_file(delegate, &headers, now),
            Err(failure) => {
                let error = &failure as &dyn std::error::Error;
                tracing::debug!(host, error, "{host} has no usable .well-known file");
                Memory::of_failure(memory.as_ref(), now)
            }
        };
        memory.insert(renewed).delegate.clone()
    }

    async fn fetch(&self, host: &str) -> Result<(Delegate, HeaderMap), Failure> {
        let mut url = Url::parse(&format!("https://{host}/.well-known/matrix/server"))
            .map_err(|_| Failure::Redirect)?;
        url.set_port(Some(self.port)).map_err(|()| Failure::Redirect)?;
        let mut seen = HashSet::new();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.transport.get_url(&url, HeaderMap::new()).await?;
            match response.status() {
                StatusCode::OK => {
                    let (head, body) = response.into_parts();
                    let delegate = parse(&collect(body).await?).ok_or(Failure::Invalid)?;
                    return Ok((delegate, head.headers));
                }
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    let next = redirect(&url, response.headers()).ok_or(Failure::Redirect)?;
                    seen.insert(std::mem::replace(&mut url, next));
                    if seen.contains(&url) {
                        return Err(Failure::Redirect);
                    }
                }
                other => return Err(Failure::Status(other)),
            }
        }
        Err(Failure::TooManyRedirects)
    }
}

impl Memory {
    fn of_file(delegate: Delegate, headers: &HeaderMap, now: Timestamp) -> Self {
        let expires = now.plus(lifetime(headers, now));
        Self { delegate: Some(delegate), expires, valid_until: Some(expires), failures: 0 }
    }

    fn of_failure(before: Option<&Self>, now: Timestamp) -> Self {
        let failures = before.map_or(0, |memory| memory.failures).saturating_add(1);
        let valid_until = before.and_then(|memory| memory.valid_until);
        let pause = if valid_until.is_some_and(|until| now.since(until) < RECENTLY) {
            FAILURE_AFTER_VALID
        } else {
            FIRST_FAILURE.saturating_mul(2_u32.saturating_pow(failures - 1)).min(LONGEST_FAILURE)
        };
        Self { delegate: None, expires: now.plus(pause), valid_until, failures }
    }
}

/// Reads the body of a file, whatever its Content-Type. `None` when it names no server.
///
/// Total: any bytes have an answer.
pub(crate) fn parse(body: &[u8]) -> Option<Delegate> {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "m.server")]
        server: String,
    }
    let file: File = serde_json::from_slice(body).ok()?;
    file.server.try_into().ok()
}

async fn collect(body: Incoming) -> Result<Bytes, Failure> {
    Ok(Limited::new(body, MAX_BODY).collect().await.map_err(|_| Failure::Body)?.to_bytes())
}

fn redirect(from: &Url, headers: &HeaderMap) -> Option<Url> {
    let mut url = from.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
    url.set_fragment(None);
    (url.scheme() == "https").then_some(url)
}

/// How long a file may be used.
fn lifetime(headers: &HeaderMap, now: Timestamp) -> Duration {
    let stated = cache_control(headers).or_else(|| expires(headers, now));
    stated.unwrap_or(DEFAULT_LIFETIME).clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME)
}

/// What `Cache-Control` says; `None` when it says nothing about time.
fn cache_control(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    let mut max_age = None;
    for directive in values.flat_map(|value| value.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(Duration::ZERO),
            // A number that is none, or too large for one, is treated as if it were not there.
            "max-age" => max_age = value.trim().trim_matches('"').parse().ok().map(Duration::from_secs),
            _ => {}
        }
    }
    max_age
}

fn expires(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(EXPIRES)?.to_str().ok()?;
    // A date that is none has passed already (RFC 9111 section 5.3); "0" is common.
    let date = httpdate::parse_http_date(value).unwrap_or(std::time::UNIX_EPOCH);
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Some(Timestamp::EPOCH.plus(since_epoch).since(now))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn lifetime_of(pairs: &[(HeaderName, &str)]) -> Duration {
        lifetime(&headers(pairs), NOW)
    }

    fn parsed(body: &str) -> Option<String> {
        parse(body.as_bytes()).map(|delegate| delegate.to_string())
    }

    #[test]
    fn a_file_names_a_host_with_or_without_a_port() {
        for name in ["matrix.example.org", "matrix.example.org:443", "192.0.2.1", "[2001:db8::1]:8448"] {
            let body = format!(r#"{{"m.server": "{name}", "m.other": 1}}"#);
            assert_eq!(parsed(&body).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_file_that_names_no_server_is_invalid() {
        for body in [
            "",
            "null",
            "[]",
            "{}",
            "<html>",
            r#"{"m.server": null}"#,
            r#"{"m.server": 5}"#,
            r#"{"m.server": ""}"#,
            r#"{"m.server": "a b"}"#,
            r#"{"m.server": "https://example.org"}"#,
            r#"{"m.server": "example.org:99999"}"#,
            r#"{"m.server": "example.org"}x"#,
        ] {
            assert_eq!(parsed(body), None, "{body}");
        }
    }

    #[test]
    fn a_file_is_used_for_as_long_as_it_says_within_bounds() {
        let hours = Duration::from_hours;
        assert_eq!(lifetime_of(&[]), hours(24));
        assert_eq!(lifetime_of(&[(CACHE_CONTROL, "public, Max-Age=7200")]), hours(2));
        assert_eq!(lifetime_of(&[(CACHE_CONTROL, "max-age=\"7200\"")]), hours(2));
        assert_eq!(lifetime_of(&[(CACHE_CONTROL, "max-age=9999999")]), LONGEST_LIFETIME);
        assert_eq!(lifetime_of(&[(CACHE_CONTROL, "max-age=1")]), SHORTEST_LIFETIME);
        assert_eq!(lifetime_of(&[(CACHE_CONTROL, "max-age=7200, no-store")]), SHORTEST_LIFETIME);
        assert_eq!(lifetime_of(&[(CACHE_CONTROL, "max-age=soon")]), DEFAULT_LIFETIME);
        assert_eq!(lifetime_of(&[(EXPIRES, "Wed, 15 Nov 2023 00:13:20 GMT")]), hours(2));
        assert_eq!(lifetime_of(&[(EXPIRES, "0")]), SHORTEST_LIFETIME);
        let both = [(EXPIRES, "Wed, 15 Nov 2023 00:13:20 GMT"), (CACHE_CONTROL, "max-age=3600")];
        assert_eq!(lifetime_of(&both), hours(1));
    }

    /// How long each of `count` failures in a row is remembered, beginning with `memory`.
    fn pauses(mut memory: Option<Memory>, mut now: Timestamp, count: usize) -> Vec<u64> {
        let mut pauses = Vec::new();
        for _ in 0..count {
            let failed = Memory::of_failure(memory.as_ref(), now);
            pauses.push(failed.expires.since(now).as_secs() / 60);
            now = failed.expires;
            memory = Some(failed);
        }
        pauses
    }

    #[test]
    fn failures_are_remembered_twice_as_long_each_time_up_to_an_hour() {
        assert_eq!(pauses(None, NOW, 8), [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_server_that_was_fine_until_recently_is_asked_again_soon() {
        let fine = Memory::of_file("a.example".try_into().unwrap(), &HeaderMap::new(), NOW);
        assert_eq!(pauses(Some(fine.clone()), fine.expires, 3), [2, 2, 2]);
        assert_eq!(pauses(Some(fine.clone()), fine.expires.plus(RECENTLY), 3), [1, 2, 4]);
    }

    #[test]
    fn a_redirect_stays_on_https() {
        let from: Url = "https://a.example/x".parse().unwrap();
        let to = |location| redirect(&from, &headers(&[(LOCATION, location)])).map(String::from);
        assert_eq!(to("/y#z").as_deref(), Some("https://a.example/y"));
        assert_eq!(to("//b.example:444/").as_deref(), Some("https://b.example:444/"));
        assert_eq!(to("http://a.example/"), None);
        assert_eq!(redirect(&from, &HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn any_body_has_an_answer(body: Vec<u8>) {
            parse(&body);
        }

        #[test]
        fn any_name_in_a_file_has_an_answer(name: String) {
            let body = serde_json::json!({ "m.server": name }).to_string();
            if let Some(delegate) = parsed(&body) {
                prop_assert_eq!(delegate, name);
            }
        }

        #[test]
        fn a_lifetime_is_always_within_bounds(cache_control in "[ -~]*", expires in "[ -~]*") {
            let lifetime = lifetime_of(&[(CACHE_CONTROL, &cache_control), (EXPIRES, &expires)]);
            prop_assert!((SHORTEST_LIFETIME..=LONGEST_LIFETIME).contains(&lifetime));
        }
    }
}
