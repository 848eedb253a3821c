//! Users with rights over the whole repository (`admins`).

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use mmr_core::types::Caller;
use ruma::{OwnedUserId, ServerName};

use super::{AuthError, Authenticator, Credentials};

/// Recognises administrators among those whom another authenticator knows.
#[derive(Debug)]
pub struct Admins {
    admins: HashSet<OwnedUserId>,
    everybody: Arc<dyn Authenticator>,
}

impl Admins {
    /// `admins` are administrators once `everybody` says that it is them. Guests never are.
    #[must_use]
    pub fn new(admins: HashSet<OwnedUserId>, everybody: Arc<dyn Authenticator>) -> Self {
        Self { admins, everybody }
    }
}

#[async_trait]
impl Authenticator for Admins {
    async fn authenticate(
        &self,
        server: &ServerName,
        credentials: &Credentials,
    ) -> Result<Caller, AuthError> {
        Ok(match self.everybody.authenticate(server, credentials).await? {
            Caller::User { id, guest: false } if self.admins.contains(&id) => Caller::Admin(id),
            caller => caller,
        })
    }
}
