//! Ways to parsers that nobody else needs to call: for the fuzz targets, and without a promise.

use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use http::{HeaderMap, HeaderValue, header::CONTENT_DISPOSITION};
use ruma::OwnedServerName;
use serde_json::{Map, Value};

use crate::{
    backend::net::{
        fetch::file_name_of,
        mixed::{self, Mixed},
        wellknown,
    },
    stream::ByteStream,
    types::FileName,
};

/// What a multipart answer says.
#[derive(Debug, PartialEq)]
pub struct Multipart {
    /// The first part.
    pub json: Map<String, Value>,
    /// The headers of the second part.
    pub headers: HeaderMap,
    /// The second part; `None` when it ends with an error.
    pub media: Option<Bytes>,
}

/// The boundary in a `Content-Type`.
#[must_use]
pub fn boundary(content_type: &[u8]) -> Option<Bytes> {
    mixed::boundary(content_type)
}

/// Reads an answer that comes in these chunks; `framed` as the reader has it. `None` when it is refused.
pub fn multipart(
    boundary: &[u8],
    framed: bool,
    chunks: impl Iterator<Item = Bytes> + Send + 'static,
) -> Option<Multipart> {
    let body = ByteStream::new(stream::iter(chunks.map(Ok)));
    let read = async {
        let Mixed { json, headers, body, before: _ } = mixed::open(boundary, framed, body).await.ok()?;
        Some(Multipart { json, headers, media: body.collect_up_to(u64::MAX).await.ok() })
    };
    read.now_or_never().expect("chunks that are there are not waited for")
}

/// The file name in the value of a `Content-Disposition`.
#[must_use]
pub fn file_name(content_disposition: &[u8]) -> Option<FileName> {
    let value = HeaderValue::from_bytes(content_disposition).ok()?;
    file_name_of(&HeaderMap::from_iter([(CONTENT_DISPOSITION, value)]))
}

/// The server that a `/.well-known/matrix/server` names.
#[must_use]
pub fn delegate(file: &[u8]) -> Option<OwnedServerName> {
    wellknown::parse(file)
}
