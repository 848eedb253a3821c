//! Luma and chroma become red, green and blue of 8 bits, in whole numbers.
//!
//! Pictures that are wanted much smaller are made smaller on the way, by the average of squares of pixels. High dynamic
//! range (PQ and HLG) is shown as if it were standard, so darker or flatter than it should be.

use super::container::Coding;
use super::obu::Chroma;

/// Decoded samples.
pub(super) struct Planes<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) bits: u8,
    pub(super) chroma: Chroma,
    pub(super) coding: Coding,
    /// Luma, and two of chroma; those are empty without.
    pub(super) planes: [Plane<'a>; 3],
}

/// Rows of samples, of one byte, or of two in the order of the machine.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) stride: usize,
}

/// A part of a picture to write to.
pub(super) struct Target<'a> {
    pub(super) data: &'a mut [u8],
    /// Of the whole picture, in pixels.
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) left: usize,
    pub(super) top: usize,
}

impl Planes<'_> {
    /// Writes colours, of every `1 << shrink` pixels in either direction one. What lies outside of the target is left
    /// out, and alpha as it is.
    pub(super) fn write_color(&self, target: &mut Target<'_>, shrink: u32) {
        let width = self.width.div_ceil(1 << shrink);
        let matrix = Matrix::new(self.coding, self.bits);
        let channels = target.channels;
        let mut rows = [(); 3].map(|()| Row::new(width));
        let [mut red, mut green, mut blue] = [(); 3].map(|()| vec![0_u8; width]);
        for y in 0..self.height.div_ceil(1 << shrink) {
            let Some(out) = target.row(y) else { break };
            self.luma(&mut rows[0], y, shrink);
            let [luma, first, second] = &mut rows;
            if let Chroma::Shared { columns, rows } = self.chroma {
                first.gather(&self.samples(1, (columns, rows)), y, shrink);
                second.gather(&self.samples(2, (columns, rows)), y, shrink);
            } else {
                matrix.grey(&luma.samples, &mut green);
                interleave(out, channels, [&green, &green, &green]);
                continue;
            }
            let samples = [&luma.samples, &first.samples, &second.samples].map(Vec::as_slice);
            matrix.apply(samples, [&mut red, &mut green, &mut blue]);
            interleave(out, channels, [&red, &green, &blue]);
        }
    }

    /// Writes luma as the last channel.
    pub(super) fn write_alpha(&self, target: &mut Target<'_>, shrink: u32) {
        let width = self.width.div_ceil(1 << shrink);
        let matrix = Matrix::new(self.coding, self.bits);
        let (mut row, mut values) = (Row::new(width), vec![0_u8; width]);
        for y in 0..self.height.div_ceil(1 << shrink) {
            let channels = target.channels;
            let Some(out) = target.row(y) else { break };
            self.luma(&mut row, y, shrink);
            matrix.grey(&row.samples, &mut values);
            for (pixel, &value) in out.chunks_exact_mut(channels).zip(&values) {
                if let Some(alpha) = pixel.last_mut() {
                    *alpha = value;
                }
            }
        }
    }

    fn luma(&self, row: &mut Row, y: usize, shrink: u32) {
        row.gather(&self.samples(0, (0, 0)), y, shrink);
    }

    fn samples(&self, plane: usize, shared: (u32, u32)) -> Samples<'_> {
        Samples {
            plane: self.planes[plane],
            width: self.width.div_ceil(1 << shared.0),
            height: self.height.div_ceil(1 << shared.1),
            shared,
            wide: self.bits > 8,
        }
    }
}

/// A plane, and how to read it.
struct Samples<'a> {
    plane: Plane<'a>,
    width: usize,
    height: usize,
    /// How many columns and rows of pixels share a sample, as powers of two.
    shared: (u32, u32),
    /// Two bytes each.
    wide: bool,
}

impl Samples<'_> {
    fn row(&self, y: usize) -> &[u8] {
        let start = y.min(self.height.saturating_sub(1)) * self.plane.stride;
        let row = self.plane.bytes.get(start..).unwrap_or_default();
        row.get(..self.width << u32::from(self.wide)).unwrap_or_default()
    }
}

