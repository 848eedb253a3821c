//! What a renderer is given, what it promises, and how it fails.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;

use crate::policy::ThumbnailPolicy;
use crate::stream::StreamError;
use crate::types::ThumbnailSpec;

/// Makes thumbnails of some family of formats.
///
/// Rendering has two parts, so that memory is booked before it is taken: `prepare` looks at the header and
/// says what the rest will need; the [`Work`] that it returns runs once that much is free. Both run on a
/// blocking thread. A panic in either fails only the one thumbnail.
pub trait Renderer: fmt::Debug + Send + Sync + 'static {
    /// Reads the header of the source; `None` when it is of no format of this renderer.
    ///
    /// Formats are told by their bytes, never by what somebody declared. An implementor allocates no more
    /// than a small multiple of the length of the source here, and no pixels.
    fn prepare(&self, task: &RenderTask) -> Option<Result<Prepared, RenderError>>;
}

/// Thumbnails to make of one source.
#[derive(Clone, Debug)]
pub struct RenderTask {
    /// The whole source.
    pub source: Bytes,
    /// The thumbnails wanted. None asks what the source is: its header alone answers, as [`Prepared::Seen`].
    pub specs: Vec<ThumbnailSpec>,
    /// The policy of this request.
    pub policy: Arc<ThumbnailPolicy>,
    /// Set once nobody waits for the result any more.
    pub cancelled: Cancelled,
}

/// Whether anybody still waits for a result. Renderers look at it between steps and while they read.
#[derive(Clone, Debug, Default)]
pub struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    /// True once nobody waits any more.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// From now on nobody waits.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the header of a source led to.
#[derive(Debug)]
pub enum Prepared {
    /// There are no specs: this is what the source is.
    Seen(Probed),
    /// No pixels are needed: every thumbnail is the original, in the order of the specs.
    Done(Vec<Rendered>),
    /// Pixels are needed.
    Work(Work),
}

/// What a source is, by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The type found in the bytes.
    pub content_type: &'static str,
    /// Width in pixels as shown; 0 where there is nothing to see.
    pub width: u32,
    /// Height in pixels as shown; 0 where there is nothing to see.
    pub height: u32,
    /// How long it plays, once through. Of the beginning of a source this may be what plays until its end.
    pub duration: Option<Duration>,
}

/// The second part of a rendering, and what it takes.
pub struct Work {
    /// Pixels of the source, for the error when they are too many.
    pub pixels: u64,
    /// Bytes that the work allocates at most. Work that needs more than the whole budget is refused.
    pub required_bytes: u64,
    /// Further bytes that a crafted source could make a decoder allocate. They are booked as far as the
    /// budget has them, so that such a source runs alone, but are no reason to refuse.
    pub at_worst_bytes: u64,
    /// Does the work: one thumbnail for each spec, in their order.
    pub run: Box<dyn FnOnce() -> Result<Vec<Rendered>, RenderError> + Send>,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work")
            .field("pixels", &self.pixels)
            .field("required_bytes", &self.required_bytes)
            .field("at_worst_bytes", &self.at_worst_bytes)
            .finish_non_exhaustive()
    }
}

/// A thumbnail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rendered {
    /// A picture made from the source: `image/jpeg`, `image/png` or `image/webp`.
    Image {
        /// The encoded picture.
        bytes: Bytes,
        /// Its content type.
        content_type: &'static str,
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
    },
    /// The source is no larger than asked and is to be served as it is, under the type found in its bytes:
    /// JPEG, PNG, APNG, GIF or WebP. Only its header was read.
    Original {
        /// The type found in the bytes, which may differ from the declared one.
        content_type: &'static str,
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
    },
}

/// Why there is no thumbnail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// Nothing here renders this source, or the policy does not want it rendered.
    #[error("source cannot be thumbnailed: {0}")]
    Unsupported(String),
    /// The picture has more pixels than the policy allows.
    #[error("source of {pixels} pixels exceeds the limit of {limit}")]
    TooManyPixels {
        /// Pixels according to the header.
        pixels: u64,
        /// The most that would have been accepted.
        limit: u64,
    },
    /// The picture takes more memory than there is for all renderings together.
    #[error("source of {pixels} pixels exceeds the {limit} that fit into memory")]
    TooMuchMemory {
        /// Pixels according to the header.
        pixels: u64,
        /// About as many would have been accepted.
        limit: u64,
    },
    /// The source has more bytes than the policy allows.
    #[error("source is longer than {limit} bytes")]
    TooManyBytes {
        /// The most that would have been accepted.
        limit: u64,
    },
    /// The source could not be read where it is stored.
    #[error("source cannot be read")]
    Source(#[source] StreamError),
    /// The source is damaged, or lies about itself.
    #[error("source cannot be decoded")]
    Decode(#[source] Box<dyn StdError + Send + Sync>),
    /// The thumbnail cannot be encoded.
    #[error("thumbnail cannot be encoded")]
    Encode(#[source] Box<dyn StdError + Send + Sync>),
    /// A decoder panicked, or its process died: a bug, contained.
    #[error("renderer crashed")]
    Crashed,
    /// No process to render in could be had.
    #[error("render worker cannot be used")]
    Worker(#[source] io::Error),
    /// Rendering began but did not end in time.
    #[error("rendering took longer than its deadline")]
    Deadline,
    /// Rendering could not begin: the queue is full, or there was no free worker or memory in time.
    #[error("too many thumbnails are being rendered")]
    Busy,
}

impl RenderError {
    /// A type that the operator did not name.
    pub(super) fn not_enabled(content_type: &str) -> Self {
        Self::Unsupported(format!("{content_type} is not among thumbnails.types"))
    }

    /// A damaged or lying source.
    pub fn decode(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Decode(source.into())
    }

    /// A thumbnail that does not fit its format.
    pub fn encode(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Encode(source.into())
    }
}
