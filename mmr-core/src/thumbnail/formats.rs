//! The formats that this build can render.
//!
//! A family of formats is a [`Renderer`], and each picture format a line in [`pictures`].

use std::sync::Arc;

use super::Renderer;

#[cfg(feature = "images")]
mod animated;
#[cfg(feature = "images")]
mod still;
#[cfg(feature = "native")]
mod webp_animation;

/// All renderers of this build in safe Rust, in the order in which they are asked. Empty without the `images` feature.
#[must_use]
pub fn renderers() -> Vec<Arc<dyn Renderer>> {
    let all: &[fn() -> Arc<dyn Renderer>] = &[
        #[cfg(feature = "images")]
        || Arc::new(still::StillImages::new(pictures(), animated::Apng::new)),
    ];
    all.iter().map(|new| new()).collect()
}

/// All renderers of this build, those that are not in safe Rust first. For a [worker](super::worker), which they cannot
/// leave.
#[must_use]
#[cfg(feature = "native")]
pub fn native_renderers() -> Vec<Arc<dyn Renderer>> {
    let pictures = still::StillImages::new(pictures(), webp_animation::WebPAnimation::new);
    let mut all: Vec<Arc<dyn Renderer>> = vec![Arc::new(pictures)];
    all.extend(renderers());
    all
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
    ];
    all.iter().map(|new| new()).collect()
}

#[cfg(test)]
#[cfg(feature = "native")]
mod tests {
    use super::*;
    use crate::testing::images;
    use crate::thumbnail::render::{Cancelled, Prepared, RenderTask, Rendered};
    use crate::types::{Method, ThumbnailSpec, Variant};

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

    #[test]
    fn animations_are_webp_in_a_worker_and_png_elsewhere() {
        assert_eq!(content_type_of_an_animation(&native_renderers()), "image/webp");
        assert_eq!(content_type_of_an_animation(&renderers()), "image/apng");
    }
}
