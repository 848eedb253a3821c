//! From the size that a client asks for to the one that is made.

use super::geometry;
use crate::policy::ThumbnailPolicy;
use crate::types::{Method, Size, ThumbnailRequest, ThumbnailSpec, Variant};

/// Width or height is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("thumbnail width and height must be at least one pixel")]
pub struct EmptyThumbnail;

/// Chooses the thumbnail to make for `request`.
///
/// The box is the smallest configured size that is not smaller than asked in either dimension, and the
/// largest configured size when there is none. With `dynamic_sizing` it is the asked size, cut down to the
/// largest configured one.
///
/// For [`Method::Crop`] the box is then shrunk to the asked aspect ratio, since a crop has to have it
/// (matrix-media-repo does the same). One medium thus has at most width + height crops per configured size.
///
/// # Errors
/// [`EmptyThumbnail`] when width or height is zero.
pub fn normalise(
    request: &ThumbnailRequest,
    policy: &ThumbnailPolicy,
) -> Result<ThumbnailSpec, EmptyThumbnail> {
    let ThumbnailRequest { width, height, method, animated, webp } = *request;
    let asked = Size::new(width, height);
    if asked.area() == 0 {
        return Err(EmptyThumbnail);
    }
    let bounds = if policy.dynamic_sizing {
        let most = largest(policy.sizes());
        Size::new(asked.width.min(most.width), asked.height.min(most.height))
    } else {
        smallest_containing(asked, policy.sizes())
    };
    let size = match method {
        Method::Scale => bounds,
        Method::Crop => geometry::fit(asked, bounds),
    };
    let variant = if policy.allow_animated && animated.unwrap_or(policy.default_animated) {
        Variant::Animated
    } else if webp {
        Variant::WebP
    } else {
        Variant::Still
    };
    Ok(ThumbnailSpec { width: size.width, height: size.height, method, variant })
}

/// The thumbnail from which smaller ones can be made: all of the picture at the largest configured size.
#[must_use]
pub fn base(policy: &ThumbnailPolicy) -> ThumbnailSpec {
    let Size { width, height } = largest(policy.sizes());
    ThumbnailSpec { width, height, method: Method::Scale, variant: Variant::Still }
}

/// Whether a thumbnail is one of the few that are kept for a picture: a configured size, cropped at most to its own aspect
/// ratio or to a square. Others are made again when they are asked for again, so that nobody can fill a disk with sizes.
#[must_use]
pub fn is_canonical(spec: &ThumbnailSpec, policy: &ThumbnailPolicy) -> bool {
    let square = Size::new(1, 1);
    policy.sizes().iter().any(|&size| {
        spec.size() == size || (spec.method == Method::Crop && spec.size() == geometry::fit(square, size))
    })
}

fn smallest_containing(asked: Size, sizes: &[Size]) -> Size {
    let fitting = sizes.iter().copied().filter(|size| size.contains(asked));
    fitting.min_by_key(|size| (size.area(), size.width)).unwrap_or_else(|| largest(sizes))
}

