use image::{DynamicImage, GrayImage};
use proptest::prelude::*;

use super::super::Pixels;
use super::headers::{Headers, Refused};
use super::scaled::{self, SCALES, at_scale};
use super::*;
use crate::testing::images;
use crate::thumbnail::formats::tests::checks::task;
use crate::thumbnail::render::Cancelled;

const SIZES: [(u32, u32); 8] = [(1, 1), (7, 9), (8, 8), (16, 17), (17, 33), (64, 48), (129, 95), (801, 599)];

/// All that has luma, and its samplings.
fn ordinary(width: u32, height: u32) -> Vec<Bytes> {
    let mut all = images::wavy_jpegs(width, height);
    all.push(images::wavy_grey_jpeg(width, height));
    all
}

fn at(eighths: u32, source: &[u8]) -> Result<Planes, Refused> {
    Headers::read(source).and_then(|headers| at_scale(&headers, eighths, &|| false))
}

/// What is shown of the luma.
fn luma(planes: &Planes) -> GrayImage {
    let Size { width, height } = planes.size;
    let samples = &planes.samples[planes.luma.bytes.clone()];
    let rows = samples.chunks_exact(planes.luma.stored.width as usize).take(height as usize);
    let shown: Vec<u8> = rows.flat_map(|row| &row[..width as usize]).copied().collect();
    GrayImage::from_raw(width, height, shown).unwrap()
}

/// Luma as the other decoder has it, by way of RGB.
fn luma_in_full(source: &[u8]) -> GrayImage {
    match image::load_from_memory(source).unwrap() {
        DynamicImage::ImageLuma8(grey) => grey,
        colours => {
            let rgb = colours.into_rgb8();
            GrayImage::from_fn(rgb.width(), rgb.height(), |x, y| {
                let [r, g, b] = rgb.get_pixel(x, y).0.map(u32::from);
                [u8::try_from((299 * r + 587 * g + 114 * b + 500) / 1000).unwrap()].into()
            })
        }
    }
}

/// Rows of pixels, brought to another size by averaging what each new pixel covers, in eighths of a pixel.
fn averaged(full: &GrayImage, eighths: u32) -> Vec<Vec<f64>> {
    let side = |full: u32| (full * eighths).div_ceil(8);
    let pixel = |x: u32, y: u32| {
        let (mut sum, mut count) = (0.0, 0.0);
        for y in 8 * y..8 * (y + 1) {
            for x in 8 * x..8 * (x + 1) {
                let at = |at: u32, side: u32| (at / eighths).min(side - 1);
                sum += f64::from(full.get_pixel(at(x, full.width()), at(y, full.height())).0[0]);
                count += 1.0;
            }
        }
        sum / count
    };
    (0..side(full.height())).map(|y| (0..side(full.width())).map(|x| pixel(x, y)).collect()).collect()
}

/// Both, or that there are none.
fn outcome(decoded: Result<Box<dyn Source>, RenderError>) -> Option<(Size, Vec<u8>)> {
    decoded.and_then(Source::into_pixels).ok().map(|pixels: Pixels| (pixels.size(), pixels.bytes().to_vec()))
}

/// By this format, and by the other decoder alone.
fn outcomes(source: &Bytes) -> [Option<(Size, Vec<u8>)>; 2] {
    let full = Size::new(u32::MAX, u32::MAX);
    let this = Jpeg.open(&task(source.clone())).and_then(|header| (header.decode)(full));
    let other = JpegDecoder::new(SourceReader::new(&task(source.clone())));
    let other = other.map_err(into_render_error).and_then(steps::decode);
    [this, other].map(outcome)
}

#[test]
fn in_full_luma_is_what_another_decoder_has() {
    for (width, height) in SIZES {
        for (sampling, source) in ordinary(width, height).iter().enumerate() {
            let (got, wanted) = (luma(&at(8, source).unwrap()), luma_in_full(source));
            // Each rounds on its own; colours are rounded once more.
            let most = if sampling == 4 { 1 } else { 2 };
            let away = got.iter().zip(wanted.iter()).map(|(got, wanted)| got.abs_diff(*wanted)).max();
            assert_eq!(got.dimensions(), wanted.dimensions());
            assert!(away <= Some(most), "{width}x{height}, sampling {sampling}: {away:?}");
        }
    }
}

#[test]
fn in_full_colours_are_what_another_decoder_has() {
    for (width, height) in SIZES {
        let source = images::wavy_jpegs(width, height).remove(0);
        let planes = Box::new(at(8, &source).unwrap());
        let (got, wanted) = (planes.into_pixels().unwrap(), image::load_from_memory(&source).unwrap());
        let away = got.bytes().iter().zip(wanted.as_bytes()).map(|(got, wanted)| got.abs_diff(*wanted)).max();
        assert!(away <= Some(3), "{width}x{height}: {away:?}");
    }
}

#[test]
fn at_every_scale_pixels_are_averages_of_those_in_full() {
    for (width, height) in SIZES {
        for (sampling, source) in ordinary(width, height).iter().enumerate() {
            let full = luma_in_full(source);
            for eighths in SCALES {
                let (got, wanted) = (luma(&at(eighths, source).unwrap()), averaged(&full, eighths));
                // Those at the edges are of pixels that are not shown too.
                let (right, bottom) = (width * eighths / 8, height * eighths / 8);
                let mut worst: f64 = 0.0;
                for (x, y, pixel) in got.enumerate_pixels().filter(|(x, y, _)| *x < right && *y < bottom) {
                    worst = worst.max((f64::from(pixel.0[0]) - wanted[y as usize][x as usize]).abs());
                }
                assert!(worst < 5.0, "{width}x{height}, sampling {sampling}, {eighths}/8: {worst}");
                assert_eq!(got.dimensions(), ((width * eighths).div_ceil(8), (height * eighths).div_ceil(8)));
            }
        }
    }
}

