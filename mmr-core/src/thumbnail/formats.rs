//! The formats that this build can render.
//!
//! A format is a [`Renderer`] in a module of its own and a line in [`renderers`].

use std::sync::Arc;

use super::Renderer;

#[cfg(feature = "images")]
mod still;

/// All renderers of this build, in the order in which they are asked. Empty without the `images` feature.
#[must_use]
pub fn renderers() -> Vec<Arc<dyn Renderer>> {
    let all: &[fn() -> Arc<dyn Renderer>] = &[
        #[cfg(feature = "images")]
        || Arc::new(still::StillImages),
    ];
    all.iter().map(|new| new()).collect()
}
