//! `GET /_matrix/federation/v1/media/download/{mediaId}` and `…/thumbnail/{mediaId}`
//! ([spec](https://spec.matrix.org/v1.19/server-server-api/#content-repository)): local media for other servers.
//!
//! `Range` and conditions are ignored, since nobody has said what they would mean for a body of several parts.

use http::{HeaderValue, header};
use mmr_core::{
    backend::net::XMatrix,
    download::DownloadRequest,
    federation::FederationError,
    types::{Caller, RangeRequest},
};
use ruma::ServerName;

use super::{Answer, Context, parse_mxc, query, thumbnail as client};
use crate::{
    respond::{self, ApiError},
    route::MediaPath,
};

pub(super) async fn download(context: Context<'_>, media_id: &str) -> Answer {
    let request = request(context, media_id).await?;
    let downloads = context.service.repository.downloads();
    let record = downloads.describe(&request).await?;
    let file_name = record.file_name.as_ref();
    let disposition = || respond::disposition_text(&record.content_type, file_name);
    if let Some(link) = downloads.link(&request, &record, disposition).await
        && let Ok(location) = HeaderValue::try_from(link.as_str())
    {
        return Ok(respond::elsewhere(&location));
    }
    let download = downloads.read(&record, RangeRequest::Whole).await?;
    let disposition = respond::disposition(&record.content_type, file_name);
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
    if !is_for(context.head.headers.get_all(header::AUTHORIZATION), context.tenant.server_name()) {
        let why = "the request is signed for another homeserver than the one it was sent to".to_owned();
        return Err(ApiError::unsigned(&FederationError::BadSignature(why)));
    }
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

/// Whether signatures that name a destination name this one. The network knows all homeservers that are served here, not
/// which of them was addressed.
fn is_for<'h>(signatures: impl IntoIterator<Item = &'h HeaderValue>, server: &ServerName) -> bool {
    let signatures = signatures.into_iter().filter_map(|value| XMatrix::parse(value.as_bytes()).ok());
    signatures.filter_map(|signature| signature.destination).all(|destination| destination == server)
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    #[test]
    fn a_signature_for_one_homeserver_is_none_for_another() {
        for (destination, expected) in
            [(",destination=\"a.org\"", true), ("", true), (",destination=b.org", false)]
        {
            let text =
                format!("X-Matrix origin=c.org,key=\"ed25519:1\",sig=\"{}\"{destination}", "A".repeat(86));
            let header = HeaderValue::try_from(text).unwrap();
            assert!(XMatrix::parse(header.as_bytes()).is_ok());
            assert_eq!(is_for([&header], server_name!("a.org")), expected, "{destination}");
        }
    }
}
