use super::super::tests::checks::{self, assert_corners, assert_near, small};
use super::*;
use crate::testing::images;

#[test]
fn every_kind_of_jxl_keeps_its_corners() {
    for source in [images::lossy_jxl(), images::sixteen_bit_jxl(), images::jxl_with_orientation(1)] {
        let picture = small(Jxl, source);
        assert_eq!(picture.dimensions(), (32, 24));
        assert_corners(&picture);
    }
}

#[test]
fn a_container_is_the_same_as_what_is_in_it() {
    for parts in [1, 2, 20] {
        let picture = small(Jxl, images::jxl_in_container(&images::lossy_jxl(), parts));
        assert_eq!(picture.dimensions(), (32, 24), "{parts}");
        assert_corners(&picture);
    }
}

#[test]
fn transparency_is_kept() {
    let picture = small(Jxl, images::alpha_jxl());
    assert_eq!(picture.get_pixel(2, 2).0[3], 0);
    assert_near(picture.get_pixel(29, 2).0, [30, 200, 30, 255]);
}

#[test]
fn grey_stays_grey() {
    let picture = small(Jxl, images::grey_jxl());
    let [red, green, blue, _] = picture.get_pixel(2, 2).0;
    assert_eq!((red, red), (green, blue));
}

#[test]
fn every_orientation_is_shown_upright() {
    for orientation in 1..=8 {
        let picture = small(Jxl, images::jxl_with_orientation(orientation));
        assert_eq!(picture.dimensions(), (32, 24), "{orientation}");
        assert_corners(&picture);
    }
}

#[test]
fn colours_of_a_profile_become_those_of_srgb() {
    assert_corners(&small(Jxl, images::jxl_with_profile()));
}

#[test]
fn a_profile_is_expected_to_be_able_to_explode() {
    let at_worst = |source| checks::header(Jxl, source).unwrap().at_worst_bytes;
    assert_eq!(at_worst(images::lossy_jxl()), 0);
    assert_eq!(at_worst(images::jxl_with_profile()), PROFILE_BYTES);
}

#[test]
fn too_many_pixels_are_refused_by_the_header_alone() {
    // Not in eighths, 18 bits of height 65536, ratio one to one, and all else as usual.
    let header = 0b10_u64 << 1 | 65_535 << 3 | 1 << 21 | 1 << 24;
    let source = [&header::CODESTREAM[..], &header.to_le_bytes()].concat();
    checks::assert_too_many_pixels(Jxl, source.into(), 65_536 * 65_536);
}

#[test]
fn cuts_and_damage_are_harmless() {
    let container = images::jxl_in_container(&images::alpha_jxl(), 3);
    for source in [images::lossy_jxl(), images::grey_jxl(), images::jxl_with_profile(), container] {
        checks::assert_cuts_are_harmless(Jxl, &source);
        checks::assert_damage_is_harmless(Jxl, &source, 150);
    }
}

#[test]
fn decoding_ends_once_nobody_waits() {
    checks::assert_decoding_ends_once_nobody_waits(Jxl, images::lossy_jxl());
}
