//! Administration, as in matrix-media-repo.

use http::StatusCode;
use ruma::ServerName;
use serde_json::{Value, json};

use super::{Answer, Context, query};
use crate::{
    respond::{self, ApiError},
    route::AdminEndpoint,
};

mod datastores;
mod moderation;
mod tasks;

pub(super) async fn dispatch(context: Context<'_>, endpoint: AdminEndpoint<'_>) -> Answer {
    let admin = context.admin().await?;
    match endpoint {
        AdminEndpoint::FederationTest(server) => federation_test(context, &server).await,
        AdminEndpoint::Datastores => Ok(datastores::list(context)),
        AdminEndpoint::SizeEstimate(id) => datastores::size_estimate(context, &id).await,
        AdminEndpoint::Transfer { source, target } => datastores::transfer(context, &source, &target).await,
        AdminEndpoint::Tasks { unfinished } => tasks::list(context, unfinished).await,
        AdminEndpoint::Task(id) => tasks::get(context, &id).await,
        AdminEndpoint::Quarantine(selection) => moderation::quarantine(context, &selection, &admin).await,
        AdminEndpoint::Purge(selection) => moderation::purge(context, &selection).await,
        AdminEndpoint::PurgeRemote => moderation::purge_remote(context).await,
    }
}

/// `GET /_matrix/media/unstable/admin/federation/test/{serverName}`: where a server is found, and what it says about
/// itself. Answers `{"base_url", "hostname", "versions_response"}` like matrix-media-repo, and beside that what decided:
/// `tls_name`, `targets` in the order to try, `delegate`, `step`.
async fn federation_test(context: Context<'_>, server: &str) -> Answer {
    let server = ServerName::parse(server)
        .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "M_INVALID_PARAM", "That is no server name"))?;
    let Some(network) = &context.service.network else {
        return Err(ApiError::unrecognized());
    };
    let unreachable = |error: &dyn std::error::Error| {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let text: Vec<_> = causes.map(ToString::to_string).collect();
        ApiError::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", text.join(": "))
    };
    let place = network.locate(&server).await.map_err(|error| unreachable(&error))?;
    let versions = network.version(&server).await.map_err(|error| unreachable(&error))?;
    let versions: Value = serde_json::from_slice(&versions).map_err(|error| unreachable(&error))?;
    let targets: Vec<_> = place.targets.iter().map(ToString::to_string).collect();
    let body = json!({
        "base_url": format!("https://{}", targets.first().map_or("", String::as_str)),
        "hostname": place.host,
        "versions_response": versions,
        "tls_name": place.tls_name,
        "targets": targets,
        "delegate": place.delegate,
        "step": format!("{:?}", place.step),
    });
    Ok(respond::json(StatusCode::OK, &body))
}
