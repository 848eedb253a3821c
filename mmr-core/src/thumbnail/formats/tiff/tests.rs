use super::super::tests::checks::{self, assert_corners, assert_near, small};
use super::*;
use crate::testing::images;

#[test]
fn every_kind_of_tiff_keeps_its_corners() {
    let kinds = [
        images::Tiff::rgb(64, 48),
        images::Tiff { big_endian: true, ..images::Tiff::rgb(64, 48) },
        images::Tiff::rgb16(64, 48),
        images::Tiff::cmyk(64, 48),
        images::Tiff::deflate(64, 48),
    ];
    for kind in kinds {
        let picture = small(Tiff, kind.file());
        assert_eq!(picture.dimensions(), (32, 24));
        assert_corners(&picture);
    }
}

#[test]
fn grey_stays_grey() {
    let picture = small(Tiff, images::Tiff::grey(64, 48).file());
    assert_near(picture.get_pixel(2, 2).0, [40, 40, 40, 255]);
    assert_near(picture.get_pixel(29, 2).0, [210, 210, 210, 255]);
}

#[test]
fn transparency_is_kept() {
    let picture = small(Tiff, images::Tiff::rgba(64, 48).file());
    assert_near(picture.get_pixel(2, 2).0, [255, 0, 0, 255]);
    assert_eq!(picture.get_pixel(29, 2).0[3], 0);
}

#[test]
fn every_orientation_is_shown_upright() {
    for orientation in 1..=8 {
        let picture = small(Tiff, images::Tiff::with_orientation(64, 48, orientation).file());
        assert_eq!(picture.dimensions(), (32, 24), "{orientation}");
        assert_corners(&picture);
    }
}

#[test]
fn the_first_of_several_pictures_is_shown() {
    let picture = small(Tiff, images::Tiff { next: true, ..images::Tiff::rgb(64, 48) }.file());
    assert_eq!(picture.dimensions(), (32, 24));
    assert_corners(&picture);
}

#[test]
fn a_colour_profile_is_found() {
    let header =
        checks::header(Tiff, images::Tiff { profile: true, ..images::Tiff::rgb(8, 8) }.file()).unwrap();
    assert_eq!(header.icc.unwrap().get(36..40), Some(b"acsp".as_slice()));
}

#[test]
fn too_many_pixels_are_refused_by_the_header_alone() {
    let fields = [256, 257, 278].map(|tag| (tag, 4, 1, 30_000)).to_vec();
    let source = images::Tiff { fields, ..images::Tiff::rgb(8, 8) }.file();
    checks::assert_too_many_pixels(Tiff, source, 900_000_000);
}

#[test]
fn values_outside_of_the_file_are_an_error_before_room_is_made_for_them() {
    let fields = vec![(273, 4, 50_000_000, 8)];
    let result = checks::header(Tiff, images::Tiff { fields, ..images::Tiff::rgb(8, 8) }.file());
    assert!(matches!(result, Err(RenderError::Decode(_))));
}

#[test]
fn short_values_that_would_explode_are_an_error() {
    let data = vec![0; 400_000];
    let fields = vec![(273, 1, 390_000, 8)];
    let source = images::Tiff { data, fields, ..images::Tiff::rgb(8, 8) }.file();
    assert_eq!(Directory::of(&source), Err("directory has more values than the file is worth"));
}

#[test]
fn a_tile_wider_than_its_picture_is_booked() {
    let wide = vec![(322, 4, 1, 1_000_000), (323, 4, 1, 16), (324, 4, 1, 8), (325, 4, 1, 192)];
    let directory = Directory::of(&images::Tiff { fields: wide, ..images::Tiff::rgb(8, 8) }.file()).unwrap();
    assert_eq!(directory.chunk_row_bytes(), 24_000_000);
}

#[test]
fn a_jpeg_inside_may_take_what_it_likes() {
    let source = images::Tiff { compression: 7, ..images::Tiff::rgb(8, 8) }.file();
    assert!(checks::header(Tiff, source).unwrap().at_worst_bytes > 0);
}

#[test]
fn cuts_and_damage_are_harmless() {
    let kinds = [images::Tiff::rgb(16, 12), images::Tiff::cmyk(16, 12), images::Tiff::deflate(16, 12)];
    for kind in kinds {
        checks::assert_cuts_are_harmless(Tiff, &kind.file());
        checks::assert_damage_is_harmless(Tiff, &kind.file(), 300);
    }
}

#[test]
fn decoding_ends_once_nobody_waits() {
    checks::assert_decoding_ends_once_nobody_waits(Tiff, images::Tiff::rgb(64, 48).file());
}
