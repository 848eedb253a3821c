//! What parent and worker say to each other: frames of a 32-bit length (little-endian) and that many bytes. Words are
//! JSON; sources and thumbnails are bare bytes.
//!
//! ```text
//! parent            worker
//! Setup         ->
//!               <-  Ready
//! Order         ->
//!               <-  Listening    whatever happens from here on is the source's doing
//! source...     ->               chunks, then an empty frame; or BROKEN_OFF
//!               <-  Answer       if Planned:
//! Verdict       ->
//!               <-  Answer       after Done, one frame for each picture
//! ```

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    policy::ThumbnailPolicy,
    thumbnail::render::{Probed, RenderError, Rendered},
    types::{Method, ThumbnailSpec, Variant},
};

/// In the place of a length: the source broke off, forget it.
pub(super) const BROKEN_OFF: u32 = u32::MAX;

/// Longest word that a parent says.
pub(super) const MAX_ORDER_BYTES: u32 = 1024 * 1024;
/// Longest word that a worker says, in bytes. Workers are not trusted.
pub(super) const MAX_ANSWER_BYTES: u32 = 64 * 1024;
/// Largest thumbnail that a worker may hand over.
pub(super) const MAX_PICTURE_BYTES: u32 = 64 * 1024 * 1024;

/// Said once, at the start.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    /// Memory that a worker may ever have.
    pub(super) memory_bytes: u64,
    /// Processor time that one source may take.
    pub(super) cpu_seconds: u64,
}

/// How well the worker has locked itself in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    /// What the kernel does not have, one remark for each.
    pub(super) missing: Vec<String>,
}

/// The worker lives and has understood.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Listening;

/// What to make of the source that follows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    specs: Vec<Spec>,
    max_pixels: u64,
    max_source_bytes: u64,
    expected_bytes: u64,
    allow_animated: bool,
    max_animate_bytes: u64,
    still_frame: f32,
    types: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Spec {
    width: u32,
    height: u32,
    crop: bool,
    variant: u8,
}

impl Order {
    pub(super) fn new(specs: &[ThumbnailSpec], policy: &ThumbnailPolicy, expected_bytes: u64) -> Self {
        let specs = specs.iter().map(|spec| Spec {
            width: spec.width,
            height: spec.height,
            crop: spec.method == Method::Crop,
            variant: match spec.variant {
                Variant::Still => 0,
                Variant::WebP => 1,
                Variant::Animated => 2,
            },
        });
        Self {
            specs: specs.collect(),
            max_pixels: policy.max_pixels,
            max_source_bytes: policy.max_source_bytes,
            expected_bytes,
            allow_animated: policy.allow_animated,
            max_animate_bytes: policy.max_animate_bytes,
            still_frame: policy.still_frame,
            types: policy.types.clone(),
        }
    }

    pub(super) const fn max_source_bytes(&self) -> u64 {
        self.max_source_bytes
    }

    pub(super) fn expected_bytes(&self) -> usize {
        usize::try_from(self.expected_bytes.min(self.max_source_bytes)).unwrap_or(0)
    }

    pub(super) fn into_parts(self) -> (Vec<ThumbnailSpec>, Arc<ThumbnailPolicy>) {
        let specs = self.specs.into_iter().map(|spec| ThumbnailSpec {
            width: spec.width,
            height: spec.height,
            method: if spec.crop { Method::Crop } else { Method::Scale },
            variant: match spec.variant {
                0 => Variant::Still,
                1 => Variant::WebP,
                _ => Variant::Animated,
            },
        });
        let policy = ThumbnailPolicy {
            max_pixels: self.max_pixels,
            max_source_bytes: self.max_source_bytes,
            allow_animated: self.allow_animated,
            max_animate_bytes: self.max_animate_bytes,
            still_frame: self.still_frame,
            types: self.types,
            ..ThumbnailPolicy::default()
        };
        (specs.collect(), Arc::new(policy))
    }
}

/// Whether the parent has the memory for what was planned.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Verdict {
    /// Begin; this much memory is yours.
    Go {
        /// In bytes, beyond what is taken already.
        memory_bytes: u64,
    },
}

