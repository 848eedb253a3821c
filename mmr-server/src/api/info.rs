//! `GET /_matrix/media/unstable/info/{serverName}/{mediaId}`: what a file is, as matrix-media-repo tells it (after MSC2380).
//!
//! For users who are no guests, under the rules of a download. `allow_remote` and `timeout_ms` are those of a download, too.
//! With `blurhash=true` a placeholder is answered as `xyz.amorgan.blurhash` (MSC2448); making one costs a thumbnail.
//!
//! ```json
//! {
//!   "content_uri": "mxc://example.org/abc",
//!   "content_type": "image/png",
//!   "size": 12345,
//!   "hashes": { "sha256": "<hexadecimal>" },
//!   "width": 640,
//!   "height": 480,
//!   "duration": 12.5,
//!   "thumbnails": [{ "width": 96, "height": 72, "ready": true, "content_type": "image/png", "size": 1234 }]
//! }
//! ```
//!
//! What is not known is left out. Width and height are those of the thumbnails themselves, not of the boxes they were made for.

use http::StatusCode;
use mmr_core::{download::DownloadRequest, thumbnail::MediaInfo, types::ThumbnailRecord};
use serde::Serialize;

use super::{Answer, Context, parse_mxc, query};
use crate::{respond, route::MediaPath};

#[derive(Serialize)]
struct Info<'i> {
    content_uri: String,
    content_type: &'i str,
    size: u64,
    hashes: Hashes,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    #[serde(rename = "xyz.amorgan.blurhash", skip_serializing_if = "Option::is_none")]
    blurhash: Option<&'i str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    thumbnails: Vec<Thumbnail<'i>>,
}

#[derive(Serialize)]
struct Hashes {
    sha256: String,
}

#[derive(Serialize)]
struct Thumbnail<'i> {
    width: u32,
    height: u32,
    ready: bool,
    content_type: &'i str,
    size: u64,
}

pub(super) async fn info(context: Context<'_>, path: &MediaPath<'_>) -> Answer {
    let caller = context.member().await?;
    let query = context.query();
    let request = DownloadRequest {
        mxc: parse_mxc(path)?,
        caller,
        server: context.tenant.name.clone(),
        wait: query::wait(query)?,
        remote: query::boolean(query, "allow_remote")?.unwrap_or(true),
    };
    let blurhash = query::boolean(query, "blurhash")?.unwrap_or(false);
    let info = context.service.repository.thumbnails().info(&request, blurhash).await?;
    Ok(respond::json(StatusCode::OK, &Info::of(&info)))
}

impl<'i> Info<'i> {
    fn of(info: &'i MediaInfo) -> Self {
        let record = &info.record;
        Self {
            content_uri: record.mxc.to_string(),
            content_type: record.content_type.as_str(),
            size: record.blob.size,
            hashes: Hashes { sha256: record.blob.hash.to_string() },
            width: info.width,
            height: info.height,
            duration: info.duration.map(|duration| duration.as_secs_f64()),
            blurhash: info.blurhash.as_deref(),
            thumbnails: info.thumbnails.iter().map(Thumbnail::of).collect(),
        }
    }
}

impl<'i> Thumbnail<'i> {
    fn of(record: &'i ThumbnailRecord) -> Self {
        Self {
            width: record.width,
            height: record.height,
            ready: true,
            content_type: record.content_type.as_str(),
            size: record.blob.size,
        }
    }
}
