//! `GET /_matrix/federation/v1/media/download/{mediaId}` and `…/thumbnail/{mediaId}`
//! ([spec](https://spec.matrix.org/v1.19/server-server-api/#content-repository)): local media for other servers.
//!
//! `Range` and conditions are ignored, since nobody has said what they would mean for a body of several parts.

use mmr_core::{
    download::DownloadRequest,
    types::{Caller, RangeRequest},
};

use super::{Answer, Context, parse_mxc, query, thumbnail as client};
use crate::{
    respond::{self, ApiError},
    route::MediaPath,
};

pub(super) async fn download(context: Context<'_>, media_id: &str) -> Answer {
    let request = request(context, media_id).await?;
    let download = context.service.repository.downloads().open(&request, RangeRequest::Whole).await?;
    let record = &download.record;
    let disposition = respond::disposition(&record.content_type, record.file_name.as_ref());
    Ok(respond::mixed(&record.content_type, &disposition, download.body, record.blob.size))
}

pub(super) async fn thumbnail(context: Context<'_>, media_id: &str) -> Answer {
    let request = request(context, media_id).await?;
    let wanted = client::wanted(context.query())?;
    let thumbnail = context.service.repository.thumbnails().open(&request, &wanted).await?;
    let record = &thumbnail.record;
    let disposition = client::disposition(&record.content_type);
    Ok(respond::mixed(&record.content_type, &disposition, thumbnail.body, record.blob.size))
}

/// Authentication comes before everything else about a request, its path included. What is asked for is always media of
/// the homeserver that was addressed: no server fetches for another.
async fn request(context: Context<'_>, media_id: &str) -> Result<DownloadRequest, ApiError> {
    let federation = context.service.repository.federation();
    let origin = federation.authenticate(context.head).await.map_err(|error| {
        let cause = &error as &dyn std::error::Error;
        tracing::debug!(error = cause, "a request of another server was refused");
        ApiError::unsigned(&error)
    })?;
    let wait = query::wait(context.query())?;
    let server = context.tenant.name.clone();
    let path = MediaPath { server_name: server.as_str().into(), media_id: media_id.into() };
    Ok(DownloadRequest {
        mxc: parse_mxc(&path)?,
        caller: Caller::Server(origin),
        server,
        wait,
        remote: false,
    })
}
