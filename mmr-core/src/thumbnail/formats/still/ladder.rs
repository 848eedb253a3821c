//! Several thumbnails from one decoded picture: arithmetic only.
//!
//! A thumbnail is made from the smallest picture that is large enough, which often is a larger thumbnail:
//! reading that again costs a fraction of reading the decoded picture again.

use crate::thumbnail::geometry::{Placement, Rect};
use crate::types::Size;

/// By how much a thumbnail has to be smaller than the one it is made from, in both directions. Pixels that
/// were resampled twice then look like those that were resampled once.
const MARGIN: f64 = 2.0;

/// A part of a picture, in pixels and fractions of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::thumbnail::formats) struct Area {
    pub(in crate::thumbnail::formats) left: f64,
    pub(in crate::thumbnail::formats) top: f64,
    pub(in crate::thumbnail::formats) width: f64,
    pub(in crate::thumbnail::formats) height: f64,
}

impl Area {
    /// All of a picture.
    pub(in crate::thumbnail::formats) fn whole(size: Size) -> Self {
        Self { left: 0.0, top: 0.0, width: f64::from(size.width), height: f64::from(size.height) }
    }

    /// Where `region` of a picture lies, once the part `shown` of that picture has been brought to `size`.
    pub(super) fn of(region: Rect, shown: Rect, size: Size) -> Self {
        let (left, width) =
            stretch(region.left.saturating_sub(shown.left), region.size.width, shown.size.width, size.width);
        let (top, height) =
            stretch(region.top.saturating_sub(shown.top), region.size.height, shown.size.height, size.height);
        Self { left, top, width, height }
    }

    /// Whether these are just as many pixels, so that there is nothing to resample.
    #[expect(clippy::float_cmp, reason = "whole numbers stay exact")]
    pub(super) fn is(&self, size: Size) -> bool {
        self.left.fract() == 0.0
            && self.top.fract() == 0.0
            && self.width == f64::from(size.width)
            && self.height == f64::from(size.height)
    }

    fn has_margin_over(&self, size: Size) -> bool {
        self.width >= MARGIN * f64::from(size.width) && self.height >= MARGIN * f64::from(size.height)
    }
}

/// Start and length of a stretch of `full` once `full` has become `to`; never past its end.
fn stretch(start: u32, length: u32, full: u32, to: u32) -> (f64, f64) {
    let (full, to) = (f64::from(full.max(1)), f64::from(to));
    let start = (f64::from(start) * to / full).min(to);
    (start, (f64::from(length) * to / full).min(to - start))
}

/// A thumbnail to make, and from what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rung {
    /// Which placement this is.
    pub(super) index: usize,
    /// The placement whose resized picture it is made from; none for the decoded picture.
    pub(super) from: Option<usize>,
    /// The part of that picture that is shown.
    pub(super) area: Area,
    /// Whether others are made from this one.
    pub(super) kept: bool,
}

/// The smallest size at which a picture of size `full` still has as many pixels as every thumbnail.
pub(super) fn needed(full: Size, placements: &[Placement]) -> Size {
    let side = |full: u32, shown: u32, wanted: u32| {
        let needed = (u64::from(full) * u64::from(wanted)).div_ceil(u64::from(shown.max(1)));
        u32::try_from(needed).unwrap_or(full).clamp(1, full.max(1))
    };
    placements.iter().fold(Size::new(1, 1), |most, Placement { region, size }| {
        Size::new(
            most.width.max(side(full.width, region.size.width, size.width)),
            most.height.max(side(full.height, region.size.height, size.height)),
        )
    })
}

/// In which order to make thumbnails of a picture of size `full` that was decoded at size `decoded`.
///
/// Those that are cut out and not resampled come first, and nothing is made from them; then from the largest
/// to the smallest.
pub(super) fn rungs(full: Size, decoded: Size, placements: &[Placement]) -> Vec<Rung> {
    let whole = Rect { left: 0, top: 0, size: full };
    let mut rungs: Vec<Rung> = placements
        .iter()
        .enumerate()
        .map(|(index, placement)| Rung {
            index,
            from: None,
            area: Area::of(placement.region, whole, decoded),
            kept: false,
        })
        .collect();
    let size = |index: usize| placements[index].size;
    rungs.sort_by_key(|rung| {
        let size = size(rung.index);
        (!rung.area.is(size), std::cmp::Reverse(size.area()))
    });
    for at in 0..rungs.len() {
        let (larger, rest) = rungs.split_at_mut(at);
        let Some(rung) = rest.first_mut() else { break };
        let Placement { region, size } = placements[rung.index];
        let parent = larger.iter_mut().rev().find_map(|parent| {
            let Placement { region: shown, size: pixels } = placements[parent.index];
            let resampled = !parent.area.is(pixels);
            let area = Area::of(region, shown, pixels);
            let same = region == shown && size == pixels;
            let enough = contains(shown, region) && (area.has_margin_over(size) || same);
            (resampled && enough).then_some((parent, area))
        });
        if let Some((parent, area)) = parent {
            parent.kept = true;
            (rung.from, rung.area) = (Some(parent.index), area);
        }
    }
    rungs
}

