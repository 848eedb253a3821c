//! What thumbnails an operator allows.

use crate::types::Size;

/// Sizes, source types and limits of thumbnails. The default is that of matrix-media-repo, and APNG and WebP besides.
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
    /// Which frame of an animation stands for it: 0 the first, 1 the last.
    pub still_frame: f32,
}

impl Default for ThumbnailPolicy {
    fn default() -> Self {
        Self {
            sizes: DEFAULT_SIZES.to_vec(),
            dynamic_sizing: false,
            max_pixels: 32_000_000,
            max_source_bytes: 10 * 1024 * 1024,
            types: ["image/jpeg", "image/png", "image/apng", "image/gif", "image/webp"]
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
    /// Other names of a type count as that type. What is of a narrower type passes under the wider one, too: an animated PNG
    /// as a PNG, HEIC as HEIF.
    #[must_use]
    pub fn allows_type(&self, content_type: &str) -> bool {
        let found = canonical(content_type);
        let wider = match found {
            "image/apng" => "image/png",
            "image/heic" => "image/heif",
            other => other,
        };
        let mut allowed = self.types.iter().map(|allowed| canonical(allowed));
        allowed.any(|allowed| allowed.eq_ignore_ascii_case(found) || allowed.eq_ignore_ascii_case(wider))
    }

    /// Whether thumbnails are made of this type in some build, under this or another name.
    #[must_use]
    pub fn knows_type(content_type: &str) -> bool {
        let name = canonical(content_type);
        TYPES.iter().any(|(known, _)| *known == name)
    }

    /// The types that thumbnails are made of in some build, by their usual names.
    pub fn known_types() -> impl Iterator<Item = &'static str> {
        TYPES.iter().map(|(name, _)| *name)
    }
}

/// Types that thumbnails may be made of, each with the other names that it goes by.
const TYPES: [(&str, &[&str]); 23] = [
    ("image/jpeg", &["image/jpg", "image/pjpeg"]),
    ("image/png", &["image/x-png"]),
    ("image/apng", &["image/vnd.mozilla.apng"]),
    ("image/gif", &[]),
    ("image/webp", &[]),
    ("image/avif", &["image/avif-sequence"]),
    ("image/heic", &["image/heic-sequence"]),
    ("image/heif", &["image/heif-sequence"]),
    ("image/jxl", &[]),
    ("image/bmp", &["image/x-bmp", "image/x-ms-bmp"]),
    ("image/tiff", &["image/tif", "image/x-tiff"]),
    ("image/svg+xml", &["image/svg"]),
    ("application/pdf", &["application/x-pdf"]),
    ("audio/mpeg", &["audio/mp3", "audio/mpeg3", "audio/x-mp3", "audio/x-mpeg"]),
    ("audio/ogg", &["audio/vorbis", "audio/opus", "audio/x-ogg", "application/ogg"]),
    ("audio/wav", &["audio/wave", "audio/x-wav", "audio/vnd.wave", "audio/x-pn-wav"]),
    ("audio/flac", &["audio/x-flac"]),
    ("audio/mp4", &["audio/m4a", "audio/x-m4a"]),
    ("audio/webm", &["audio/matroska", "audio/x-matroska"]),
    ("video/mp4", &["video/x-m4v"]),
    ("video/quicktime", &[]),
    ("video/webm", &[]),
    ("video/x-matroska", &["video/matroska"]),
];

/// The name under which a type is compared; its own where it is not known.
fn canonical(name: &str) -> &str {
    let known = TYPES.iter().find(|(canonical, aliases)| {
        [*canonical].iter().chain(*aliases).any(|known| known.eq_ignore_ascii_case(name))
    });
    known.map_or(name, |(canonical, _)| canonical)
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
    fn a_type_goes_by_any_of_its_names() {
        for (allowed, found) in [
            ("image/x-bmp", "image/bmp"),
            ("audio/x-wav", "audio/wav"),
            ("audio/flac", "audio/x-flac"),
            ("Audio/MP3", "audio/mpeg"),
            ("audio/x-m4a", "audio/mp4"),
            ("image/heif", "image/heic"),
        ] {
            assert!(only(allowed).allows_type(found), "{allowed} {found}");
            assert!(ThumbnailPolicy::knows_type(allowed) && ThumbnailPolicy::knows_type(found));
        }
        assert!(!ThumbnailPolicy::knows_type("image/x-nonsense"));
    }

    #[test]
    fn a_name_stands_for_one_type() {
        let names: Vec<_> = TYPES.iter().flat_map(|(name, aliases)| aliases.iter().chain([name])).collect();
        for name in &names {
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn an_empty_list_of_sizes_counts_as_the_default_list() {
        let policy = ThumbnailPolicy { sizes: Vec::new(), ..ThumbnailPolicy::default() };
        assert_eq!(policy.sizes(), ThumbnailPolicy::default().sizes());
    }
}
