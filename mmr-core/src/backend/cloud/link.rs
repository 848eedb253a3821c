//! Which link an object gets.

use std::time::Duration;

use url::Url;

use super::{Invalid, Links, parse};
use crate::{datastore::LinkRequest, types::BlobKey};

/// What is to be done about a request for a link.
pub(in crate::backend) enum Decision {
    None,
    /// Everybody can read there.
    Public(Url),
    /// One is to be signed that lives so long.
    Sign(Duration),
}

impl Links {
    /// What an operator got wrong.
    pub(in crate::backend) fn check(&self) -> Result<(), Invalid> {
        self.public_base_url.as_ref().map_or(Ok(()), |base| parse(base, "public_base_url").map(drop))
    }

    /// The address that clients reach the store at, if it is not the endpoint.
    pub(in crate::backend) fn endpoint(&self) -> Option<&str> {
        self.presign.as_ref()?.endpoint.as_deref()
    }

    pub(in crate::backend) fn decide(
        &self,
        key: &BlobKey,
        request: &LinkRequest<'_>,
    ) -> Result<Decision, url::ParseError> {
        if let Some(base) = &self.public_base_url {
            return Url::parse(&format!("{base}{key}")).map(Decision::Public);
        }
        Ok(match &self.presign {
            Some(presign) if request.len >= presign.min_bytes => {
                Decision::Sign(request.ttl.min(presign.max_ttl))
            }
            _ => Decision::None,
        })
    }
}