impl Target<'_> {
    /// What of a row lies in the picture; `None` below it.
    fn row(&mut self, y: usize) -> Option<&mut [u8]> {
        let stride = self.width * self.channels;
        let row = self.data.chunks_exact_mut(stride.max(1)).nth(self.top + y)?;
        row.get_mut(self.left * self.channels..)
    }
}

/// Samples of a row, as many as pixels are written.
struct Row {
    samples: Vec<i16>,
    sums: Vec<u32>,
}

impl Row {
    fn new(width: usize) -> Self {
        Self { samples: vec![0; width], sums: vec![0; width] }
    }

    /// The samples of row `y`, of every `1 << shrink` pixels one.
    fn gather(&mut self, samples: &Samples<'_>, y: usize, shrink: u32) {
        let &Samples { height, shared: (shared_x, shared_y), wide, .. } = samples;
        // Rows and columns to average, and how often one is repeated.
        let down = 1 << shrink.saturating_sub(shared_y);
        let (across, repeat) = (shrink.saturating_sub(shared_x), shared_x.saturating_sub(shrink));
        let first = (y << shrink) >> shared_y;
        if (down, across) == (1, 0) {
            let row = samples.row(first);
            let out = &mut self.samples;
            match (wide, repeat) {
                (false, 0) => out.iter_mut().zip(row).for_each(|(out, &it)| *out = i16::from(it)),
                (false, _) => {
                    for (out, &it) in out.chunks_mut(2).zip(row) {
                        out.fill(i16::from(it));
                    }
                }
                (true, 0) => out.iter_mut().zip(row.as_chunks().0).for_each(|(out, it)| *out = short(*it)),
                (true, _) => {
                    for (out, it) in out.chunks_mut(2).zip(row.as_chunks().0) {
                        out.fill(short(*it));
                    }
                }
            }
            return;
        }
        self.sums.fill(0);
        let down = down.min(height.saturating_sub(first)).max(1);
        for y in first..first + down {
            let row = samples.row(y);
            if wide {
                let value = |it: &[u8; 2]| u32::from(u16::from_ne_bytes(*it));
                sum(&mut self.sums, row.as_chunks().0, across, repeat, value);
            } else {
                sum(&mut self.sums, row, across, repeat, |&it| u32::from(it));
            }
        }
        let count = u32::try_from(down << across).unwrap_or(1);
        for (out, &sum) in self.samples.iter_mut().zip(&self.sums) {
            *out = i16::try_from((sum + count / 2) / count).unwrap_or(i16::MAX);
        }
    }
}

fn short(sample: [u8; 2]) -> i16 {
    i16::try_from(u16::from_ne_bytes(sample)).unwrap_or(i16::MAX)
}

/// Adds up every `1 << across` samples of a row. The last few count as if there were as many.
fn sum<T>(sums: &mut [u32], row: &[T], across: u32, repeat: u32, value: impl Fn(&T) -> u32) {
    match (across, repeat) {
        (0, 0) => sums.iter_mut().zip(row).for_each(|(sum, it)| *sum += value(it)),
        (0, _) => {
            for (sums, it) in sums.chunks_mut(2).zip(row) {
                for sum in sums {
                    *sum += value(it);
                }
            }
        }
        (1, _) => {
            let (pairs, last) = row.as_chunks::<2>();
            for (sum, [left, right]) in sums.iter_mut().zip(pairs) {
                *sum += value(left) + value(right);
            }
            if let (Some(it), Some(sum)) = (last.first(), sums.get_mut(pairs.len())) {
                *sum += 2 * value(it);
            }
        }
        _ => {
            let len = 1_usize << across;
            for (sum, chunk) in sums.iter_mut().zip(row.chunks(len)) {
                let of_chunk: u32 = chunk.iter().map(&value).sum();
                let missing = u32::try_from(len - chunk.len()).unwrap_or(0);
                *sum += of_chunk + missing * chunk.last().map_or(0, &value);
            }
        }
    }
}

