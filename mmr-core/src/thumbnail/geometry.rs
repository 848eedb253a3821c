//! Where the pixels of a thumbnail come from: arithmetic only.

use crate::types::{Method, Size};

/// A rectangle inside a picture, in pixels from its top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// Columns to the left of the rectangle.
    pub left: u32,
    /// Rows above the rectangle.
    pub top: u32,
    /// Its width and height.
    pub size: Size,
}

impl Rect {
    /// The same rectangle in a picture whose rows and columns are exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { left: self.top, top: self.left, size: self.size.transposed() }
    }
}

/// Which part of a picture a thumbnail shows, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The part of the picture that is shown; never smaller than `size` in either dimension.
    pub region: Rect,
    /// The size of the thumbnail.
    pub size: Size,
}

/// Places a picture of size `source` in a box.
///
/// Nothing is ever enlarged. [`Method::Scale`] shows all of the picture and fits inside the box.
/// [`Method::Crop`] shows its middle, fills the box, and keeps the aspect ratio of the box even where the
/// picture is smaller than it. A dimension of zero counts as one.
#[must_use]
pub fn place(source: Size, bounds: Size, method: Method) -> Placement {
    let (source, bounds) = (at_least_one(source), at_least_one(bounds));
    match method {
        Method::Scale => {
            let size = if bounds.contains(source) { source } else { fit(source, bounds) };
            Placement { region: Rect { left: 0, top: 0, size: source }, size }
        }
        Method::Crop => {
            let size = if source.contains(bounds) { bounds } else { fit(bounds, source) };
            Placement { region: middle(source, fit(size, source)), size }
        }
    }
}

/// The largest size with the aspect ratio of `shape` (within one pixel) inside `within`.
#[must_use]
pub fn fit(shape: Size, within: Size) -> Size {
    let (shape, within) = (at_least_one(shape), at_least_one(within));
    let wider = u64::from(shape.width) * u64::from(within.height)
        >= u64::from(within.width) * u64::from(shape.height);
    if wider {
        Size::new(within.width, proportion(within.width, shape.height, shape.width))
    } else {
        Size::new(proportion(within.height, shape.width, shape.height), within.height)
    }
}

/// `length * of / to`, rounded, at least one. The callers keep it within `u32`.
fn proportion(length: u32, of: u32, to: u32) -> u32 {
    let to = u64::from(to);
    let rounded = (u64::from(length) * u64::from(of) + to / 2) / to;
    u32::try_from(rounded).unwrap_or(u32::MAX).max(1)
}

fn middle(of: Size, size: Size) -> Rect {
    Rect { left: (of.width - size.width) / 2, top: (of.height - size.height) / 2, size }
}

