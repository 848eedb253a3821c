//! The formats that this build can render.
//!
//! A family of formats is a [`Renderer`], and each picture format a line in `pictures`.

use std::sync::Arc;

use super::Renderer;

#[cfg(feature = "images")]
mod animated;
#[cfg(feature = "audio")]
mod audio;
#[cfg(feature = "images")]
mod bmp;
#[cfg(any(feature = "audio", feature = "pdf", feature = "svg"))]
mod canvas;
#[cfg(feature = "jxl")]
mod jxl;
#[cfg(feature = "native")]
mod native;
#[cfg(feature = "pdf")]
mod pdf;
#[cfg(feature = "images")]
mod still;
#[cfg(feature = "svg")]
mod svg;
#[cfg(feature = "images")]
mod tiff;
#[cfg(feature = "native")]
mod webp_animation;

#[cfg(all(feature = "native", any(test, feature = "testing")))]
pub(crate) use self::native::avif::outline as outline_of_avif;

/// Whether a small JPEG is decoded at each of the scales that there are.
#[cfg(all(feature = "images", any(test, feature = "testing")))]
pub(crate) fn jpeg_at_each_scale(source: &[u8], max_pixels: u64) -> Option<[bool; 6]> {
    still::decoded_at_each_scale(source, max_pixels)
}

/// What writes thumbnails in safe Rust.
#[cfg(feature = "images")]
const SAFE: still::Writers = still::Writers { still: &still::Safe, moving: animated::Apng::new };

/// All renderers of this build in safe Rust, in the order in which they are asked. Empty without the `images` feature.
#[must_use]
pub fn renderers() -> Vec<Arc<dyn Renderer>> {
    let all: &[fn() -> Arc<dyn Renderer>] = &[
        #[cfg(feature = "images")]
        || Arc::new(still::StillImages::new(pictures(), SAFE)),
    ];
    all.iter().map(|new| new()).collect()
}

/// All renderers of this build, those that are not in safe Rust first. For a [worker](super::worker), which they cannot
/// leave.
#[must_use]
#[cfg(feature = "native")]
pub fn native_renderers() -> Vec<Arc<dyn Renderer>> {
    let mut formats: Vec<Box<dyn still::Format>> =
        vec![Box::new(native::Jpeg), Box::new(native::WebP), Box::new(native::Avif)];
    formats.extend(pictures());
    vec![Arc::new(still::StillImages::new(
        formats,
        still::Writers { still: &native::Native, moving: webp_animation::WebPAnimation::new },
    ))]
}

/// Every format that this build writes animations into.
#[cfg(all(test, feature = "images"))]
fn animation_outputs() -> Vec<(animated::NewOutput, &'static str)> {
    vec![
        (animated::Apng::new, "image/apng"),
        #[cfg(feature = "native")]
        (webp_animation::WebPAnimation::new, "image/webp"),
    ]
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
        #[cfg(feature = "svg")]
        || Box::new(svg::Svg::new()),
        #[cfg(feature = "pdf")]
        || Box::new(pdf::Pdf),
        #[cfg(feature = "audio")]
        || Box::new(audio::Audio),
    ];
    all.iter().map(|new| new()).collect()
}

/// The sets of renderers that this build has, for tests that hold for all.
#[cfg(all(test, feature = "images"))]
fn sets() -> Vec<Vec<Arc<dyn Renderer>>> {
    vec![
        renderers(),
        #[cfg(feature = "native")]
        native_renderers(),
    ]
}

#[cfg(feature = "images")]
#[cfg(test)]
mod tests;
