//! What thumbnails an operator allows.

use crate::types::Size;

/// Sizes, source types and limits of thumbnails. The default is that of matrix-media-repo.
#[derive(Clone, Debug, PartialEq)]
pub struct ThumbnailPolicy {
    /// Boxes in which thumbnails are made, for both methods. Empty counts as the default list.
    pub sizes: Vec<Size>,
    /// Make exactly the size asked for, up to the largest of `sizes`, instead of one of `sizes`.
    pub dynamic_sizing: bool,
    /// Pictures of more pixels than this are refused.
    pub max_pixels: u64,
    /// Sources of more bytes than this are refused.
    pub max_source_bytes: u64,
    /// Content types that may be thumbnailed, compared with the type found in the bytes.
    pub types: Vec<String>,
    /// Whether thumbnails may be animated at all.
    pub allow_animated: bool,
    /// Whether a thumbnail is animated when the client does not say.
    pub default_animated: bool,
    /// Animations of more bytes than this get a still thumbnail.
    pub max_animate_bytes: u64,
    /// Which frame of a GIF stands for it: 0 the first, 1 the last.
    pub still_frame: f32,
}

impl Default for ThumbnailPolicy {
    fn default() -> Self {
        Self {
            sizes: DEFAULT_SIZES.to_vec(),
            dynamic_sizing: false,
            max_pixels: 32_000_000,
            max_source_bytes: 10 * 1024 * 1024,
            types: ["image/jpeg", "image/jpg", "image/png", "image/apng", "image/gif", "image/webp"]
                .map(str::to_owned)
                .to_vec(),
            allow_animated: true,
            default_animated: false,
            max_animate_bytes: 10 * 1024 * 1024,
            still_frame: 0.5,
        }
    }
}

const DEFAULT_SIZES: [Size; 5] =
    [Size::new(32, 32), Size::new(96, 96), Size::new(320, 240), Size::new(640, 480), Size::new(800, 600)];

impl ThumbnailPolicy {
    /// The boxes to choose from; never empty.
    #[must_use]
    pub fn sizes(&self) -> &[Size] {
        if self.sizes.is_empty() { &DEFAULT_SIZES } else { &self.sizes }
    }

    /// Whether sources of this type, as found in the bytes, are thumbnailed.
    ///
    /// Operators write `image/jpg` for JPEG and `image/x-bmp` for BMP, and an animated PNG passes as a PNG too.
    #[must_use]
    pub fn allows_type(&self, content_type: &str) -> bool {
        let aliases: &[&str] = match content_type {
            "image/jpeg" => &["image/jpg"],
            "image/apng" => &["image/png"],
            "image/bmp" => &["image/x-bmp", "image/x-ms-bmp"],
            "image/tiff" => &["image/tif"],
            _ => &[],
        };
        let is = |allowed: &str, name: &str| allowed.eq_ignore_ascii_case(name);
        let passes =
            |allowed: &str| is(allowed, content_type) || aliases.iter().any(|alias| is(allowed, alias));
        self.types.iter().any(|allowed| passes(allowed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(allowed: &str) -> ThumbnailPolicy {
        ThumbnailPolicy { types: vec![allowed.to_owned()], ..ThumbnailPolicy::default() }
    }

    #[test]
    fn a_type_outside_the_list_is_refused() {
        assert!(only("image/png").allows_type("image/png"));
        assert!(!only("image/png").allows_type("image/webp"));
    }

    #[test]
    fn the_common_misspelling_of_jpeg_allows_jpeg() {
        assert!(only("image/jpg").allows_type("image/jpeg"));
        assert!(only("IMAGE/JPEG").allows_type("image/jpeg"));
    }

    #[test]
    fn the_old_names_of_bmp_allow_bmp() {
        assert!(only("image/x-bmp").allows_type("image/bmp"));
        assert!(only("image/x-ms-bmp").allows_type("image/bmp"));
    }

    #[test]
    fn allowing_png_allows_animated_png_but_not_the_reverse() {
        assert!(only("image/png").allows_type("image/apng"));
        assert!(!only("image/apng").allows_type("image/png"));
    }

    #[test]
    fn an_empty_list_of_sizes_counts_as_the_default_list() {
        let policy = ThumbnailPolicy { sizes: Vec::new(), ..ThumbnailPolicy::default() };
        assert_eq!(policy.sizes(), ThumbnailPolicy::default().sizes());
    }
}
