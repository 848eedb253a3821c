//! From coefficients to samples, at the scales that pictures are decoded at.
//!
//! A block of 8 by 8 samples becomes one of N by N by the inverse cosine transform of its N by N lowest coefficients, as
//! in libjpeg since its version 7.

#![expect(
    clippy::inline_always,
    clippy::needless_range_loop,
    reason = "what is done for each sample is not to depend on what else is inlined"
)]

use std::f64::consts::{PI, SQRT_2};
use std::ops::{Add, Mul, Sub};

/// A scale.
pub(super) trait Scale {
    /// Samples of a block in each direction, for each eight of the picture.
    const SIDE: u32;
    /// What is stored of each row: with samples to be overwritten by the block to the right.
    const STORED: u32;
    /// What coefficients add up to, before the transform of the columns.
    type Sums: Copy;
    /// What a coefficient adds to its row.
    type Wave: Copy;
    type Rows: AsRef<[Self::Row]>;
    type Row: AsRef<[u8]>;

    /// A coefficient of 1.
    fn wave(column: u32, row: u32, factor: f64) -> Self::Wave;

    /// A block that has nothing but its average.
    fn flat(average: f32) -> Self::Sums;

    /// Adds a coefficient of that row.
    fn add(sums: &mut Self::Sums, row: usize, wave: &Self::Wave, coefficient: f32);

    /// The samples, where half of what they can be was added to the average.
    fn samples(sums: &Self::Sums) -> Self::Rows;
}

macro_rules! scales {
    ($($name:ident: $side:literal stored as $stored:literal by $lanes:literal, $pass:ident, $factor:ident;)*) => {$(
        pub(super) struct $name;

        impl Scale for $name {
            const SIDE: u32 = $side;
            const STORED: u32 = $stored;
            type Sums = [[f32; $stored]; $side];
            type Wave = [f32; $stored];
            type Rows = [[u8; $stored]; $side];
            type Row = [u8; $stored];

            fn wave(column: u32, row: u32, factor: f64) -> Self::Wave {
                wave($side, column, factor * $factor(row))
            }

            #[inline(always)]
            fn flat(average: f32) -> Self::Sums {
                let mut sums = [[0.0; $stored]; $side];
                sums[0] = [average; $stored];
                sums
            }

            #[inline(always)]
            fn add(sums: &mut Self::Sums, row: usize, wave: &Self::Wave, coefficient: f32) {
                if let Some(sums) = sums.get_mut(row) {
                    for at in 0..$stored {
                        sums[at] += coefficient * wave[at];
                    }
                }
            }

            #[inline(always)]
            fn samples(sums: &Self::Sums) -> Self::Rows {
                let mut samples = [[0; $stored]; $side];
                for part in 0..$stored / $lanes {
                    let start = part * $lanes;
                    let mut rows = [Lanes([0.0; $lanes]); $side];
                    for row in 0..$side {
                        for lane in 0..$lanes {
                            rows[row].0[lane] = sums[row][start + lane];
                        }
                    }
                    let rows = $pass::<Lanes<$lanes>>(rows);
                    for row in 0..$side {
                        let values = rows[row].samples();
                        for lane in 0..$lanes {
                            samples[row][start + lane] = values[lane];
                        }
                    }
                }
                samples
            }
        }
    )*};
}

scales! {
    One: 1 stored as 1 by 1, one, factor_of_one;
    Two: 2 stored as 2 by 2, two, factor_of_two;
    Three: 3 stored as 4 by 4, three, factor_of_three;
    Four: 4 stored as 4 by 4, four, factor_of_four;
    Six: 6 stored as 8 by 4, six, factor_of_six;
    Eight: 8 stored as 8 by 4, eight, factor_of_eight;
}

