//! `POST /_matrix/client/v3/logout` and `/logout/all`: passed through to the homeserver, so that remembered tokens can be
//! dropped at once ([spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3logout)).

use mmr_core::store::Signal;

use super::{Answer, Context};
use crate::{
    auth::AuthError,
    respond::{self, ApiError},
};

pub(super) async fn logout(context: Context<'_>, all: bool) -> Answer {
    let homeserver = context.tenant.homeserver.as_ref().ok_or_else(ApiError::unrecognized)?;
    let credentials = context.credentials().ok_or_else(ApiError::missing_token)?;
    // Whose token it is must be known before it is worthless. A token that nobody knows, or a homeserver that does not
    // answer, is the homeserver's to tell.
    let caller =
        context.tenant.authenticator.authenticate(context.tenant.server_name(), &credentials).await.ok();
    let answer = homeserver.logout(&credentials, all).await;
    // Whatever came back: a token that still works is only asked about once more.
    if let Some(tokens) = &context.tenant.tokens {
        tokens.forget(context.tenant.server_name(), &credentials);
        if let Some(user) = caller.as_ref().and_then(|caller| caller.user_id()) {
            tokens.forget_user(user);
            tell_other_nodes(context, user).await;
        }
    }
    let answer = answer.map_err(|error| AuthError::Unavailable(error.to_string()))?;
    Ok(respond::raw_json(answer.status, answer.body))
}

async fn tell_other_nodes(context: Context<'_>, user: &ruma::UserId) {
    let store = context.service.repository.store();
    if let Err(error) = store.publish(&Signal::LoggedOut(user.to_owned())).await {
        tracing::warn!(%error, "other nodes were not told of a logout; they forget the token in time");
    }
}
