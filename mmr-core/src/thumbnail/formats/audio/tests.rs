use std::sync::Arc;

use bytes::Bytes;
use image::RgbaImage;

use super::super::canvas::tests::{assert_refused, decoded, enabled};
use super::*;
use crate::testing::images;
use crate::thumbnail::{RenderLimits, RenderPool, ThumbnailPolicy};
use crate::types::Size;

const BACKGROUND: [u8; 4] = [0x29, 0x39, 0x5C, 255];
const BAR: [u8; 4] = [0xF0, 0xF0, 0xF0, 255];

fn task(source: &Bytes) -> RenderTask {
    let kind = Kind::of(source).map_or("audio/any", Kind::content_type);
    enabled(source.clone(), kind)
}

fn shown(source: &Bytes) -> Result<RgbaImage, RenderError> {
    decoded(Audio.open(&task(source))?, 768, 240)
}

/// How many pixels of this column between these rows are of a bar.
fn bar(picture: &RgbaImage, x: u32) -> u32 {
    let rows = (0..picture.height()).filter(|&y| picture.get_pixel(x, y).0 == BAR);
    u32::try_from(rows.count()).unwrap()
}

/// The column through the middle of a bar at this part of the width.
fn column(part: f64) -> u32 {
    let bar = canvas::to_u32(part * 192.0);
    bar * 4 + 1
}

fn all() -> [Bytes; 6] {
    [images::mp3(), images::vorbis(), images::aac(), images::alac(), images::flac(None), images::wav(8000)]
}

// --- what is shown ---

#[test]
fn every_format_is_quiet_first_and_loud_later() {
    for (number, source) in all().iter().enumerate() {
        let picture = shown(source).unwrap();
        let (quiet, loud) = (bar(&picture, column(0.25)), bar(&picture, column(0.75)));
        assert!((10..=40).contains(&quiet), "format {number}: {quiet}");
        assert!(loud > 180, "format {number}: {loud}");
    }
}

#[test]
fn a_movie_of_nothing_but_sound_looks_as_the_same_sound_does() {
    let source = images::aac_of_telephone();
    assert_eq!(Kind::of(&source), Some(Kind::Mp4));
    assert_eq!(shown(&source).unwrap(), shown(&images::aac()).unwrap());
}

#[test]
fn bars_have_the_height_of_their_loudness() {
    let picture = shown(&images::wav(8000)).unwrap();
    // 90 % of the height is the loudest, a tenth of that the other half; rows at the ends are covered in part.
    assert!(bar(&picture, column(0.25)).abs_diff(21) <= 1);
    assert!(bar(&picture, column(0.75)).abs_diff(216) <= 1);
    // Between two bars.
    assert_eq!(picture.get_pixel(column(0.75) + 2, 120).0, BACKGROUND);
    assert_eq!(picture.get_pixel(0, 0).0, BACKGROUND);
}

#[test]
fn a_picture_of_sound_is_always_the_same() {
    for source in all() {
        assert_eq!(shown(&source).unwrap(), shown(&source).unwrap());
    }
}

#[test]
fn sound_is_shown_at_the_size_that_is_asked_for() {
    let header = Audio.open(&task(&images::mp3())).unwrap();
    assert_eq!(header.size, Size::new(2048, 640));
    assert_eq!(decoded(header, 96, 30).unwrap().dimensions(), (96, 30));
}

#[test]
fn a_cover_stands_above_the_bars() {
    let cover = images::jpeg(64, 64);
    for source in [images::flac(Some(&cover)), images::mp3_with_cover(&cover)] {
        let picture = shown(&source).unwrap();
        // Two thirds of the height, as wide as high, in the middle.
        let (left, right, bottom) = (384 - 79, 384 + 79, 158);
        for ((x, y), color) in
            [(left + 4, 4), (right - 4, 4), (left + 4, bottom - 4), (right - 4, bottom - 4)]
                .into_iter()
                .zip(images::CORNERS)
        {
            let pixel = picture.get_pixel(x, y).0;
            assert!(color.iter().zip(pixel).all(|(color, pixel)| color.abs_diff(pixel) < 24), "{pixel:?}");
        }
        assert_eq!(picture.get_pixel(left - 4, 80).0, BACKGROUND);
        let loud = bar(&picture, column(0.97));
        assert!((60..=74).contains(&loud), "{loud}");
        assert_eq!(picture.get_pixel(column(0.97), 150).0, BACKGROUND);
    }
}

#[test]
fn a_png_can_be_a_cover() {
    let picture = shown(&images::flac(Some(&images::png(64, 64)))).unwrap();
    assert_ne!(picture.get_pixel(384 - 40, 40).0, BACKGROUND);
}

#[test]
fn a_cover_that_is_no_picture_is_left_out() {
    let plain = shown(&images::flac(None)).unwrap();
    let damaged = images::jpeg(64, 64).slice(..20);
    for cover in [Bytes::from_static(b"no picture"), images::gif(8, 8), damaged] {
        assert_eq!(shown(&images::flac(Some(&cover))).unwrap(), plain);
    }
}

#[test]
fn a_bomb_of_a_cover_is_left_out() {
    let source = images::flac(Some(&images::png_bomb()));
    let mut task = task(&source);
    task.policy = Arc::new(ThumbnailPolicy { max_pixels: u64::MAX, ..(*task.policy).clone() });
    let header = Audio.open(&task).unwrap();
    assert!(header.decode_bytes < 64 * 1024 * 1024, "{}", header.decode_bytes);
}

