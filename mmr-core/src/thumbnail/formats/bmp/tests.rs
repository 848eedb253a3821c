use super::super::tests::checks::{self, assert_corners, assert_near, small};
use super::*;
use crate::testing::images;

#[test]
fn every_kind_of_bmp_keeps_its_corners() {
    let kinds = [
        images::bmp(64, 48),
        images::palette_bmp(64, 48),
        images::run_length_bmp(64, 48),
        images::sixteen_bit_bmp(64, 48),
    ];
    for source in kinds {
        let picture = small(Bmp, source);
        assert_eq!(picture.dimensions(), (32, 24));
        assert_corners(&picture);
    }
}

#[test]
fn transparency_is_kept() {
    let picture = small(Bmp, images::alpha_bmp(64, 48));
    assert_near(picture.get_pixel(2, 2).0, [255, 0, 0, 255]);
    assert_eq!(picture.get_pixel(29, 2).0[3], 0);
}

#[test]
fn too_many_pixels_are_refused_by_the_header_alone() {
    checks::assert_too_many_pixels(Bmp, images::bmp_header(30_000, 30_000), 900_000_000);
}

#[test]
fn a_text_that_begins_with_the_same_letters_is_no_bmp() {
    assert!(!Bmp.is(b"BMW is a maker of cars and motorcycles"));
}

#[test]
fn a_header_without_pixels_is_a_damaged_source() {
    let result = checks::try_render(Bmp, &checks::task(images::bmp_header(64, 48)));
    assert!(matches!(result, Some(Err(RenderError::Decode(_)))), "{result:?}");
}

#[test]
fn cuts_and_damage_are_harmless() {
    for source in
        [images::palette_bmp(16, 12), images::run_length_bmp(16, 12), images::sixteen_bit_bmp(16, 12)]
    {
        checks::assert_cuts_are_harmless(Bmp, &source);
        checks::assert_damage_is_harmless(Bmp, &source, 300);
    }
}

#[test]
fn decoding_ends_once_nobody_waits() {
    checks::assert_decoding_ends_once_nobody_waits(Bmp, images::bmp(64, 48));
}
