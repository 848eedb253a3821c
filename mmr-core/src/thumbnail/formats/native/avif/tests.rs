use image::RgbaImage;

use super::*;
use crate::testing::images::{Av1, Avif as File};
use crate::thumbnail::formats::tests::checks::{self, assert_corners, assert_near, small};

fn shown(file: &File) -> RgbaImage {
    small(Avif, file.file())
}

#[test]
fn every_coding_keeps_its_corners() {
    for coded in [Av1::Yuv420, Av1::Yuv444FullRange, Av1::Yuv422TenBit, Av1::Yuv420TwelveBit, Av1::Rgb] {
        let picture = shown(&File::of(coded));
        assert_eq!(picture.dimensions(), (32, 24), "{coded:?}");
        assert_corners(&picture);
    }
}

#[test]
fn grey_stays_grey() {
    let picture = shown(&File::of(Av1::Grey));
    assert_near(picture.get_pixel(2, 2).0, [87, 87, 87, 255]);
    assert_near(picture.get_pixel(29, 21).0, [250, 250, 250, 255]);
}

#[test]
fn an_odd_picture_is_shown_to_its_edges() {
    let mut task = checks::task(File::of(Av1::Odd).file());
    task.specs[0].width = 16;
    let Some(Ok(rendered)) = checks::try_render(Avif, &task) else { panic!("not rendered") };
    let crate::thumbnail::Rendered::Image { bytes, .. } = rendered else { panic!("the original") };
    assert_corners(&image::load_from_memory(&bytes).unwrap().into_rgba8());
}

#[test]
fn transparency_is_kept() {
    let picture = shown(&File { alpha: Some(Av1::Alpha), ..File::of(Av1::Yuv420) });
    assert_eq!(picture.get_pixel(2, 2).0[3], 0);
    assert_near(picture.get_pixel(29, 2).0, [30, 200, 30, 255]);
}

#[test]
fn colours_that_are_multiplied_by_alpha_are_divided_again() {
    let mut pixels = [100, 50, 0, 128, 9, 9, 9, 0, 200, 0, 0, 100];
    divide_by_alpha(&mut pixels);
    assert_eq!(pixels, [199, 100, 0, 128, 9, 9, 9, 0, 255, 0, 0, 100]);
}

#[test]
fn a_grid_is_put_together() {
    let picture = shown(&File::grid());
    assert_eq!(picture.dimensions(), (32, 24));
    assert_corners(&picture);
}

#[test]
fn a_grid_is_cut_to_its_size() {
    let picture = shown(&File { stated: Some((60, 44)), ..File::grid() });
    assert_eq!(picture.dimensions(), (32, 23));
    assert_corners(&picture);
}

#[test]
fn codestreams_in_the_metadata_and_in_pieces_are_found() {
    for (in_idat, in_pieces) in [(true, false), (false, true), (true, true)] {
        for file in [File::of(Av1::Yuv420), File::grid()] {
            assert_corners(&shown(&File { in_idat, in_pieces, ..file }));
        }
    }
}

#[test]
fn a_picture_is_turned_against_the_clock() {
    let picture = shown(&File { quarters: 1, ..File::of(Av1::Yuv420) });
    assert_eq!(picture.dimensions(), (24, 32));
    // The right side comes up.
    assert_near(picture.get_pixel(2, 2).0, [30, 200, 30, 255]);
    assert_near(picture.get_pixel(21, 2).0, [250, 250, 250, 255]);
}

#[test]
fn sides_are_exchanged_after_turning() {
    let top_left =
        |quarters, mirror| *shown(&File { quarters, mirror, ..File::of(Av1::Yuv420) }).get_pixel(2, 2);
    let (red, green, blue, white) =
        ([220, 30, 30, 255], [30, 200, 30, 255], [30, 30, 220, 255], [250, 250, 250, 255]);
    assert_near(top_left(0, Some(0)).0, blue);
    assert_near(top_left(0, Some(1)).0, green);
    assert_near(top_left(1, Some(0)).0, red);
    assert_near(top_left(1, Some(1)).0, white);
    assert_near(top_left(2, Some(0)).0, green);
    assert_near(top_left(3, Some(1)).0, red);
}

#[test]
fn the_container_overrules_the_codestream() {
    // Green, blue and red taken for luma and chroma.
    let picture = shown(&File { nclx: Some((1, true)), ..File::of(Av1::Rgb) });
    assert_near(picture.get_pixel(2, 2).0, [175, 5, 0, 255]);
}

#[test]
fn a_colour_profile_is_found() {
    let header =
        checks::header(Avif, File { icc: Some(vec![7; 200]), ..File::of(Av1::Yuv420) }.file()).unwrap();
    assert_eq!(header.icc, Some(vec![7; 200]));
}