fn contains(outer: Rect, inner: Rect) -> bool {
    let within = |outer: u32, outer_len: u32, inner: u32, inner_len: u32| {
        inner >= outer && u64::from(inner) + u64::from(inner_len) <= u64::from(outer) + u64::from(outer_len)
    };
    within(outer.left, outer.size.width, inner.left, inner.size.width)
        && within(outer.top, outer.size.height, inner.top, inner.size.height)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::thumbnail::geometry::place;
    use crate::types::Method;

    const DEFAULT: [(u32, u32, Method); 5] = [
        (32, 32, Method::Crop),
        (96, 96, Method::Crop),
        (320, 240, Method::Scale),
        (640, 480, Method::Scale),
        (800, 600, Method::Scale),
    ];

    fn places(full: Size, bounds: &[(u32, u32, Method)]) -> Vec<Placement> {
        bounds.iter().map(|&(width, height, method)| place(full, Size::new(width, height), method)).collect()
    }

    #[test]
    fn small_sizes_are_made_from_larger_ones() {
        let full = Size::new(4032, 3024);
        let from: Vec<_> = rungs(full, Size::new(2016, 1512), &places(full, &DEFAULT))
            .into_iter()
            .map(|rung| (rung.index, rung.from))
            .collect();
        assert_eq!(from, [(4, None), (3, None), (2, Some(3)), (1, Some(2)), (0, Some(1))]);
    }

    #[test]
    fn a_size_of_which_nothing_is_made_need_not_be_kept() {
        let full = Size::new(4032, 3024);
        let rungs = rungs(full, full, &places(full, &DEFAULT));
        let kept: Vec<_> = rungs.iter().filter(|rung| rung.kept).map(|rung| rung.index).collect();
        assert_eq!(kept, [3, 2, 1]);
    }

    #[test]
    fn a_crop_that_shows_more_than_a_larger_crop_is_made_from_the_decoded_picture() {
        let full = Size::new(4000, 1000);
        let bounds = [(400, 400, Method::Crop), (150, 50, Method::Crop)];
        assert!(rungs(full, full, &places(full, &bounds)).iter().all(|rung| rung.from.is_none()));
    }

    #[test]
    fn the_same_size_twice_is_resampled_once() {
        let full = Size::new(4000, 3000);
        let rungs = rungs(full, full, &places(full, &[DEFAULT[4], DEFAULT[4]]));
        assert_eq!((rungs[0].from, rungs[1].from), (None, Some(0)));
        assert!(rungs[1].area.is(Size::new(800, 600)));
    }

    #[test]
    fn the_size_that_is_needed_gives_the_smallest_side_of_a_crop_its_pixels() {
        let full = Size::new(4000, 1000);
        assert_eq!(needed(full, &places(full, &[(100, 100, Method::Crop)])), Size::new(400, 100));
        assert_eq!(needed(full, &places(full, &[(800, 600, Method::Scale)])), Size::new(800, 200));
    }

    #[test]
    fn a_picture_smaller_than_asked_is_needed_in_full() {
        let full = Size::new(40, 30);
        assert_eq!(needed(full, &places(full, &[(800, 600, Method::Scale)])), full);
    }

    fn requests() -> impl Strategy<Value = (Size, Vec<(u32, u32, Method)>)> {
        let side = || prop_oneof![1_u32..=8, 1_u32..=900, 1_u32..=9000];
        let method = prop_oneof![Just(Method::Scale), Just(Method::Crop)];
        let bounds = (1_u32..=900, 1_u32..=900, method);
        (side(), side(), prop::collection::vec(bounds, 1..6))
            .prop_map(|(width, height, bounds)| (Size::new(width, height), bounds))
    }

    proptest! {
        #[test]
        fn every_thumbnail_is_made_once_from_a_picture_that_exists_and_contains_it(
            (full, bounds) in requests(), eighths in 1_u32..=8,
        ) {
            let placements = places(full, &bounds);
            let needed = needed(full, &placements);
            let scaled = |side: u32| (side * eighths).div_ceil(8);
            let decoded = Size::new(
                scaled(full.width).max(needed.width),
                scaled(full.height).max(needed.height),
            );
            let mut made = Vec::new();
            for rung in rungs(full, decoded, &placements) {
                let source = rung.from.map_or(decoded, |from| placements[from].size);
                if let Some(from) = rung.from {
                    prop_assert!(made.contains(&from));
                }
                let Area { left, top, width, height } = rung.area;
                prop_assert!(left >= 0.0 && top >= 0.0 && width > 0.0 && height > 0.0);
                prop_assert!(left + width <= f64::from(source.width));
                prop_assert!(top + height <= f64::from(source.height));
                made.push(rung.index);
            }
            made.sort_unstable();
            prop_assert_eq!(made, (0..placements.len()).collect::<Vec<_>>());
        }

        #[test]
        fn nothing_is_enlarged((full, bounds) in requests()) {
            let placements = places(full, &bounds);
            let decoded = needed(full, &placements);
            for rung in rungs(full, decoded, &placements) {
                let size = placements[rung.index].size;
                // A pixel is lost at most by rounding the decoded size.
                prop_assert!(rung.area.width > f64::from(size.width) - 1.0, "{:?}", rung);
                prop_assert!(rung.area.height > f64::from(size.height) - 1.0, "{:?}", rung);
            }
        }
    }
}
