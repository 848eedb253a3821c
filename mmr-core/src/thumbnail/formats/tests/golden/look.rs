//! What thumbnails should look like, and how far they are from that.

use image::imageops::{self, FilterType};
use image::{Rgba, Rgba32FImage, RgbaImage};

use crate::testing::images::CORNERS;
use crate::testing::images::golden::Shows;
use crate::types::{Method, ThumbnailSpec};

/// Pixels this far from an edge are not near it. What is around them has almost the same colour.
const EDGE: u32 = 3;

/// Distances between two pictures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Difference {
    pub(super) mean: f64,
    /// Of all but a hundredth of the pixels that are not near an edge.
    pub(super) most: f64,
}

pub(super) fn opened(bytes: &[u8]) -> RgbaImage {
    image::load_from_memory(bytes).expect("thumbnails are pictures").into_rgba8()
}

/// The thumbnail of a picture of four colours as `image` resizes it, multiplied by alpha. `shown` is the size that it has.
pub(super) fn expected(
    quarters: [[u8; 4]; 4],
    (width, height): (u32, u32),
    spec: ThumbnailSpec,
    shown: (u32, u32),
) -> Rgba32FImage {
    let whole = Rgba32FImage::from_fn(width, height, |x, y| {
        weighted(quarters[usize::from(x >= width / 2) + 2 * usize::from(y >= height / 2)])
    });
    let (part, most) = match spec.method {
        Method::Scale => {
            let wide = width * spec.height >= spec.width * height;
            let (across, down) = (spec.width.min(width), spec.height.min(height));
            (whole, if wide { (across, across * height / width) } else { (down * width / height, down) })
        }
        Method::Crop => {
            let (wide, high) =
                (width.min(height * spec.width / spec.height), height.min(width * spec.height / spec.width));
            let middle = imageops::crop_imm(&whole, (width - wide) / 2, (height - high) / 2, wide, high);
            (middle.to_image(), (spec.width.min(wide), spec.height.min(high)))
        }
    };
    let near = |got: u32, wanted: u32| got.abs_diff(wanted) <= 1;
    assert!(near(shown.0, most.0) && near(shown.1, most.1), "{shown:?} instead of {most:?}");
    imageops::resize(&part, shown.0, shown.1, FilterType::Lanczos3)
}

fn weighted(pixel: [u8; 4]) -> Rgba<f32> {
    let [r, g, b, a] = pixel.map(|value| f32::from(value) / 255.0);
    Rgba([r * a, g * a, b * a, a])
}

/// How far a picture is from one that is multiplied by alpha: on black or on white, whichever shows more.
pub(super) fn difference(got: &RgbaImage, wanted: &Rgba32FImage) -> Difference {
    let flat = |x: u32, y: u32| {
        let around = |at: u32, side: u32| at.saturating_sub(EDGE)..(at + EDGE + 1).min(side);
        let mut pixels = around(y, wanted.height())
            .flat_map(|y| around(x, wanted.width()).map(move |x| wanted.get_pixel(x, y)));
        let same = |other: &Rgba<f32>| {
            other.0.iter().zip(wanted.get_pixel(x, y).0).all(|(a, b)| (a - b).abs() < 0.02)
        };
        pixels.all(same)
    };
    let (mut all, mut away_from_edges) = (Vec::new(), Vec::new());
    for (x, y, pixel) in got.enumerate_pixels() {
        let on = |ground| distance(over(weighted(pixel.0), ground), over(*wanted.get_pixel(x, y), ground));
        let away = on(0.0).max(on(1.0));
        all.push(away);
        if flat(x, y) {
            away_from_edges.push(away);
        }
    }
    away_from_edges.sort_by(f64::total_cmp);
    let count = f64::from(u32::try_from(all.len()).expect("thumbnails are small"));
    let most = away_from_edges.len() * 99 / 100;
    Difference {
        mean: all.iter().sum::<f64>() / count,
        most: *away_from_edges.get(most).expect("most is flat"),
    }
}

fn over(Rgba([r, g, b, a]): Rgba<f32>, ground: f32) -> [f64; 3] {
    [r, g, b].map(|value| f64::from(value + ground * (1.0 - a)).clamp(0.0, 1.0))
}

/// CIE 1976, of colours in sRGB.
fn distance(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (lab(one), lab(other));
    one.iter().zip(other).map(|(one, other)| (one - other).powi(2)).sum::<f64>().sqrt()
}

fn lab(srgb: [f64; 3]) -> [f64; 3] {
    /// From linear sRGB to XYZ, as parts of white.
    const TO_XYZ: [[f64; 3]; 3] =
        [[0.4339, 0.3762, 0.1899], [0.2126, 0.7152, 0.0722], [0.0178, 0.1095, 0.8727]];
    let linear =
        srgb.map(|value| if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) });
    let [x, y, z] = TO_XYZ.map(|shares| {
        let value: f64 = shares.iter().zip(linear).map(|(share, value)| share * value).sum();
        if value > 0.008_856 { value.cbrt() } else { 7.787 * value + 16.0 / 116.0 }
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// The colours of `thumbnail/formats/audio/look.rs`, the latter mixed as far as bars cover their room.
const GROUND: [u8; 3] = [0x29, 0x39, 0x5C];
const BARS: [u8; 3] = [0xAA, 0xB0, 0xBC];

/// What is wrong with the picture of a sound: places, as parts of its width and height, that have the wrong colour.
pub(super) fn complaint_about_sound(got: &RgbaImage, shows: Shows) -> Option<String> {
    /// Bars lie differently on pixels.
    const NEAR: f64 = 15.0;
    let places: &[([f64; 4], [u8; 3])] = match shows {
        Shows::QuietThenLoud => {
            &[([0.0, 0.0, 0.4, 0.25], GROUND), ([0.0, 0.75, 0.4, 1.0], GROUND), ([0.6, 0.3, 0.9, 0.7], BARS)]
        }
        Shows::Cover => &[
            ([0.36, 0.05, 0.46, 0.25], CORNERS[0]),
            ([0.54, 0.05, 0.64, 0.25], CORNERS[1]),
            ([0.36, 0.4, 0.46, 0.6], CORNERS[2]),
            ([0.54, 0.4, 0.64, 0.6], CORNERS[3]),
            ([0.0, 0.0, 0.2, 0.6], GROUND),
        ],
        Shows::Quarters(_) => &[],
    };
    let off = places.iter().filter_map(|(place, color)| {
        let found = mean(got, *place);
        let away = distance(found, color.map(|value| f64::from(value) / 255.0));
        (away > NEAR)
            .then(|| format!("{away:.0} at {place:?}: {:?}", found.map(|value| (value * 255.0).round())))
    });
    let off: Vec<String> = off.collect();
    (!off.is_empty()).then(|| off.join(", "))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sides are small")]
fn mean(picture: &RgbaImage, [left, top, right, bottom]: [f64; 4]) -> [f64; 3] {
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    let (columns, rows) =
        ((left * width) as u32..(right * width) as u32, (top * height) as u32..(bottom * height) as u32);
    let mut sums = [0.0; 3];
    let mut count = 0.0;
    for (_, _, pixel) in
        picture.enumerate_pixels().filter(|(x, y, _)| columns.contains(x) && rows.contains(y))
    {
        for (sum, value) in sums.iter_mut().zip(pixel.0) {
            *sum += f64::from(value) / 255.0;
        }
        count += 1.0;
    }
    sums.map(|sum| sum / count)
}
