//! The formats that this build can render.
//!
//! A family of formats is a [`Renderer`], and each picture format a line in [`pictures`].

use std::sync::Arc;

use super::Renderer;

#[cfg(feature = "images")]
mod bmp;
#[cfg(all(test, feature = "images"))]
mod checks;
#[cfg(feature = "jxl")]
mod jxl;
#[cfg(feature = "native")]
mod native;
#[cfg(feature = "images")]
mod still;
#[cfg(feature = "images")]
mod tiff;

#[cfg(all(feature = "native", any(test, feature = "testing")))]
pub(crate) use self::native::avif::outline as outline_of_avif;

/// All renderers of this build in safe Rust, in the order in which they are asked. Empty without the `images` feature.
#[must_use]
pub fn renderers() -> Vec<Arc<dyn Renderer>> {
    let all: &[fn() -> Arc<dyn Renderer>] = &[
        #[cfg(feature = "images")]
        || Arc::new(still::StillImages::new(pictures())),
    ];
    all.iter().map(|new| new()).collect()
}

/// All renderers of this build, those that are not in safe Rust first. For a [worker](super::worker), which they cannot
/// leave.
#[must_use]
#[cfg(feature = "native")]
pub fn native_renderers() -> Vec<Arc<dyn Renderer>> {
    let mut all: Vec<Arc<dyn Renderer>> = vec![Arc::new(still::StillImages::new(native_pictures()))];
    all.extend(renderers());
    all
}

/// Picture formats that are not in safe Rust, or read faster that way.
#[cfg(feature = "native")]
fn native_pictures() -> Vec<Box<dyn still::Format>> {
    let all: &[fn() -> Box<dyn still::Format>] = &[|| Box::new(native::Avif)];
    all.iter().map(|new| new()).collect()
}

#[cfg(feature = "images")]
fn pictures() -> Vec<Box<dyn still::Format>> {
    let all: &[fn() -> Box<dyn still::Format>] = &[
        || Box::new(still::Jpeg),
        || Box::new(still::Png),
        || Box::new(still::Gif),
        || Box::new(still::WebP),
        || Box::new(bmp::Bmp),
        || Box::new(tiff::Tiff),
        #[cfg(feature = "jxl")]
        || Box::new(jxl::Jxl),
    ];
    all.iter().map(|new| new()).collect()
}