fn at_least_one(size: Size) -> Size {
    Size::new(size.width.max(1), size.height.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn placed(source: (u32, u32), bounds: (u32, u32), method: Method) -> Placement {
        place(Size::new(source.0, source.1), Size::new(bounds.0, bounds.1), method)
    }

    #[test]
    fn scaling_fits_the_whole_picture_inside_the_box() {
        let wide = placed((4000, 2000), (800, 600), Method::Scale);
        assert_eq!(wide.size, Size::new(800, 400));
        assert_eq!(wide.region, Rect { left: 0, top: 0, size: Size::new(4000, 2000) });
        assert_eq!(placed((2000, 4000), (800, 600), Method::Scale).size, Size::new(300, 600));
    }

    #[test]
    fn a_picture_that_fits_is_not_scaled() {
        assert_eq!(placed((30, 20), (32, 32), Method::Scale).size, Size::new(30, 20));
    }

    #[test]
    fn cropping_takes_the_middle() {
        let wide = placed((400, 200), (100, 100), Method::Crop);
        assert_eq!(wide.size, Size::new(100, 100));
        assert_eq!(wide.region, Rect { left: 100, top: 0, size: Size::new(200, 200) });
        let tall = placed((200, 400), (100, 100), Method::Crop);
        assert_eq!(tall.region, Rect { left: 0, top: 100, size: Size::new(200, 200) });
    }

    #[test]
    fn cropping_a_picture_smaller_than_the_box_keeps_the_aspect_ratio_of_the_box() {
        assert_eq!(placed((50, 400), (100, 100), Method::Crop).size, Size::new(50, 50));
        assert_eq!(placed((400, 50), (100, 200), Method::Crop).size, Size::new(25, 50));
    }

    #[test]
    fn a_very_thin_picture_keeps_one_pixel() {
        assert_eq!(placed((10_000, 1), (32, 32), Method::Scale).size, Size::new(32, 1));
        assert_eq!(placed((10_000, 1), (32, 32), Method::Crop).size, Size::new(1, 1));
    }

    #[test]
    fn a_dimension_of_zero_counts_as_one() {
        assert_eq!(placed((0, 0), (0, 0), Method::Crop).size, Size::new(1, 1));
    }

    /// Within one pixel of having the same aspect ratio.
    fn alike(a: Size, b: Size) -> bool {
        let (aw, ah) = (f64::from(a.width), f64::from(a.height));
        let (bw, bh) = (f64::from(b.width), f64::from(b.height));
        (aw - ah * bw / bh).abs() <= 1.0 || (ah - aw * bh / bw).abs() <= 1.0
    }

    fn sides() -> impl Strategy<Value = (u32, u32)> {
        let side = || prop_oneof![1_u32..=4, 1_u32..=1000, 1_u32..=70_000, 1_u32..];
        (side(), side())
    }

    proptest! {
        #[test]
        fn a_thumbnail_is_never_larger_than_the_box_or_the_picture(
            source in sides(), bounds in sides(), crop: bool,
        ) {
            let method = if crop { Method::Crop } else { Method::Scale };
            let Placement { region, size } = placed(source, bounds, method);
            prop_assert!(size.width >= 1 && size.height >= 1);
            prop_assert!(Size::new(bounds.0, bounds.1).contains(size));
            prop_assert!(region.size.contains(size), "{:?} shown as {}", region, size);
        }

        #[test]
        fn the_region_lies_inside_the_picture(source in sides(), bounds in sides(), crop: bool) {
            let method = if crop { Method::Crop } else { Method::Scale };
            let Rect { left, top, size } = placed(source, bounds, method).region;
            prop_assert!(u64::from(left) + u64::from(size.width) <= u64::from(source.0));
            prop_assert!(u64::from(top) + u64::from(size.height) <= u64::from(source.1));
        }

        #[test]
        fn a_picture_that_does_not_fit_fills_the_box_in_one_direction(
            source in sides(), bounds in sides(),
        ) {
            let (source, bounds) = (Size::new(source.0, source.1), Size::new(bounds.0, bounds.1));
            prop_assume!(!bounds.contains(source));
            let size = place(source, bounds, Method::Scale).size;
            prop_assert!(size.width == bounds.width || size.height == bounds.height);
        }

        #[test]
        fn scaling_keeps_the_aspect_ratio_of_the_picture(source in sides(), bounds in sides()) {
            let size = placed(source, bounds, Method::Scale).size;
            prop_assert!(alike(size, Size::new(source.0, source.1)), "{}", size);
        }

        #[test]
        fn cropping_has_the_aspect_ratio_of_the_box(source in sides(), bounds in sides()) {
            let size = placed(source, bounds, Method::Crop).size;
            prop_assert!(alike(size, Size::new(bounds.0, bounds.1)), "{}", size);
        }

        #[test]
        fn a_crop_of_a_large_enough_picture_fills_the_box(source in sides(), bounds in sides()) {
            let (source, bounds) = (Size::new(source.0, source.1), Size::new(bounds.0, bounds.1));
            prop_assume!(source.contains(bounds));
            prop_assert_eq!(place(source, bounds, Method::Crop).size, bounds);
        }

        #[test]
        fn nothing_is_distorted(source in sides(), bounds in sides(), crop: bool) {
            let method = if crop { Method::Crop } else { Method::Scale };
            let Placement { region, size } = placed(source, bounds, method);
            prop_assert!(alike(size, region.size), "{:?} shown as {}", region, size);
        }
    }
}