#[test]
fn restarts_change_nothing() {
    for (width, height) in [(16, 16), (100, 40), (129, 95)] {
        let whole = images::restarting_jpeg(width, height, 0);
        for eighths in SCALES {
            let wanted = at(eighths, &whole).unwrap().samples;
            for interval in [1, 2, 3, 7, 9, 50] {
                let source = images::restarting_jpeg(width, height, interval);
                assert_eq!(
                    at(eighths, &source).unwrap().samples,
                    wanted,
                    "{width}x{height}, every {interval}"
                );
            }
        }
    }
}

#[test]
fn unusual_files_are_left_to_the_other_decoder() {
    for (what, source) in images::unusual_jpegs(70, 50) {
        for eighths in SCALES {
            assert!(at(eighths, &source).is_err(), "{what}");
        }
        let [this, other] = outcomes(&source);
        assert!(this == other, "{what}");
    }
}

#[test]
fn cut_files_are_left_to_the_other_decoder() {
    for source in ordinary(170, 130) {
        for quarters in 0..4 {
            let [this, other] = outcomes(&source.slice(..source.len() * quarters / 4));
            assert!(this == other, "{quarters} quarters");
        }
    }
}

#[test]
fn another_size_than_the_header_has_is_refused() {
    let source = images::wavy_jpegs(80, 60).remove(3);
    let decode = |width, height, grey| {
        scaled::decode(&source, Size::new(width, height), grey, Size::new(8, 6), &|| false)
    };
    assert!(decode(80, 60, false).is_ok());
    for (width, height, grey) in [(80, 61, false), (79, 60, false), (80, 60, true)] {
        assert_eq!(decode(width, height, grey).unwrap_err(), Refused("decoders disagree"));
    }
}

#[test]
fn nothing_is_decoded_once_nobody_waits() {
    let source = images::wavy_jpegs(80, 60).remove(3);
    let headers = Headers::read(&source).unwrap();
    assert_eq!(at_scale(&headers, 8, &|| true).unwrap_err(), Refused("nobody waits"));
}

#[test]
fn nobody_is_asked_instead_once_nobody_waits() {
    let task = RenderTask { cancelled: Cancelled::default(), ..task(images::wavy_jpegs(80, 60).remove(3)) };
    let header = open_with(&task, |_, _, _| panic!("asked")).unwrap();
    task.cancelled.set();
    assert!(matches!((header.decode)(Size::new(8, 6)), Err(RenderError::Deadline)));
}

#[test]
fn what_is_decoded_was_booked() {
    for (width, height) in SIZES {
        for (sampling, source) in ordinary(width, height).iter().enumerate() {
            let booked = scaled::bytes(Size::new(width, height), sampling == 4);
            for eighths in SCALES {
                let taken = at(eighths, source).unwrap().samples.len();
                assert!(taken as u64 <= booked, "{width}x{height}, sampling {sampling}, {eighths}/8");
            }
        }
    }
}

/// All scales read the same bits, each in its way.
#[track_caller]
fn assert_scales_agree(source: &[u8]) {
    let decoded = [1, 3, 8].map(|eighths| at(eighths, source).is_ok());
    assert!(decoded == [decoded[0]; 3], "{decoded:?}");
}

#[test]
fn turned_bits_are_harmless() {
    let mut state = 1_u32;
    let mut next = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let sources = [ordinary(33, 25), vec![images::restarting_jpeg(40, 40, 2)]].concat();
    for source in sources {
        for _ in 0..400 {
            let mut bytes = source.to_vec();
            for _ in 0..=next(3) {
                bytes[next(source.len())] ^= 1 << next(8);
            }
            // Another size takes longer, and has other tests.
            if Headers::read(&bytes).is_ok_and(|headers| headers.size.area() < 10_000) {
                assert_scales_agree(&bytes);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_data_has_an_end(data in prop::collection::vec(any::<u8>(), 0..400), sampling in 0_usize..5) {
        let source = ordinary(33, 25).remove(sampling);
        let scan = source.windows(2).position(|window| window == [0xFF, 0xDA]).unwrap();
        let start = scan + 2 + usize::from(source[scan + 3]);
        let bytes = [&source[..start], &data[..], &[0xFF, 0xD9]].concat();
        assert_scales_agree(&bytes);
    }

    #[test]
    fn no_more_is_decoded_than_asked_for(
        full in (1_u32..=65_535, 1_u32..=65_535), needed in (1_u32..=65_535, 1_u32..=65_535),
    ) {
        let full = Size::new(full.0, full.1);
        let needed = Size::new(needed.0.min(full.width), needed.1.min(full.height));
        let eighths = scaled::eighths(full, needed);
        let wanted = Size::new(2 * needed.width, 2 * needed.height);
        let size = scaled::scaled(full, eighths);
        prop_assert!(size.contains(wanted) || size == full);
        for fewer in SCALES.into_iter().filter(|&fewer| fewer < eighths) {
            prop_assert!(!scaled::scaled(full, fewer).contains(wanted));
        }
    }
}
