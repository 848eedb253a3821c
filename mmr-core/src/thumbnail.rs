//! Thumbnails: which size, which pixels, and how they are made within bounds.
//!
//! [`normalise`] turns a request into a [`ThumbnailSpec`](crate::types::ThumbnailSpec), and a
//! [`RenderPool`] renders one from the bytes of a source:
//!
//! ```no_run
//! # async fn render(source: bytes::Bytes) -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use mmr_core::thumbnail::{RenderLimits, RenderPool, Rendered, ThumbnailPolicy, normalise};
//! use mmr_core::types::{Method, ThumbnailRequest};
//!
//! let pool = RenderPool::new(RenderLimits::default());
//! let policy = Arc::new(ThumbnailPolicy::default());
//! let request = ThumbnailRequest { width: 96, height: 96, method: Method::Crop, animated: None, webp: false };
//! let spec = normalise(&request, &policy)?;
//! match pool.render(source, spec, policy).await? {
//!     Rendered::Image { bytes, content_type, .. } => println!("{} bytes of {content_type}", bytes.len()),
//!     Rendered::Original { .. } => println!("the source is its own thumbnail"),
//! }
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    not(all(
        feature = "audio",
        feature = "jxl",
        feature = "native",
        feature = "pdf",
        feature = "svg",
        feature = "testing",
        feature = "workers"
    )),
    allow(
        dead_code,
        unused_imports,
        reason = "each format and engine uses some of what they share; full builds use all"
    )
)]

mod batch;
#[cfg(feature = "images")]
mod blurhash;
mod brands;
#[cfg(not(feature = "images"))]
mod blurhash {
    pub(super) const fn of(_: &[u8]) -> Option<String> {
        None
    }
}
mod engine;
mod failures;
pub mod formats;
pub mod geometry;
mod info;
mod make;
mod movie;
pub mod pool;
#[cfg(all(feature = "images", feature = "workers"))]
pub mod programs;
pub mod render;
mod service;
pub mod spec;
mod threads;
#[cfg(feature = "workers")]
pub mod worker;

pub use self::engine::{Cost, Held, Job, Planned, RenderEngine, RenderOrder, Running};
pub use self::info::MediaInfo;
pub use self::pool::{RenderLimits, RenderPool, Ticket, Turn};
pub use self::render::{Probed, RenderError, RenderTask, Rendered, Renderer};
pub use self::service::{Thumbnail, Thumbnails};
pub use self::spec::{EmptyThumbnail, normalise};
pub use self::threads::Threads;
pub(crate) use self::{
    batch::Batches,
    failures::Failures,
    info::KnownHeaders,
    service::{FleetingThumbnails, Inner, KnownThumbnails},
};
pub use crate::policy::ThumbnailPolicy;