fn interleave(out: &mut [u8], channels: usize, [red, green, blue]: [&[u8]; 3]) {
    let colors = red.iter().zip(green).zip(blue);
    if channels == 4 {
        for ([r, g, b, _], ((red, green), blue)) in out.as_chunks_mut().0.iter_mut().zip(colors) {
            (*r, *g, *b) = (*red, *green, *blue);
        }
    } else {
        for ([r, g, b], ((red, green), blue)) in out.as_chunks_mut().0.iter_mut().zip(colors) {
            (*r, *g, *b) = (*red, *green, *blue);
        }
    }
}

/// Factors with [`Self::BITS`] bits after the point.
#[derive(Debug)]
struct Matrix {
    /// Whether samples are green, blue and red already.
    identity: bool,
    black: i32,
    middle: i32,
    luma: i32,
    red_of_second: i32,
    green_of_first: i32,
    green_of_second: i32,
    blue_of_first: i32,
}

impl Matrix {
    const BITS: u32 = 14;

    #[expect(clippy::cast_possible_truncation, reason = "factors are small, and rounded")]
    fn new(Coding { matrix, full_range }: Coding, bits: u8) -> Self {
        let (kr, kb) = weights(matrix);
        let kg = 1.0 - kr - kb;
        let most = f64::from((1_u32 << bits) - 1);
        let eighth = f64::from(1_u32 << (bits - 8));
        let (luma, chroma) = if full_range { (most, most) } else { (219.0 * eighth, 224.0 * eighth) };
        let fixed = |factor: f64| (factor * f64::from(1_u32 << Self::BITS)).round() as i32;
        let of_chroma = |factor: f64| fixed(factor * 255.0 / chroma);
        Self {
            identity: matrix == 0,
            black: if full_range { 0 } else { 16 << (bits - 8) },
            middle: 1 << (bits - 1),
            luma: fixed(255.0 / luma),
            red_of_second: of_chroma(2.0 * (1.0 - kr)),
            green_of_first: of_chroma(-2.0 * kb * (1.0 - kb) / kg),
            green_of_second: of_chroma(-2.0 * kr * (1.0 - kr) / kg),
            blue_of_first: of_chroma(2.0 * (1.0 - kb)),
        }
    }

    fn scaled(&self, luma: i16) -> i32 {
        (i32::from(luma) - self.black) * self.luma + (1 << (Self::BITS - 1))
    }

    fn grey(&self, luma: &[i16], out: &mut [u8]) {
        for (out, &luma) in out.iter_mut().zip(luma) {
            *out = narrow(self.scaled(luma));
        }
    }

    fn apply(&self, [luma, first, second]: [&[i16]; 3], [red, green, blue]: [&mut [u8]; 3]) {
        if self.identity {
            self.grey(luma, green);
            self.grey(first, blue);
            self.grey(second, red);
            return;
        }
        let samples = luma.iter().zip(first).zip(second);
        let colors = red.iter_mut().zip(green).zip(blue);
        for (((red, green), blue), ((&luma, &first), &second)) in colors.zip(samples) {
            let luma = self.scaled(luma);
            let (first, second) = (i32::from(first) - self.middle, i32::from(second) - self.middle);
            *red = narrow(luma + second * self.red_of_second);
            *green = narrow(luma + first * self.green_of_first + second * self.green_of_second);
            *blue = narrow(luma + first * self.blue_of_first);
        }
    }
}

#[expect(clippy::cast_sign_loss, reason = "clamped to what fits")]
fn narrow(fixed: i32) -> u8 {
    (fixed >> Matrix::BITS).clamp(0, 255) as u8
}

/// What red and blue weigh in luma. BT.601 where it is not said, as in other programs.
fn weights(matrix: u16) -> (f64, f64) {
    match matrix {
        1 => (0.2126, 0.0722),
        4 => (0.30, 0.11),
        7 => (0.212, 0.087),
        9 | 10 => (0.2627, 0.0593),
        _ => (0.299, 0.114),
    }
}

#[cfg(test)]
mod tests;