/// Samples of a wave.
#[expect(clippy::cast_possible_truncation, reason = "as precise as they are used")]
fn wave<const STORED: usize>(side: u32, frequency: u32, factor: f64) -> [f32; STORED] {
    let mut wave = [0.0; STORED];
    for (at, value) in (0..side).zip(&mut wave) {
        *value = (factor * weight(frequency, f64::from(2 * at + 1) / f64::from(4 * side))) as f32;
    }
    wave
}

/// Frequencies, but for the average, times the cosine of as many turns, by the square root of 2.
fn weight(frequency: u32, turns: f64) -> f64 {
    if frequency == 0 { 1.0 } else { SQRT_2 * (2.0 * PI * turns * f64::from(frequency)).cos() }
}

/// What is done to a column, done to several.
trait Vector: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<f32, Output = Self> {}

#[derive(Clone, Copy)]
struct Lanes<const L: usize>([f32; L]);

impl<const L: usize> Vector for Lanes<L> {}

impl<const L: usize> Add for Lanes<L> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let mut all = self;
        for lane in 0..L {
            all.0[lane] += other.0[lane];
        }
        all
    }
}

impl<const L: usize> Sub for Lanes<L> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        let mut all = self;
        for lane in 0..L {
            all.0[lane] -= other.0[lane];
        }
        all
    }
}

impl<const L: usize> Mul<f32> for Lanes<L> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, by: f32) -> Self {
        let mut all = self;
        for lane in 0..L {
            all.0[lane] *= by;
        }
        all
    }
}

impl<const L: usize> Lanes<L> {
    /// The nearest samples.
    #[inline(always)]
    #[expect(clippy::cast_sign_loss, reason = "clamped to what fits")]
    fn samples(self) -> [u8; L] {
        /// From here to twice as much, floats are whole numbers, and their lowest bits are those of the number.
        const WHOLE: f32 = 8_388_608.0;
        const MIDDLE: f32 = 1.5 * WHOLE;
        let mut samples = [0; L];
        for lane in 0..L {
            let whole = (self.0[lane] + MIDDLE).to_bits().wrapping_sub(MIDDLE.to_bits()).cast_signed();
            samples[lane] = whole.clamp(0, 255) as u8;
        }
        samples
    }
}

fn factor_of_one(_: u32) -> f64 {
    1.0
}

#[inline(always)]
fn one<V: Vector>(all: [V; 1]) -> [V; 1] {
    all
}

fn factor_of_two(_: u32) -> f64 {
    1.0
}

#[inline(always)]
fn two<V: Vector>([a, b]: [V; 2]) -> [V; 2] {
    [a + b, a - b]
}

fn factor_of_three(frequency: u32) -> f64 {
    // 30 and 60 degrees.
    weight(frequency, 1.0 / 12.0)
}

#[inline(always)]
fn three<V: Vector>([a, b, c]: [V; 3]) -> [V; 3] {
    let outer = a + c;
    [outer + b, a - (c + c), outer - b]
}

fn factor_of_four(frequency: u32) -> f64 {
    // 22.5, 45 and 22.5 degrees.
    weight(frequency.min(1), 1.0 / if frequency == 2 { 8.0 } else { 16.0 })
}

#[inline(always)]
fn four<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 4] {
    /// Tangent of 22.5 degrees.
    const TAN: f32 = 0.414_213_57;
    let (outer, inner) = (a + c, a - c);
    let (steep, flat) = (b + d * TAN, b * TAN - d);
    [outer + steep, inner + flat, inner - flat, outer - steep]
}

fn factor_of_six(frequency: u32) -> f64 {
    match frequency {
        0 => 1.0,
        2 | 4 => factor_of_three(frequency / 2),
        // 45 degrees.
        _ => weight(1, 1.0 / 8.0),
    }
}

