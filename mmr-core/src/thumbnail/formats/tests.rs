//! What holds for all formats, and what the tests of single ones share.

pub(super) mod checks;
#[cfg(all(feature = "audio", feature = "jxl", feature = "native", feature = "pdf", feature = "svg"))]
mod golden;
mod storm;

use super::*;
use crate::testing::images;
use crate::thumbnail::render::{Cancelled, Prepared, RenderTask, Rendered};
use crate::types::{Method, ThumbnailSpec, Variant};

#[cfg(feature = "native")]
fn content_type_of_an_animation(renderers: &[Arc<dyn Renderer>]) -> &'static str {
    let spec = ThumbnailSpec { width: 8, height: 8, method: Method::Scale, variant: Variant::Animated };
    let task = RenderTask {
        source: images::animated_gif(16, 16, 3),
        specs: vec![spec],
        policy: Arc::default(),
        cancelled: Cancelled::default(),
    };
    match renderers.iter().find_map(|renderer| renderer.prepare(&task)) {
        Some(Ok(Prepared::Work(work))) => match (work.run)().unwrap().remove(0) {
            Rendered::Image { content_type, .. } => content_type,
            original @ Rendered::Original { .. } => panic!("{original:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[cfg(feature = "native")]
#[test]
fn animations_are_webp_in_a_worker_and_png_elsewhere() {
    assert_eq!(content_type_of_an_animation(&native_renderers()), "image/webp");
    assert_eq!(content_type_of_an_animation(&renderers()), "image/apng");
}