#[test]
fn what_must_be_understood_and_is_not_is_an_error() {
    let opened = |unknown| checks::header(Avif, File { unknown, ..File::of(Av1::Yuv420) }.file());
    assert!(opened(Some(false)).is_ok());
    assert!(matches!(opened(Some(true)), Err(RenderError::Decode(_))));
}

#[test]
fn too_many_pixels_are_refused_by_the_header_alone() {
    let source = File { stated: Some((30_000, 30_000)), ..File::of(Av1::Yuv420) }.file();
    checks::assert_too_many_pixels(Avif, source, 900_000_000);
}

#[test]
fn a_container_that_states_another_size_than_the_codestream_is_damaged() {
    for stated in [(63, 48), (64, 47), (640, 480)] {
        let task = checks::task(File { stated: Some(stated), ..File::of(Av1::Yuv420) }.file());
        let result = checks::try_render(Avif, &task);
        assert!(matches!(result, Some(Err(RenderError::Decode(_)))), "{stated:?}: {result:?}");
    }
}

#[test]
fn an_alpha_channel_of_another_size_is_damaged() {
    let source = File { alpha: Some(Av1::Odd), ..File::of(Av1::Yuv420) }.file();
    assert!(matches!(checks::header(Avif, source), Err(RenderError::Decode(_))));
}

#[test]
fn more_bits_and_samples_are_booked() {
    let booked = |coded| checks::header(Avif, File::of(coded).file()).unwrap().decode_bytes;
    assert!(booked(Av1::Yuv422TenBit) > booked(Av1::Yuv420));
    assert!(booked(Av1::Yuv420) > booked(Av1::Grey));
}

#[test]
fn a_smaller_picture_is_asked_for_and_made() {
    for (width, height, made) in [(64, 48, (64, 48)), (32, 24, (32, 24)), (33, 24, (64, 48)), (5, 4, (8, 6))]
    {
        let header = checks::header(Avif, File::of(Av1::Yuv420).file()).unwrap();
        let decoded = (header.decode)(Size::new(width, height)).unwrap();
        assert_eq!(decoded.size(), Size::new(made.0, made.1), "{width}x{height}");
    }
}

#[test]
fn made_smaller_every_coding_keeps_its_corners() {
    use Av1::{Odd, Rgb, Yuv420, Yuv420TwelveBit, Yuv422TenBit, Yuv444FullRange};
    for coded in [Yuv420, Yuv444FullRange, Yuv422TenBit, Yuv420TwelveBit, Rgb, Odd] {
        for by in 1..=2 {
            let header = checks::header(Avif, File::of(coded).file()).unwrap();
            let wanted = Size::new(header.size.width >> by, header.size.height >> by);
            let pixels = (header.decode)(wanted).unwrap().into_pixels().unwrap();
            let size = pixels.size;
            assert_eq!(
                size,
                Size::new(header.size.width.div_ceil(1 << by), header.size.height.div_ceil(1 << by))
            );
            let picture = image::RgbImage::from_raw(size.width, size.height, pixels.data).unwrap();
            assert_corners(&image::DynamicImage::from(picture).into_rgba8());
        }
    }
}

#[test]
fn an_animation_is_known_by_its_brand() {
    let animated =
        |brand| checks::header(Avif, File { brand, ..File::of(Av1::Yuv420) }.file()).unwrap().animated;
    assert!(animated(*b"avis"));
    assert!(!animated(*b"mif1"));
}

#[test]
fn other_pictures_in_the_same_container_are_not_meant() {
    assert!(!Avif.is(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"));
    assert!(!Avif.is(b"\0\0\0\x18ftypisom\0\0\0\0isomiso2"));
    assert!(Avif.is(b"\0\0\0\x18ftypmif1\0\0\0\0miafMA1B"));
}

#[test]
fn cuts_and_damage_are_harmless() {
    let files = [
        File { alpha: Some(Av1::Alpha), ..File::of(Av1::Yuv420) },
        File::grid(),
        File { in_idat: true, in_pieces: true, ..File::of(Av1::Yuv422TenBit) },
    ];
    for file in files {
        checks::assert_cuts_are_harmless(Avif, &file.file());
        checks::assert_damage_is_harmless(Avif, &file.file(), 300);
    }
}

#[test]
fn decoding_ends_once_nobody_waits() {
    checks::assert_decoding_ends_once_nobody_waits(Avif, File::of(Av1::Yuv420).file());
}

#[test]
fn what_a_tile_takes_is_not_less_for_being_absurdly_large() {
    let source = File::of(Av1::Yuv420).file();
    let picture = container::parse(&source).unwrap().color;
    let (_, stream) = &Coded::of(&source, &picture).unwrap().tiles[0];
    let bytes = |side| decoder_bytes(Size::new(side, side), stream);
    assert!(bytes(32) < bytes(65_535) && bytes(65_535) < bytes(u32::MAX - 256));
}