#[test]
fn a_cover_larger_than_allowed_is_left_out() {
    let source = images::flac(Some(&images::png(64, 64)));
    let mut task = task(&source);
    task.policy = Arc::new(ThumbnailPolicy { max_pixels: 64 * 64 - 1, ..(*task.policy).clone() });
    let picture = decoded(Audio.open(&task).unwrap(), 768, 240).unwrap();
    assert_eq!(picture.get_pixel(picture.width() / 2, 0).0, BACKGROUND);
}

#[test]
fn a_cover_is_booked() {
    let bytes = |source: Bytes| Audio.open(&task(&source)).unwrap().decode_bytes;
    let cover = images::png(500, 500);
    assert!(bytes(images::flac(Some(&cover))) >= bytes(images::flac(None)) + 500 * 500 * 3);
}

#[test]
fn silence_is_a_thin_line() {
    let mut wav = images::wav(8000).to_vec();
    wav[44..].fill(0);
    let picture = shown(&wav.into()).unwrap();
    assert_eq!(bar(&picture, column(0.5)), 0);
    assert_ne!(picture.get_pixel(column(0.5), 120).0, BACKGROUND);
}

// --- lengths ---

#[test]
fn every_format_says_how_long_it_plays() {
    for (number, (source, millis)) in all().iter().zip([1000, 500, 1000, 150, 500, 1000]).enumerate() {
        let said = duration(source).map(|duration| duration.as_millis());
        assert!(said.is_some_and(|said| said.abs_diff(millis) < 120), "format {number}: {said:?}");
    }
}

#[test]
fn opus_has_a_length_but_no_look() {
    assert_eq!(duration(&images::opus()).map(|duration| duration.as_secs()), Some(1));
    assert!(matches!(Audio.open(&task(&images::opus())), Err(RenderError::Unsupported(_))));
}

#[test]
fn what_is_no_sound_has_no_length() {
    assert_eq!(duration(b""), None);
    assert_eq!(duration(&images::jpeg(8, 8)), None);
    assert_eq!(duration(b"OggS"), None);
}

#[test]
fn long_files_are_heard_in_places() {
    // Ten minutes.
    let picture = shown(&images::wav(8000 * 600)).unwrap();
    assert!(bar(&picture, column(0.25)).abs_diff(21) <= 1);
    assert!(bar(&picture, column(0.75)).abs_diff(216) <= 1);
}

#[test]
fn a_file_that_claims_to_be_long_is_shown_as_it_is() {
    let mut wav = images::wav(8000).to_vec();
    let endless = u32::MAX.to_le_bytes();
    wav[4..8].copy_from_slice(&endless);
    wav[40..44].copy_from_slice(&endless);
    assert_eq!(shown(&wav.into()).unwrap(), shown(&images::wav(8000)).unwrap());
}

// --- damage ---

#[test]
fn a_file_that_broke_off_is_shown_as_far_as_it_goes_or_damaged() {
    for (number, whole) in all().iter().enumerate() {
        for quarter in 0..4 {
            let source = whole.slice(..whole.len() * quarter / 4);
            match Kind::of(&source).map(|_| shown(&source)) {
                None | Some(Ok(_) | Err(RenderError::Decode(_) | RenderError::Unsupported(_))) => {}
                Some(Err(error)) => panic!("format {number}, quarter {quarter}: {error:?}"),
            }
        }
    }
}

#[test]
fn half_of_an_mp3_is_shown() {
    let whole = images::mp3();
    assert!(shown(&whole.slice(..whole.len() / 2)).is_ok());
}

#[test]
fn headers_alone_are_damaged() {
    for source in [&b"fLaC"[..], b"RIFF\0\0\0\0WAVE", b"\0\0\0\x20ftypM4A ", b"ID3\x03\0\0\0\0\0\0"] {
        assert_refused(shown(&Bytes::from_static(source)));
    }
}

#[test]
fn lies_about_channels_and_rates_do_no_harm() {
    for (channels, rate) in
        [(0, 8000), (u16::MAX, 8000), (255, 8000), (1, 0), (1, 1), (1, u32::MAX), (2, 96_000)]
    {
        let source = images::wav_with(8000, channels, rate);
        let result = Kind::of(&source).map(|_| shown(&source));
        assert!(
            matches!(result, None | Some(Ok(_) | Err(RenderError::Decode(_) | RenderError::Unsupported(_)))),
            "{channels} channels at {rate}: {result:?}"
        );
    }
}

#[tokio::test]
async fn damaged_files_are_shown_or_refused() {
    let mut seed = 7_u32;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below
    };
    let pool = RenderPool::new(RenderLimits::default());
    for whole in all() {
        for _ in 0..8 {
            let mut source = whole.to_vec();
            for _ in 0..4 {
                // Headers are where damage matters most.
                let reach = if next(2) == 0 { 200 } else { source.len() };
                let at = next(reach);
                source[at] = u8::try_from(next(256)).unwrap();
            }
            let source = Bytes::from(source);
            let _ = duration(&source);
            let RenderTask { specs, policy, .. } = task(&source);
            match pool.render(source, specs[0], policy).await {
                Ok(_) | Err(RenderError::Decode(_) | RenderError::Unsupported(_)) => {}
                // symphonia means its numbers to wrap around, which they only do where that is not checked.
                Err(RenderError::Crashed) if cfg!(debug_assertions) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

#[test]
fn a_type_that_is_not_enabled_is_not_even_read() {
    let mut task = task(&images::mp3());
    task.policy = Arc::new(ThumbnailPolicy { types: Vec::new(), ..ThumbnailPolicy::default() });
    assert!(matches!(Audio.open(&task), Err(RenderError::Unsupported(_))));
}

#[test]
fn listening_ends_once_nobody_waits() {
    for source in all() {
        let task = task(&source);
        let header = Audio.open(&task).unwrap();
        task.cancelled.set();
        assert!(decoded(header, 64, 20).is_err());
    }
}
