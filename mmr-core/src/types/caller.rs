//! Who asks.

use ruma::{OwnedServerName, OwnedUserId, UserId};

/// The authenticated party behind a request. How it was authenticated is the embedder's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody in particular: the deprecated endpoints that ask for no token.
    Anonymous,
    /// A user of a local homeserver.
    User {
        /// The user.
        id: OwnedUserId,
        /// Whether the account is a guest account, which may download and nothing else (MSC4189).
        guest: bool,
    },
    /// An operator of this repository.
    Admin(OwnedUserId),
    /// Another homeserver, by the signature of its request.
    Server(OwnedServerName),
}

impl Caller {
    /// The user behind the request, if it is one.
    #[must_use]
    pub fn user_id(&self) -> Option<&UserId> {
        match self {
            Self::User { id, .. } | Self::Admin(id) => Some(id),
            Self::Anonymous | Self::Server(_) => None,
        }
    }

    /// Whether anybody was authenticated.
    #[must_use]
    pub const fn is_authenticated(&self) -> bool {
        !matches!(self, Self::Anonymous)
    }
}
