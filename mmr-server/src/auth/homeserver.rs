//! The homeserver behind this repository, over its client-server API.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use mmr_core::types::Caller;
use ruma::{OwnedUserId, ServerName};
use serde::Deserialize;

use super::{AuthError, Authenticator, Credentials};

/// Longest answer read, in bytes: `/versions` of a large server has about 10 KiB.
const MAX_ANSWER: usize = 1 << 20;

/// Speaks to one homeserver.
pub struct Homeserver {
    base: String,
    timeout: Duration,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// The homeserver's answer, to be sent on.
#[derive(Clone, Debug)]
pub struct Relayed {
    /// Its status.
    pub status: StatusCode,
    /// Its JSON body.
    pub body: Bytes,
    /// Its `Retry-After`.
    pub retry_after: Option<HeaderValue>,
}

/// The homeserver gave no answer that can be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HomeserverError {
    /// The base URL of the homeserver cannot be spoken to.
    #[error("csApi {base:?} is not usable: {reason}")]
    BadBase {
        /// The configured URL.
        base: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No answer, or none in time.
    #[error("no answer from the homeserver at {base}: {reason}")]
    NoAnswer {
        /// The configured URL.
        base: String,
        /// What happened.
        reason: String,
    },
}

#[derive(Deserialize)]
struct WhoAmI {
    user_id: OwnedUserId,
    #[serde(default)]
    is_guest: bool,
}

impl Homeserver {
    /// A client for the homeserver at `base` (`homeservers[].csApi`); each call takes at most `timeout`.
    ///
    /// Errors: [`HomeserverError::BadBase`] when `base` is no http(s) URL or no trusted roots can be loaded.
    pub fn new(base: &str, timeout: Duration) -> Result<Self, HomeserverError> {
        let bad = |reason: String| HomeserverError::BadBase { base: base.to_owned(), reason };
        let uri: Uri = base.parse().map_err(|error| bad(format!("{error}")))?;
        let builder = hyper_rustls::HttpsConnectorBuilder::new();
        let connector = match uri.scheme_str() {
            Some("https") => {
                let builder =
                    builder.with_native_roots().map_err(|error| bad(format!("no trusted roots: {error}")))?;
                builder.https_only().enable_http1().enable_http2().build()
            }
            // The roots are never consulted; loading the system's would cost start-up time.
            Some("http") => {
                let builder = builder.with_tls_config(plain_tls().map_err(bad)?);
                builder.https_or_http().enable_http1().build()
            }
            _ => return Err(bad("it must start with http:// or https://".to_owned())),
        };
        let client =
            Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(30)).build(connector);
        Ok(Self { base: base.trim_end_matches('/').to_owned(), timeout, client })
    }

    /// `GET /_matrix/client/versions`, with the caller's token when there is one.
    pub async fn versions(&self, credentials: Option<&Credentials>) -> Result<Relayed, HomeserverError> {
        self.call(Method::GET, "/_matrix/client/versions", credentials).await
    }

    /// `POST /_matrix/client/v3/logout`, or `/logout/all`.
    pub async fn logout(&self, credentials: &Credentials, all: bool) -> Result<Relayed, HomeserverError> {
        let path = if all { "/_matrix/client/v3/logout/all" } else { "/_matrix/client/v3/logout" };
        self.call(Method::POST, path, Some(credentials)).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        credentials: Option<&Credentials>,
    ) -> Result<Relayed, HomeserverError> {
        let request =
            self.request(method, path, credentials).map_err(|error| self.no_answer(error.to_string()))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| explain(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
            let retry_after = head.headers.get(header::RETRY_AFTER).cloned();
            Ok(Relayed { status: head.status, body: body.to_bytes(), retry_after })
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer.map_err(|reason: String| self.no_answer(reason)),
            Err(_) => Err(self.no_answer(format!("nothing came for {} s", self.timeout.as_secs()))),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        credentials: Option<&Credentials>,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut target = format!("{}{path}", self.base);
        let mut request = Request::builder().method(method);
        if let Some(Credentials { token, user_id, device_id }) = credentials {
            let mut query = form_urlencoded::Serializer::new(String::new());
            for (key, value) in [("user_id", user_id), ("device_id", device_id)] {
                if let Some(value) = value {
                    query.append_pair(key, value);
                }
            }
            let query = query.finish();
            if !query.is_empty() {
                target = format!("{target}?{query}");
            }
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request.uri(target).body(Full::default())
    }

    fn no_answer(&self, reason: String) -> HomeserverError {
        HomeserverError::NoAnswer { base: self.base.clone(), reason }
    }
}

impl fmt::Debug for Homeserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Homeserver").field("base", &self.base).finish_non_exhaustive()
    }
}

#[async_trait]
impl Authenticator for Homeserver {
    /// Asks `GET /_matrix/client/v3/account/whoami` ([spec]).
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3accountwhoami
    async fn authenticate(&self, _: &ServerName, credentials: &Credentials) -> Result<Caller, AuthError> {
        let answer = self.call(Method::GET, "/_matrix/client/v3/account/whoami", Some(credentials)).await;
        let Relayed { status, body, retry_after } =
            answer.map_err(|error| AuthError::Unavailable(error.to_string()))?;
        if status.is_success() {
            let WhoAmI { user_id, is_guest } = serde_json::from_slice(&body).map_err(|error| {
                AuthError::Unavailable(format!("whoami of {} makes no sense: {error}", self.base))
            })?;
            return Ok(Caller::User { id: user_id, guest: is_guest });
        }
        // Only what a homeserver itself says about a token may reach the client as a refusal: a proxy's 404 page in
        // front of a homeserver that is down must not log anybody out.
        if status.is_client_error() && has_errcode(&body) {
            return Err(AuthError::Refused { status, body, retry_after });
        }
        Err(AuthError::Unavailable(format!("whoami of {} answered {status}", self.base)))
    }
}

fn has_errcode(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Refusal {
        errcode: String,
    }
    serde_json::from_slice::<Refusal>(body)
        .is_ok_and(|refusal| !refusal.errcode.is_empty() && refusal.errcode != "M_UNRECOGNIZED")
}

fn plain_tls() -> Result<rustls::ClientConfig, String> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

/// The whole chain: the outermost error only says that the client failed.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
