//! Who sends a request: tokens to callers.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use mmr_core::types::Caller;
use ruma::ServerName;

mod admins;
mod app_services;
mod cache;
mod homeserver;

pub use self::{
    admins::Admins,
    app_services::AppServices,
    cache::TokenCache,
    homeserver::{Homeserver, HomeserverError, Relayed},
};

/// Turns an access token into a caller. A homeserver that embeds the routes brings its own.
#[async_trait]
pub trait Authenticator: std::fmt::Debug + Send + Sync + 'static {
    /// Who holds these credentials on the homeserver `server`.
    ///
    /// Errors: [`AuthError::Refused`] is sent to the client as it is and must never stand for an outage;
    /// [`AuthError::Unavailable`] becomes a 503.
    async fn authenticate(&self, server: &ServerName, credentials: &Credentials)
    -> Result<Caller, AuthError>;
}

/// What a request presents ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#using-access-tokens
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The access token.
    pub token: String,
    /// The user that an application service acts as (`user_id` in the query).
    pub user_id: Option<String>,
    /// The device that an application service acts as (`device_id` in the query).
    pub device_id: Option<String>,
}

/// Why credentials name no caller.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuthError {
    /// The homeserver's own refusal, to be sent on as it is: unknown token, locked or suspended account, and whatever
    /// may come.
    #[error("the homeserver refused the token with status {status}")]
    Refused {
        /// The homeserver's status.
        status: StatusCode,
        /// The homeserver's JSON body.
        body: Bytes,
        /// The homeserver's `Retry-After`.
        retry_after: Option<http::HeaderValue>,
    },
    /// Nobody can tell: the homeserver did not answer, or not with sense.
    #[error("the homeserver could not check the token: {0}")]
    Unavailable(String),
}

impl AuthError {
    /// The refusal that the specification has for a token that nobody knows.
    #[must_use]
    pub fn unknown_token() -> Self {
        let body = br#"{"errcode":"M_UNKNOWN_TOKEN","error":"Unknown access token","soft_logout":false}"#;
        Self::Refused { status: StatusCode::UNAUTHORIZED, body: Bytes::from_static(body), retry_after: None }
    }
}

impl Credentials {
    /// Credentials in the `Authorization` header or, deprecated, in the query. The header wins; one that is not
    /// `Bearer` presents nothing.
    #[must_use]
    pub fn from_request(headers: &HeaderMap, query: &str) -> Option<Self> {
        let (mut token, mut user_id, mut device_id) = (None, None, None);
        if !query.is_empty() {
            for (key, value) in form_urlencoded::parse(query.as_bytes()) {
                let slot = match &*key {
                    "access_token" => &mut token,
                    "user_id" => &mut user_id,
                    "device_id" => &mut device_id,
                    _ => continue,
                };
                slot.get_or_insert_with(|| value.into_owned());
            }
        }
        let token = match headers.get(header::AUTHORIZATION) {
            Some(value) => bearer(value.to_str().ok()?)?.to_owned(),
            None => token?,
        };
        (!token.is_empty()).then_some(Self { token, user_id, device_id })
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("token", &"<hidden>")
            .field("user_id", &self.user_id)
            .field("device_id", &self.device_id)
            .finish()
    }
}

/// The scheme's case does not matter (RFC 9110 section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(authorization: Option<&str>, query: &str) -> Option<Credentials> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        Credentials::from_request(&headers, query)
    }

    fn token(authorization: Option<&str>, query: &str) -> Option<String> {
        credentials(authorization, query).map(|credentials| credentials.token)
    }

    #[test]
    fn a_token_is_found_in_the_header_or_else_in_the_query() {
        assert_eq!(token(Some("Bearer a"), "access_token=b").as_deref(), Some("a"));
        assert_eq!(token(Some("bEARER  a "), "").as_deref(), Some("a"));
        assert_eq!(token(None, "x=y&access_token=b").as_deref(), Some("b"));
    }

    #[test]
    fn a_header_of_another_scheme_presents_nothing() {
        assert_eq!(token(Some("Basic a"), "access_token=b"), None);
        assert_eq!(token(Some("Bearer"), "access_token=b"), None);
        assert_eq!(token(Some("Bearer "), ""), None);
        assert_eq!(token(None, "access_token="), None);
    }

    #[test]
    fn an_application_service_may_act_as_somebody() {
        let credentials = credentials(Some("Bearer a"), "user_id=%40bot%3Ax.org&device_id=D").unwrap();
        assert_eq!(credentials.user_id.as_deref(), Some("@bot:x.org"));
        assert_eq!(credentials.device_id.as_deref(), Some("D"));
    }

    #[test]
    fn the_token_is_not_shown_in_logs() {
        assert!(!format!("{:?}", credentials(Some("Bearer secret"), "")).contains("secret"));
    }
}
