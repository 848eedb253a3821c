//! Application services whose tokens stand in the configuration (`accessTokens.useLocalAppserviceConfig`).

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use mmr_core::types::Caller;
use regex::Regex;
use ruma::{OwnedUserId, ServerName};

use super::{AuthError, Authenticator, Credentials};
use crate::config::{AppService, Pattern};

/// Knows configured application services and asks another authenticator about everybody else.
#[derive(Debug)]
pub struct AppServices {
    services: Vec<Known>,
    others: Arc<dyn Authenticator>,
}

#[derive(Debug)]
struct Known {
    service: AppService,
    // Patterns that cover the whole ID: one that merely occurs in it would let `@bot` act as `@evil_@bot`.
    covering: Vec<Regex>,
}

impl AppServices {
    /// Looks at `services` before `others` is asked.
    #[must_use]
    pub fn new(services: Vec<AppService>, others: Arc<dyn Authenticator>) -> Self {
        let known = |service: AppService| {
            let whole = |pattern: &Pattern| Regex::new(&format!("^(?:{})$", pattern.regex().as_str())).ok();
            let covering = service.namespaces.iter().filter_map(whole).collect();
            Known { service, covering }
        };
        Self { services: services.into_iter().map(known).collect(), others }
    }
}

#[async_trait]
impl Authenticator for AppServices {
    async fn authenticate(
        &self,
        server: &ServerName,
        credentials: &Credentials,
    ) -> Result<Caller, AuthError> {
        let known = self.services.iter().find(|known| known.service.as_token.expose() == credentials.token);
        let Some(known) = known else { return self.others.authenticate(server, credentials).await };
        let id = match &credentials.user_id {
            None => known.service.sender.clone(),
            Some(user) => known.act_as(server, user).ok_or_else(not_yours)?,
        };
        Ok(Caller::User { id, guest: false })
    }
}

impl Known {
    fn act_as(&self, server: &ServerName, user: &str) -> Option<OwnedUserId> {
        let id = OwnedUserId::try_from(user).ok()?;
        let allowed = id == self.service.sender || self.covering.iter().any(|pattern| pattern.is_match(user));
        (allowed && id.server_name() == server).then_some(id)
    }
}

fn not_yours() -> AuthError {
    let body = br#"{"errcode":"M_FORBIDDEN","error":"The application service cannot act as this user"}"#;
    AuthError::Refused { status: StatusCode::FORBIDDEN, body: Bytes::from_static(body), retry_after: None }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_user_id, server_name};

    use super::*;
    use crate::config::Secret;

    #[derive(Debug)]
    struct Nobody;

    #[async_trait]
    impl Authenticator for Nobody {
        async fn authenticate(&self, _: &ServerName, _: &Credentials) -> Result<Caller, AuthError> {
            Err(AuthError::unknown_token())
        }
    }

    async fn who(token: &str, user_id: Option<&str>) -> Result<String, u16> {
        let service = AppService {
            id: "bridge".to_owned(),
            as_token: Secret::from("as".to_owned()),
            sender: owned_user_id!("@bot:x.org"),
            namespaces: vec!["@bridge_.*:x\\.org".parse().unwrap()],
        };
        let services = AppServices::new(vec![service], Arc::new(Nobody));
        let user_id = user_id.map(str::to_owned);
        let credentials = Credentials { token: token.to_owned(), user_id, device_id: None };
        match services.authenticate(server_name!("x.org"), &credentials).await {
            Ok(caller) => Ok(caller.user_id().unwrap().to_string()),
            Err(AuthError::Refused { status, .. }) => Err(status.as_u16()),
            Err(AuthError::Unavailable(_)) => Err(503),
        }
    }

    #[tokio::test]
    async fn a_service_is_its_sender_or_a_user_of_its_name_space() {
        assert_eq!(who("as", None).await.as_deref(), Ok("@bot:x.org"));
        assert_eq!(who("as", Some("@bridge_a:x.org")).await.as_deref(), Ok("@bridge_a:x.org"));
    }

    #[tokio::test]
    async fn a_service_cannot_act_as_anybody_else() {
        for user in
            ["@alice:x.org", "@bridge_a:x.org.evil", "@evil_@bridge_a:x.org", "@bridge_a:y.org", "nonsense"]
        {
            assert_eq!(who("as", Some(user)).await, Err(403), "{user}");
        }
    }

    #[tokio::test]
    async fn other_tokens_are_others_to_know() {
        assert_eq!(who("other", None).await, Err(401));
    }
}
