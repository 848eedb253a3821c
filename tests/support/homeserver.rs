//! A homeserver that answers as it is told and counts what it is asked.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::server::spawn;

/// A homeserver on a free port. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FakeHomeserver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    answers: HashMap<String, (StatusCode, String)>,
    asked: Vec<String>,
}

impl FakeHomeserver {
    /// Starts a homeserver that knows no token.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let this = Self { address, state: Arc::default() };
        let serving = this.clone();
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let this = serving.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let response = this.answer(&request);
                    async move { Ok::<_, Infallible>(response) }
                });
                spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        this
    }

    /// What to configure as `csApi`.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers `whoami` with this for `token`.
    pub fn on_token(&self, token: &str, status: u16, body: &Value) {
        self.on(&format!("whoami {token}"), status, &body.to_string());
    }

    /// Lets `token` belong to `user_id`.
    pub fn add_user(&self, token: &str, user_id: &str) {
        self.on_token(token, 200, &json!({ "user_id": user_id, "is_guest": false }));
    }

    /// Answers `what` (`versions`, `logout`, `whoami TOKEN`, `whoami TOKEN USER`) with this text.
    ///
    /// # Panics
    /// When `status` is no HTTP status.
    pub fn on(&self, what: &str, status: u16, body: &str) {
        let status = StatusCode::from_u16(status).expect("a status");
        self.state().answers.insert(what.to_owned(), (status, body.to_owned()));
    }

    /// Everything it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let path = request.uri().path();
        let last = path.rsplit('/').next().unwrap_or_default();
        let what = match (last, request.uri().query()) {
            ("whoami", Some(query)) => format!("whoami {token} {query}"),
            ("whoami", None) => format!("whoami {token}"),
            ("all", _) => "logout/all".to_owned(),
            (last, _) => last.to_owned(),
        };
        let mut state = self.state();
        state.asked.push(what.clone());
        let unknown =
            || (StatusCode::UNAUTHORIZED, r#"{"errcode":"M_UNKNOWN_TOKEN","error":"?"}"#.to_owned());
        let (status, body) = state.answers.get(&what).cloned().unwrap_or_else(unknown);
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        response
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panics while it is held")
    }
}
