//! Withdrawing media, and removing it.

use http::{Response, StatusCode};
use mmr_core::{
    store::MediaFilter,
    types::{Caller, Mxc, Timestamp},
};
use ruma::{OwnedServerName, OwnedUserId};
use serde_json::json;

use super::{super::Answer, Context, query};
use crate::{
    respond::{self, ApiError, MediaBody},
    route::Selection,
};

/// `POST quarantine/...`: withdraws what was selected and every copy of its bytes. Answers `{"num_quarantined"}`.
pub(super) async fn quarantine(context: Context<'_>, selection: &Selection<'_>, by: &Caller) -> Answer {
    let Caller::Admin(by) = by else { return Err(ApiError::forbidden("Only administrators may do this")) };
    let filter = selected(selection)?;
    let changed = context.service.repository.moderation().quarantine(&filter, by.clone(), None).await?;
    tracing::info!(%by, count = changed, "quarantined media");
    Ok(respond::json(StatusCode::OK, &json!({ "num_quarantined": changed })))
}

/// `POST purge/...?before_ts={ms}`: removes what was selected, but not what is pinned, nor what is quarantined, so that the
/// verdict on its bytes stands. Answers `{"purged": true, "affected": [mxc]}`.
pub(super) async fn purge(context: Context<'_>, selection: &Selection<'_>) -> Answer {
    let filter = MediaFilter { created_before: before(context)?, ..spared(selected(selection)?) };
    // The answer names all of it.
    let removed = context.service.repository.purge().run(&filter, usize::MAX).await?;
    let affected: Vec<String> = removed.mxcs.iter().map(ToString::to_string).collect();
    Ok(respond::json(StatusCode::OK, &json!({ "purged": true, "affected": affected })))
}

/// `POST purge/remote?before_ts={ms}`: removes what was fetched from other servers before that moment. Answers
/// `{"total_removed"}`.
pub(super) async fn purge_remote(context: Context<'_>) -> Answer {
    let before = before(context)?.ok_or_else(|| ApiError::missing_param("before_ts"))?;
    let policies = context.service.repository.policies().snapshot();
    let filter = MediaFilter {
        not_origins: policies.servers().map(|(name, _)| name.to_owned()).collect(),
        created_before: Some(before),
        ..spared(MediaFilter::default())
    };
    let removed = context.service.repository.purge().run(&filter, 0).await?;
    Ok(total(removed.media))
}

fn total(removed: u64) -> Response<MediaBody> {
    respond::json(StatusCode::OK, &json!({ "total_removed": removed }))
}

fn spared(filter: MediaFilter) -> MediaFilter {
    MediaFilter { not_pinned: true, quarantined: Some(false), ..filter }
}

fn before(context: Context<'_>) -> Result<Option<Timestamp>, ApiError> {
    let millis = query::number(context.query(), "before_ts", "milliseconds since the Unix epoch")?;
    Ok(millis.map(Timestamp::from_millis))
}

fn selected(selection: &Selection<'_>) -> Result<MediaFilter, ApiError> {
    let invalid =
        |what| ApiError::new(StatusCode::BAD_REQUEST, "M_INVALID_PARAM", format!("That is no {what}"));
    let none = MediaFilter::default;
    Ok(match selection {
        Selection::Media(server, media_id) => {
            let mxc = Mxc::from_parts(server, media_id).map_err(|_| invalid("MXC URI"))?;
            MediaFilter { mxcs: Some(vec![mxc]), ..none() }
        }
        Selection::User(user) => {
            let user = OwnedUserId::try_from(&**user).map_err(|_| invalid("user ID"))?;
            MediaFilter { uploader: Some(user), ..none() }
        }
        Selection::Server(server) => {
            let origin = OwnedServerName::try_from(&**server).map_err(|_| invalid("server name"))?;
            MediaFilter { origin: Some(origin), ..none() }
        }
    })
}
