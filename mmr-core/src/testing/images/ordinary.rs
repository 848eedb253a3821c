//! JPEGs as cameras and browsers write them, and those that are otherwise.

use bytes::Bytes;
use jpeg_encoder::{ColorType, SamplingFactor};

use super::{cmyk_jpeg, encode_jpeg, paint, progressive_jpeg, ycck_jpeg};

/// Soft waves of weak colours.
fn waves(width: u32, height: u32) -> Vec<u8> {
    paint(width, height, |x, y| {
        let wave = |at: u32, long: f64| (f64::from(at) / long).sin();
        let (across, down) = (wave(x, 23.0), wave(y, 17.0));
        [across + down, across - wave(y, 41.0), wave(x + y, 61.0)].map(|value| level(128.0 + 40.0 * value))
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "floats become the nearest that there is"
)]
fn level(value: f64) -> u8 {
    value.round() as u8
}

/// A JPEG of soft waves for each sampling with one scan: 4:4:4, 4:2:2, 4:4:0 and 4:2:0.
#[must_use]
pub fn wavy_jpegs(width: u32, height: u32) -> Vec<Bytes> {
    use SamplingFactor::{F_1_1, F_1_2, F_2_1, F_2_2};
    let pixels = waves(width, height);
    let sampled =
        |factor| encode_jpeg(&pixels, width, height, ColorType::Rgb, |jpeg| jpeg.set_sampling_factor(factor));
    [F_1_1, F_2_1, F_1_2, F_2_2].map(sampled).to_vec()
}

/// A greyscale JPEG of soft waves.
#[must_use]
pub fn wavy_grey_jpeg(width: u32, height: u32) -> Bytes {
    let greys: Vec<u8> = waves(width, height).chunks_exact(3).map(|pixel| pixel[0]).collect();
    encode_jpeg(&greys, width, height, ColorType::Luma, |_| {})
}

/// A JPEG of soft waves, 4:2:0, that restarts after so many units of 16 by 16 pixels; never after none.
#[must_use]
pub fn restarting_jpeg(width: u32, height: u32, interval: u16) -> Bytes {
    encode_jpeg(&waves(width, height), width, height, ColorType::Rgb, |jpeg| {
        jpeg.set_restart_interval(interval);
    })
}

/// JPEGs that only few programs write, with what is unusual about them.
#[must_use]
pub fn unusual_jpegs(width: u32, height: u32) -> Vec<(&'static str, Bytes)> {
    let pixels = waves(width, height);
    let separate =
        encode_jpeg(&pixels, width, height, ColorType::Rgb, |jpeg| jpeg.set_optimized_huffman_tables(true));
    let ordinary = restarting_jpeg(width, height, 2);
    let (end, whole) = (ordinary.len() - 2, ordinary.clone());
    let changed = |find: &[u8], change: &dyn Fn(&mut [u8])| with_change(&ordinary, find, change);
    vec![
        ("progressive", progressive_jpeg(width, height)),
        ("CMYK", cmyk_jpeg(width, height)),
        ("YCCK", ycck_jpeg(width, height)),
        ("a scan for each component", separate),
        ("RGB by the names of its components", rgb_jpeg(width, height)),
        ("arithmetic", changed(&[0xFF, 0xC0], &|marker| marker[1] = 0xC9)),
        ("lossless", changed(&[0xFF, 0xC0], &|marker| marker[1] = 0xC3)),
        ("12 bits", changed(&[0xFF, 0xC0, 0, 17], &|frame| frame[4] = 12)),
        ("its height at its end", changed(&[0xFF, 0xC0, 0, 17], &|frame| frame[5..7].fill(0))),
        ("a restart left out", changed(&[0xFF, 0xD0], &|marker| marker[1] = 0xD1)),
        ("no end", whole.slice(..end)),
        ("more before its end", [&whole[..end], &[0, 0, 0], &whole[end..]].concat().into()),
        (
            "another scan",
            [&whole[..end], &[0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0x2B, 0xFF, 0xD9]].concat().into(),
        ),
    ]
}

/// Without what says that it has luma and chroma.
fn rgb_jpeg(width: u32, height: u32) -> Bytes {
    let whole = restarting_jpeg(width, height, 0);
    let whole = with_change(&whole, &[0xFF, 0xE0], &|marker| marker[1] = 0xE5);
    let whole = with_change(&whole, &[0xFF, 0xC0, 0, 17], &|frame| {
        for (at, name) in [10, 13, 16].into_iter().zip(*b"RGB") {
            frame[at] = name;
        }
    });
    with_change(&whole, &[0xFF, 0xDA], &|scan| {
        for (at, name) in [5, 7, 9].into_iter().zip(*b"RGB") {
            scan[at] = name;
        }
    })
}

/// Changes the bytes from where these are first found.
fn with_change(whole: &Bytes, find: &[u8], change: &dyn Fn(&mut [u8])) -> Bytes {
    let at = whole.windows(find.len()).position(|window| window == find).expect("fixtures have it");
    let mut bytes = whole.to_vec();
    change(&mut bytes[at..]);
    bytes.into()
}
