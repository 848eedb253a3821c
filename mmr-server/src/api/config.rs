//! `GET /_matrix/client/v1/media/config` and `GET /_matrix/media/v3/config`
//! ([spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediaconfig)).

use http::StatusCode;
use serde::Serialize;

use super::{Answer, Context};
use crate::respond;

#[derive(Serialize)]
struct MediaConfig {
    #[serde(rename = "m.upload.size", skip_serializing_if = "Option::is_none")]
    upload_size: Option<u64>,
}

pub(super) async fn config(context: Context<'_>) -> Answer {
    context.member().await?;
    Ok(respond::json(StatusCode::OK, &MediaConfig { upload_size: context.tenant.reported_max_bytes }))
}