fn largest(sizes: &[Size]) -> Size {
    let largest = sizes.iter().copied().max_by_key(|size| (size.area(), size.width));
    largest.unwrap_or(Size::new(1, 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(width: u32, height: u32, method: Method) -> ThumbnailRequest {
        ThumbnailRequest { width, height, method, animated: None, webp: false }
    }

    fn chosen(width: u32, height: u32, method: Method) -> Size {
        normalise(&request(width, height, method), &ThumbnailPolicy::default()).unwrap().size()
    }

    #[test]
    fn a_configured_size_is_taken_as_it_is() {
        assert_eq!(chosen(320, 240, Method::Scale), Size::new(320, 240));
        assert_eq!(chosen(96, 96, Method::Crop), Size::new(96, 96));
    }

    #[test]
    fn the_smallest_size_that_is_not_smaller_in_either_dimension_is_taken() {
        assert_eq!(chosen(33, 1, Method::Scale), Size::new(96, 96));
        assert_eq!(chosen(97, 10, Method::Scale), Size::new(320, 240));
        assert_eq!(chosen(10, 241, Method::Scale), Size::new(640, 480));
    }

    #[test]
    fn the_largest_size_is_taken_when_more_is_asked() {
        assert_eq!(chosen(4000, 3000, Method::Scale), Size::new(800, 600));
        assert_eq!(chosen(801, 1, Method::Scale), Size::new(800, 600));
    }

    #[test]
    fn the_order_of_the_configured_sizes_does_not_matter() {
        let mut policy = ThumbnailPolicy::default();
        policy.sizes.reverse();
        let spec = normalise(&request(50, 50, Method::Scale), &policy).unwrap();
        assert_eq!(spec.size(), Size::new(96, 96));
    }

    #[test]
    fn a_crop_has_the_asked_aspect_ratio_inside_the_configured_size() {
        assert_eq!(chosen(104, 104, Method::Crop), Size::new(240, 240));
        assert_eq!(chosen(1000, 1000, Method::Crop), Size::new(600, 600));
    }

    #[test]
    fn dynamic_sizing_takes_the_asked_size_up_to_the_largest() {
        let policy = ThumbnailPolicy { dynamic_sizing: true, ..ThumbnailPolicy::default() };
        let size = |w, h, method| normalise(&request(w, h, method), &policy).unwrap().size();
        assert_eq!(size(123, 45, Method::Scale), Size::new(123, 45));
        assert_eq!(size(123, 45, Method::Crop), Size::new(123, 45));
        assert_eq!(size(9000, 45, Method::Scale), Size::new(800, 45));
        assert_eq!(size(1000, 100, Method::Crop), Size::new(800, 80));
    }

    #[test]
    fn a_dimension_of_zero_is_an_error() {
        for (width, height) in [(0, 32), (32, 0), (0, 0)] {
            let result = normalise(&request(width, height, Method::Scale), &ThumbnailPolicy::default());
            assert_eq!(result, Err(EmptyThumbnail), "{width}x{height}");
        }
    }

    #[test]
    fn animation_follows_the_client_within_the_policy() {
        let animated = |asked, allow_animated, default_animated| {
            let policy = ThumbnailPolicy { allow_animated, default_animated, ..ThumbnailPolicy::default() };
            let request = ThumbnailRequest { animated: asked, ..request(32, 32, Method::Scale) };
            normalise(&request, &policy).unwrap().variant == Variant::Animated
        };
        assert!(!animated(None, true, false));
        assert!(animated(None, true, true));
        assert!(animated(Some(true), true, false));
        assert!(!animated(Some(false), true, true));
        assert!(!animated(Some(true), false, true));
    }

    #[test]
    fn what_clients_usually_ask_for_is_kept() {
        let policy = ThumbnailPolicy::default();
        for (width, height, method) in [
            (800, 600, Method::Scale),
            (40, 40, Method::Crop),
            (320, 240, Method::Crop),
            (200, 200, Method::Crop),
        ] {
            let spec = normalise(&request(width, height, method), &policy).unwrap();
            assert!(is_canonical(&spec, &policy), "{spec}");
        }
    }

    #[test]
    fn few_thumbnails_of_a_picture_are_kept_whatever_is_asked() {
        for dynamic_sizing in [false, true] {
            let policy = ThumbnailPolicy { dynamic_sizing, ..ThumbnailPolicy::default() };
            let mut kept = std::collections::HashSet::new();
            for (width, height) in (1..=200).flat_map(|width| (1..=150).map(move |height| (width, height))) {
                for method in [Method::Scale, Method::Crop] {
                    let spec = normalise(&request(width * 5, height * 5, method), &policy).unwrap();
                    kept.extend(is_canonical(&spec, &policy).then_some(spec));
                }
            }
            assert!(kept.len() <= 15, "{}", kept.len());
        }
    }

    #[test]
    fn the_base_is_the_largest_size() {
        assert_eq!(base(&ThumbnailPolicy::default()).to_string(), "800x600-scale");
    }

    proptest! {
        #[test]
        fn a_box_is_at_least_as_large_as_asked_whenever_a_configured_size_is(
            width in 1_u32..=800, height in 1_u32..=600, crop: bool,
        ) {
            let method = if crop { Method::Crop } else { Method::Scale };
            prop_assert!(chosen(width, height, method).contains(Size::new(width, height)));
        }

        #[test]
        fn any_request_gets_a_box_inside_the_largest_size(
            width in 1_u32.., height in 1_u32.., crop: bool, dynamic_sizing: bool,
        ) {
            let method = if crop { Method::Crop } else { Method::Scale };
            let policy = ThumbnailPolicy { dynamic_sizing, ..ThumbnailPolicy::default() };
            let size = normalise(&request(width, height, method), &policy).unwrap().size();
            prop_assert!(size.area() > 0);
            prop_assert!(Size::new(800, 600).contains(size), "{}", size);
        }
    }
}