/// What a worker makes of a source.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The header was read; waits for a [`Verdict`].
    Planned {
        /// See [`crate::thumbnail::render::Work`].
        pixels: u64,
        required_bytes: u64,
        at_worst_bytes: u64,
    },
    /// There were no specs.
    Seen(Seen),
    /// The thumbnails, in the order of the specs; the bytes of those that are not the original follow.
    Done(Vec<Picture>),
    Failed(Failure),
}

/// A [`Probed`] on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    content_type: String,
    width: u32,
    height: u32,
    duration: Option<Duration>,
}

impl Seen {
    pub(super) fn of(probed: Probed) -> Self {
        let Probed { content_type, width, height, duration } = probed;
        Self { content_type: content_type.to_owned(), width, height, duration }
    }

    /// Back to what it stands for. `None` for what no renderer knows.
    pub(super) fn into_probed(self) -> Option<Probed> {
        let Self { content_type, width, height, duration } = self;
        let content_type = ThumbnailPolicy::known_types().find(|known| *known == content_type)?;
        Some(Probed { content_type, width, height, duration })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Picture {
    pub(super) original: bool,
    content_type: String,
    width: u32,
    height: u32,
}

impl Picture {
    pub(super) fn of(rendered: &Rendered) -> Self {
        let (original, (content_type, width, height)) = match rendered {
            Rendered::Image { content_type, width, height, .. } => (false, (content_type, width, height)),
            Rendered::Original { content_type, width, height } => (true, (content_type, width, height)),
        };
        Self { original, content_type: (*content_type).to_owned(), width: *width, height: *height }
    }

    /// Back to what it stands for. `None` for what no renderer makes.
    pub(super) fn into_rendered(self, bytes: bytes::Bytes) -> Option<Rendered> {
        const SERVABLE: [&str; 5] = ["image/jpeg", "image/png", "image/apng", "image/gif", "image/webp"];
        let content_type = SERVABLE.into_iter().find(|known| *known == self.content_type)?;
        let Self { original, width, height, .. } = self;
        Some(if original {
            Rendered::Original { content_type, width, height }
        } else {
            Rendered::Image { bytes, content_type, width, height }
        })
    }
}

/// A [`RenderError`] on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Failure {
    Unsupported(String),
    TooManyPixels { pixels: u64, limit: u64 },
    TooMuchMemory { pixels: u64, limit: u64 },
    TooManyBytes { limit: u64 },
    Decode(String),
    Encode(String),
    Other,
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Unsupported(what) => Self::Unsupported(shorten(what)),
            RenderError::TooManyPixels { pixels, limit } => Self::TooManyPixels { pixels, limit },
            RenderError::TooMuchMemory { pixels, limit } => Self::TooMuchMemory { pixels, limit },
            RenderError::TooManyBytes { limit } => Self::TooManyBytes { limit },
            RenderError::Decode(cause) => Self::Decode(shorten(cause.to_string())),
            RenderError::Encode(cause) => Self::Encode(shorten(cause.to_string())),
            RenderError::Source(_)
            | RenderError::Crashed
            | RenderError::Worker(_)
            | RenderError::Deadline
            | RenderError::Busy => Self::Other,
        }
    }
}

impl From<Failure> for RenderError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unsupported(what) => Self::Unsupported(what),
            Failure::TooManyPixels { pixels, limit } => Self::TooManyPixels { pixels, limit },
            Failure::TooMuchMemory { pixels, limit } => Self::TooMuchMemory { pixels, limit },
            Failure::TooManyBytes { limit } => Self::TooManyBytes { limit },
            Failure::Decode(cause) => Self::decode(cause),
            Failure::Encode(cause) => Self::encode(cause),
            Failure::Other => Self::Crashed,
        }
    }
}

/// Messages of decoders may quote the source.
fn shorten(mut message: String) -> String {
    const MOST: usize = 500;
    if message.len() > MOST {
        message.truncate(message.floor_char_boundary(MOST));
    }
    message
}