#[inline(always)]
#[expect(clippy::many_single_char_names, reason = "one for each frequency")]
fn six<V: Vector>([a, b, c, d, e, f]: [V; 6]) -> [V; 6] {
    /// The cosine of 75 degrees in parts of that of 45.
    const COS: f32 = 0.366_025_4;
    let [outer, middle, inner] = three([a, c, e]);
    let both = (b + f) * COS;
    let (steep, even, flat) = (both + b + d, b - d - f, both + f - d);
    [outer + steep, middle + even, inner + flat, inner - flat, middle - even, outer - steep]
}

/// What Arai, Agui and Nakajima leave to the factors.
fn factor_of_eight(frequency: u32) -> f64 {
    match frequency {
        0 => 1.0,
        _ => weight(frequency, 1.0 / 32.0),
    }
}

#[inline(always)]
#[expect(clippy::many_single_char_names, reason = "one for each frequency")]
fn eight<V: Vector>([a, b, c, d, e, f, g, h]: [V; 8]) -> [V; 8] {
    const ROOT: f32 = std::f32::consts::SQRT_2;
    const TWICE_COS: f32 = 1.847_759_1;
    const INNER: f32 = 1.082_392_2;
    const OUTER: f32 = 2.613_126;
    let (sum, difference) = (a + e, a - e);
    let low = c + g;
    let high = (c - g) * ROOT - low;
    let [even0, even1, even2, even3] = [sum + low, difference + high, difference - high, sum - low];
    let (z13, z10, z11, z12) = (f + d, f - d, b + h, b - h);
    let odd0 = z11 + z13;
    let turned = (z10 + z12) * TWICE_COS;
    let odd1 = turned - z10 * OUTER - odd0;
    let odd2 = (z11 - z13) * ROOT - odd1;
    let odd3 = turned - z12 * INNER - odd2;
    [
        even0 + odd0,
        even1 + odd1,
        even2 + odd2,
        even3 + odd3,
        even3 - odd3,
        even2 - odd2,
        even1 - odd1,
        even0 - odd0,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    type Coefficients = [[f64; 8]; 8];

    /// Samples of a block by the definition of the transform.
    fn defined(side: u32, coefficients: &Coefficients, x: u32, y: u32) -> f64 {
        let wave = |at: u32, frequency: u32| weight(frequency, f64::from(2 * at + 1) / f64::from(4 * side));
        let frequencies = || (0..side).zip(0_usize..);
        let rows = frequencies().map(|(v, row)| {
            let columns = frequencies().map(|(u, column)| coefficients[row][column] * wave(x, u));
            columns.sum::<f64>() * wave(y, v)
        });
        rows.sum::<f64>() / 8.0 + 128.0
    }

    #[track_caller]
    fn assert_transforms<S: Scale>() {
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 16) / 65536.0 - 0.5
        };
        for round in 0..200 {
            let mut coefficients = [[0.0; 8]; 8];
            let mut sums = S::flat(128.0);
            for (v, row) in (0..S::SIDE).zip(0_usize..) {
                for (u, column) in (0..S::SIDE).zip(0_usize..) {
                    let value = (next() * 300.0 / f64::from(1 + u + v + round / 50)).round();
                    coefficients[row][column] = value;
                    #[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
                    S::add(&mut sums, row, &S::wave(u, v, 1.0 / 8.0), value as f32);
                }
            }
            let rows = S::samples(&sums);
            for (y, row) in (0..).zip(rows.as_ref()) {
                for (x, &sample) in (0..S::SIDE).zip(row.as_ref()) {
                    let wanted = defined(S::SIDE, &coefficients, x, y).clamp(0.0, 255.0);
                    let away = (f64::from(sample) - wanted).abs();
                    assert!(away < 0.51, "{} at {x}, {y}: {sample} instead of {wanted}", S::SIDE);
                }
            }
        }
    }

    #[test]
    fn every_scale_is_the_cosine_transform_of_its_size() {
        assert_transforms::<One>();
        assert_transforms::<Two>();
        assert_transforms::<Three>();
        assert_transforms::<Four>();
        assert_transforms::<Six>();
        assert_transforms::<Eight>();
    }
}
