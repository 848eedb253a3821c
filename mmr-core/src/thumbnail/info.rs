//! What a file is, told from its header.

use std::{sync::Arc, time::Duration};

use super::{Probed, RenderError, Thumbnails, blurhash};
use crate::{
    Error, ErrorKind, Result,
    download::DownloadRequest,
    policy::ThumbnailPolicy,
    types::{ContentHash, MediaRecord, Method, RangeRequest, ThumbnailRecord, ThumbnailRequest},
};

/// What is known about a file beyond its record.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MediaInfo {
    /// Its record.
    pub record: Arc<MediaRecord>,
    /// The type found in its bytes, if it is one of which thumbnails are made; may differ from the declared one.
    pub found_type: Option<&'static str>,
    /// Width in pixels as shown, where there is something to see.
    pub width: Option<u32>,
    /// Height in pixels as shown, where there is something to see.
    pub height: Option<u32>,
    /// How long a sound, a video or an animation plays, where its header says so; once through.
    pub duration: Option<Duration>,
    /// Placeholder in place of the picture ([MSC2448](https://github.com/matrix-org/matrix-spec-proposals/pull/2448)),
    /// where it was asked for.
    pub blurhash: Option<String>,
    /// Its thumbnails that are stored, by their boxes; at most [`MediaInfo::MAX_THUMBNAILS`].
    pub thumbnails: Vec<ThumbnailRecord>,
}

impl MediaInfo {
    /// Thumbnails that are listed at most. There are fewer of a picture unless the configured sizes have changed often.
    pub const MAX_THUMBNAILS: u32 = 100;
}

/// Headers that were read lately, `None` for files that say nothing. They belong to bytes, and bytes never change.
#[derive(Debug)]
pub(crate) struct KnownHeaders(moka::sync::Cache<ContentHash, Option<Probed>>);

impl KnownHeaders {
    pub(crate) fn new(capacity: u64) -> Self {
        Self(moka::sync::Cache::new(capacity))
    }
}

/// Whether a file of this type says at its beginning how long all of it plays, if it does. Of others that is counted, or
/// said at the end.
fn says_at_its_beginning(content_type: &str) -> bool {
    content_type.starts_with("video/")
        || matches!(content_type, "audio/flac" | "audio/mp4" | "audio/wav" | "audio/webm")
}

impl Thumbnails {
    /// Tells what a file is that the caller may have. Reads its header, and no more of it than thumbnails are made of
    /// (`max_source_bytes`). With `blurhash`, its smallest thumbnail is made, too. What cannot be told is left out.
    ///
    /// Errors: those of [`Downloads::describe`](crate::download::Downloads::describe); [`Error::Busy`] when too many are
    /// being rendered; [`Error::Datastore`] when the file cannot be read.
    pub async fn info(&self, request: &DownloadRequest, blurhash: bool) -> Result<MediaInfo> {
        let policies = self.0.policies.snapshot();
        let policy = policies.for_server(&request.server).ok_or(Error::NotFound)?;
        let record = self.0.downloads.describe(request).await?;
        let probed = self.header(&record, &policy.thumbnails).await?;
        let seen = probed.filter(|probed| probed.width > 0 && probed.height > 0);
        let blurhash = if blurhash && seen.is_some() { self.blurhash(request).await? } else { None };
        let thumbnails = self.0.index.thumbnails_of(&record.blob.hash, MediaInfo::MAX_THUMBNAILS).await?;
        Ok(MediaInfo {
            found_type: probed.map(|probed| probed.content_type),
            width: seen.map(|seen| seen.width),
            height: seen.map(|seen| seen.height),
            duration: probed.and_then(|probed| probed.duration),
            blurhash,
            thumbnails,
            record,
        })
    }

    async fn header(&self, record: &Arc<MediaRecord>, policy: &ThumbnailPolicy) -> Result<Option<Probed>> {
        let hash = record.blob.hash;
        if let Some(known) = self.0.headers.0.get(&hash) {
            return Ok(known);
        }
        let bytes = record.blob.size.min(policy.max_source_bytes);
        let Some(last) = bytes.checked_sub(1) else { return Ok(None) };
        if self.0.failures.has_no_header(hash, bytes) {
            return Ok(None);
        }
        let range = if bytes == record.blob.size {
            RangeRequest::Whole
        } else {
            RangeRequest::From { first: 0, last: Some(last) }
        };
        let ticket = self.0.pool.admit(bytes)?;
        let body = self.0.downloads.read(record, range).await?.body;
        let probed = match ticket.turn().await?.probe(body).await {
            Ok(probed) => {
                let whole = bytes == record.blob.size || says_at_its_beginning(probed.content_type);
                Some(Probed { duration: probed.duration.filter(|_| whole), ..probed })
            }
            Err(error @ (RenderError::Busy | RenderError::Source(_) | RenderError::Worker(_))) => {
                return Err(error.into());
            }
            // It may go better later.
            Err(error @ (RenderError::Crashed | RenderError::Deadline)) => {
                self.0.failures.note_header(hash, bytes, policy, error);
                return Ok(None);
            }
            Err(_) => None,
        };
        self.0.headers.0.insert(hash, probed);
        Ok(probed)
    }

    async fn blurhash(&self, request: &DownloadRequest) -> Result<Option<String>> {
        /// A thumbnail that was stored by an older version may be anything.
        const MAX_BYTES: u64 = 4 * 1024 * 1024;
        let smallest = ThumbnailRequest {
            width: 1,
            height: 1,
            method: Method::Scale,
            animated: Some(false),
            webp: false,
        };
        let thumbnail = match self.open(request, &smallest).await {
            Ok(thumbnail) => thumbnail,
            // A picture that is too large for a thumbnail still has a size.
            Err(error) if matches!(error.kind(), ErrorKind::NotThumbnailable | ErrorKind::TooLarge) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let bytes = thumbnail.body.collect_up_to(MAX_BYTES).await?;
        let hash = tokio::task::spawn_blocking(move || blurhash::of(&bytes)).await;
        Ok(hash.unwrap_or_default())
    }
}
