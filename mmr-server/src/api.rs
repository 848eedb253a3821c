//! The endpoints: typed inputs, one service call, an answer.

use std::{error::Error as StdError, sync::Arc};

use bytes::Bytes;
use http::{Response, StatusCode, request::Parts};
use http_body::Body;
use mmr_core::types::{Caller, Mxc};
use ruma::UserId;

use crate::{
    auth::Credentials,
    respond::{self, ApiError, MediaBody},
    route::{Endpoint, Family, MediaPath},
    service::{Inner, Readiness, Tenant},
};

mod admin;
mod config;
mod download;
mod federation;
mod info;
mod logout;
mod query;
mod thumbnail;
mod upload;
mod versions;

type Answer = Result<Response<MediaBody>, ApiError>;

/// What every handler has at hand.
#[derive(Clone, Copy)]
pub(crate) struct Context<'r> {
    pub(crate) service: &'r Inner,
    pub(crate) tenant: &'r Arc<Tenant>,
    pub(crate) head: &'r Parts,
}

pub(crate) async fn dispatch<B>(context: Context<'_>, endpoint: Endpoint<'_>, body: B) -> Answer
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    // Boxed are those whose own work dwarfs an allocation: otherwise the future of the smallest download would be as large
    // as that of the largest handler, and is moved several times.
    match endpoint {
        Endpoint::Upload => Box::pin(upload::upload(context, body)).await,
        Endpoint::Create => Box::pin(upload::create(context)).await,
        Endpoint::Fill(path) => Box::pin(upload::fill(context, &path, body)).await,
        Endpoint::Download(family, path, file_name) => {
            download::download(context, family, &path, file_name.as_deref()).await
        }
        Endpoint::Thumbnail(family, path) => Box::pin(thumbnail::thumbnail(context, family, &path)).await,
        Endpoint::FederationDownload(media_id) => Box::pin(federation::download(context, &media_id)).await,
        Endpoint::FederationThumbnail(media_id) => Box::pin(federation::thumbnail(context, &media_id)).await,
        Endpoint::Info(path) => Box::pin(info::info(context, &path)).await,
        Endpoint::Admin(endpoint) => Box::pin(admin::dispatch(context, endpoint)).await,
        Endpoint::Config => config::config(context).await,
        Endpoint::Versions => Box::pin(versions::versions(context)).await,
        Endpoint::Logout { all } => Box::pin(logout::logout(context, all)).await,
        // Answered before a homeserver is selected.
        Endpoint::Health => Err(ApiError::unrecognized()),
    }
}

pub(crate) async fn health(ready: &dyn Readiness) -> Response<MediaBody> {
    let (status, error) = match ready.check().await {
        Ok(()) => (StatusCode::OK, None),
        Err(missing) => (StatusCode::SERVICE_UNAVAILABLE, Some(missing)),
    };
    respond::json(
        status,
        &serde_json::json!({ "ok": error.is_none(), "status": error.as_deref().unwrap_or("ready") }),
    )
}

impl Context<'_> {
    fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    fn credentials(&self) -> Option<Credentials> {
        Credentials::from_request(&self.head.headers, self.query())
    }

    /// Whoever holds the token, guests included.
    async fn caller(&self) -> Result<Caller, ApiError> {
        let credentials = self.credentials().ok_or_else(ApiError::missing_token)?;
        Ok(self.tenant.authenticator.authenticate(self.tenant.server_name(), &credentials).await?)
    }

    /// A user who is no guest.
    async fn member(&self) -> Result<Caller, ApiError> {
        match self.caller().await? {
            Caller::User { guest: true, .. } => Err(ApiError::guest()),
            caller => Ok(caller),
        }
    }

    /// An operator of the whole repository.
    async fn admin(&self) -> Result<Caller, ApiError> {
        match self.caller().await? {
            caller @ Caller::Admin(_) => Ok(caller),
            _ => Err(ApiError::forbidden("Only administrators of the media repository may do this")),
        }
    }

    /// Whoever may read through this family of endpoints. A deprecated endpoint takes a token that it does not need:
    /// one that is refused counts as none, and an outage matters only to those who show one.
    async fn reader(&self, family: Family) -> Result<Caller, ApiError> {
        match family {
            Family::Authenticated => self.caller().await,
            Family::Legacy => match self.credentials() {
                None => Ok(Caller::Anonymous),
                Some(_) => match self.caller().await {
                    Err(error) if error.is_refusal() => Ok(Caller::Anonymous),
                    caller => caller,
                },
            },
        }
    }
}

/// The user who uploads.
fn uploader(caller: &Caller) -> Result<&UserId, ApiError> {
    caller.user_id().ok_or_else(ApiError::missing_token)
}

/// A path that cannot be an MXC URI names nothing that exists.
fn parse_mxc(path: &MediaPath<'_>) -> Result<Mxc, ApiError> {
    Mxc::from_parts(&path.server_name, &path.media_id).map_err(|_| ApiError::not_found())
}
