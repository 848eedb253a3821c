//! The few colours that stand for a picture while it loads
//! ([MSC2448](https://github.com/matrix-org/matrix-spec-proposals/pull/2448)).

use std::io::Cursor;

use image::{ImageReader, Limits, imageops::FilterType};

/// Sides of what the colours are taken from; more changes nothing that one could see.
const SIDE: u32 = 32;
/// Sides that a thumbnail has at most.
const MOST: u32 = 4096;

/// The hash of a thumbnail that was rendered here; `None` when it cannot be read after all.
pub(super) fn of(thumbnail: &[u8]) -> Option<String> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST);
    limits.max_image_height = Some(MOST);
    limits.max_alloc = Some(u64::from(MOST * MOST * 4));
    let mut reader = ImageReader::new(Cursor::new(thumbnail)).with_guessed_format().ok()?;
    reader.limits(limits);
    let small = reader.decode().ok()?.resize(SIDE, SIDE, FilterType::Triangle).into_rgba8();
    let (width, height) = small.dimensions();
    let components = if width < height { (3, 4) } else { (4, 3) };
    blurhash::encode(components.0, components.1, width, height, &small).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::images;

    #[test]
    fn a_picture_has_as_many_components_as_its_shape_deserves() {
        let wide = of(&images::png(64, 48)).unwrap();
        let high = of(&images::png(48, 64)).unwrap();
        // The first character counts them.
        assert_eq!((&wide[..1], &high[..1]), ("L", "T"));
        assert_eq!((wide.len(), high.len()), (28, 28));
    }

    #[test]
    fn what_is_no_picture_has_none() {
        assert_eq!(of(b"no picture"), None);
        assert_eq!(of(&images::png_bomb()), None);
    }
}
