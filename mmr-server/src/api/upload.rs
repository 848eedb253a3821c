//! `POST /_matrix/media/v3/upload`, `POST /_matrix/media/v1/create`, `PUT /_matrix/media/v3/upload/{serverName}/{mediaId}`
//! ([spec](https://spec.matrix.org/v1.19/client-server-api/#content-repository)).

use std::error::Error as StdError;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{StatusCode, header};
use http_body::Body;
use http_body_util::BodyDataStream;
use mmr_core::{
    stream::{ByteStream, StreamError},
    types::{ContentType, FileName},
    upload::UploadRequest,
};
use ruma::UserId;
use serde::Serialize;

use super::{Answer, Context, parse_mxc, query, uploader};
use crate::{respond, respond::ApiError, route::MediaPath};

#[derive(Serialize)]
struct Uploaded {
    content_uri: String,
}

#[derive(Serialize)]
struct Created {
    content_uri: String,
    unused_expires_at: u64,
}

pub(super) async fn upload<B>(context: Context<'_>, body: B) -> Answer
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let caller = context.member().await?;
    let (request, body) = accept(context, uploader(&caller)?, body);
    let mxc = context.service.repository.uploads().upload(request, body).await?;
    Ok(respond::json(StatusCode::OK, &Uploaded { content_uri: mxc.to_string() }))
}

/// A body, should there be one, is not looked at: clients send none, `{}`, or nothing that matters.
pub(super) async fn create(context: Context<'_>) -> Answer {
    let caller = context.member().await?;
    let uploads = context.service.repository.uploads();
    let reservation = uploads.reserve(uploader(&caller)?, &context.tenant.name).await?;
    let unused_expires_at = reservation.expires.as_millis();
    let created = Created { content_uri: reservation.mxc.to_string(), unused_expires_at };
    Ok(respond::json(StatusCode::OK, &created))
}

pub(super) async fn fill<B>(context: Context<'_>, path: &MediaPath<'_>, body: B) -> Answer
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let caller = context.member().await?;
    let mxc = parse_mxc(path)?;
    if mxc.origin() != context.tenant.server_name() {
        return Err(ApiError::not_found());
    }
    let (request, body) = accept(context, uploader(&caller)?, body);
    context.service.repository.uploads().fill(&mxc, request, body).await?;
    Ok(respond::raw_json(StatusCode::OK, Bytes::from_static(b"{}")))
}

/// The body is opaque bytes, whatever its type says: forms are not parsed.
fn accept<B>(context: Context<'_>, by: &UserId, body: B) -> (UploadRequest, ByteStream)
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let content_type = context.head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let file_name = query::get(context.query(), "filename");
    let request = UploadRequest {
        by: by.to_owned(),
        server: context.tenant.name.clone(),
        content_type: ContentType::new(content_type.unwrap_or_default()),
        file_name: file_name.as_deref().and_then(FileName::new),
        declared_len: body.size_hint().exact(),
    };
    let chunks =
        BodyDataStream::new(body).map(|chunk| chunk.map_err(|error| StreamError::Sender(error.into())));
    (request, ByteStream::new(chunks).with_stall_timeout(context.service.stall_timeout))
}
