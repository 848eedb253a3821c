//! The data of a picture: blocks of coefficients, a unit of all components after the other.

#![expect(clippy::inline_always, reason = "reading coefficients keeps everything in registers")]

use std::array::from_fn;

use super::bits::Bits;
use super::headers::{self, Component, Headers, Refused, Tables};
use super::huffman::{Heads, Skips, Values, WRONG};
use super::planes::Plane;
use super::transform::Scale;
use crate::types::Size;

/// The last coefficient of a block.
const LAST: usize = 63;

/// Where the coefficients are, in the order in which they come: 8 times the row, and the column.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// All samples of a picture at a scale.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) samples: Vec<u8>,
    /// One for each component, with what units have beyond the edges.
    pub(super) planes: Vec<Plane>,
}

/// Decodes at scale `S`, until `cancelled`.
pub(super) fn decode<S: Scale>(
    headers: &Headers<'_>,
    cancelled: &dyn Fn() -> bool,
) -> Result<Decoded, Refused> {
    let layout = Layout::new::<S>(headers);
    let components = layout.channels.iter().filter_map(|&component| headers.components.get(component));
    let channels = components
        .map(|component| Channel::<S>::new(component, &headers.tables))
        .collect::<Result<Vec<_>, _>>()?;
    let mut samples = vec![0; layout.planes.last().map_or(0, |plane| plane.bytes.end)];
    Units { bits: Bits::new(headers.scan), layout: &layout, channels, averages: [0; 3] }.read(
        &mut samples,
        headers.restart_interval,
        cancelled,
    )?;
    Ok(Decoded { samples, planes: layout.planes })
}

/// Where everything goes.
struct Layout {
    /// How many units there are.
    across: u32,
    down: u32,
    planes: Vec<Plane>,
    /// The first components of those that have the same tables.
    channels: Vec<usize>,
    /// Of a unit.
    blocks: Vec<Place>,
}

/// Of a block in a unit.
#[derive(Clone, Copy)]
struct Place {
    component: usize,
    channel: usize,
    /// Its first sample, in the rows of the first unit.
    start: usize,
    /// From a unit to the next.
    step: usize,
    /// From a row to the next.
    stride: usize,
}

impl Layout {
    fn new<S: Scale>(headers: &Headers<'_>) -> Self {
        let luma = headers.components.first().map_or((1, 1), |luma| (luma.across, luma.down));
        let (across, down) =
            (headers.size.width.div_ceil(8 * luma.0), headers.size.height.div_ceil(8 * luma.1));
        let (mut planes, mut blocks) = (Vec::new(), Vec::new());
        let mut channels: Vec<usize> = Vec::new();
        let mut end = 0;
        for (index, component) in headers.components.iter().enumerate() {
            let side = |blocks: u32| blocks * S::SIDE;
            // What is stored of the last block may go beyond it.
            let spare = S::STORED - S::SIDE;
            let stored = Size::new(side(across * component.across) + spare, side(down * component.down));
            let stride = stored.width as usize;
            let same = |&of: &usize| headers.components.get(of).is_some_and(|of| of.has_tables_of(component));
            let channel = channels.iter().position(same).unwrap_or_else(|| {
                channels.push(index);
                channels.len() - 1
            });
            let start = end;
            end += stride * stored.height as usize;
            planes.push(Plane { bytes: start..end, stored });
            for y in 0..component.down as usize {
                for x in 0..component.across as usize {
                    blocks.push(Place {
                        component: index,
                        channel,
                        start: (y * stride + x) * S::SIDE as usize,
                        step: (component.across * S::SIDE) as usize,
                        stride,
                    });
                }
            }
        }
        Self { across, down, planes, channels, blocks }
    }
}

/// How the blocks of a component are read.
struct Channel<S: Scale> {
    averages: Values,
    runs: Values,
    skips: Skips,
    /// What an average of 1 makes of samples.
    average: f32,
    /// Of each coefficient, in the order in which they come.
    waves: Box<[Wave<S>; 64]>,
    /// The last coefficient that the scale needs.
    last: usize,
}

/// What a coefficient adds, and to which row.
struct Wave<S: Scale> {
    row: usize,
    values: S::Wave,
}

impl<S: Scale> Channel<S> {
    /// Adding nothing where there is no second coefficient costs more than it saves where there is much to add to.
    const PAIRS: bool = S::SIDE < 6;

    fn new(component: &Component, tables: &Tables) -> Result<Self, Refused> {
        let (factors, runs) = (tables.factors(component)?, Heads::new(tables.runs(component)?));
        let mut last = 0;
        let waves = from_fn(|index| {
            let (row, column) = (u32::from(ZIGZAG[index] / 8), u32::from(ZIGZAG[index] % 8));
            let needed = row < S::SIDE && column < S::SIDE;
            last = if needed { index } else { last };
            let factor = if needed { f64::from(factors[index]) / 8.0 } else { 0.0 };
            Wave { row: if needed { row as usize } else { 0 }, values: S::wave(column, row, factor) }
        });
        let average = f32::from(factors[0]) / 8.0;
        let averages = Values::of_averages(tables.averages(component)?)?;
        Ok(Self {
            averages,
            runs: Values::of_runs(&runs, Self::PAIRS),
            skips: Skips::new(&runs),
            average,
            waves: Box::new(waves),
            last,
        })
    }

    /// Reads a block.
    #[inline(always)]
    #[expect(clippy::cast_precision_loss, reason = "averages of pictures are short")]
    fn read(&self, bits: &mut Bits<'_>, average: &mut i32) -> Result<S::Sums, Refused> {
        bits.refill();
        let step = self.averages.next(bits, 0);
        *average = average.wrapping_add(step.value.into());
        let mut index = step.first & WRONG;
        let mut sums = S::flat(*average as f32 * self.average + 128.0);
        'needed: while index < self.last {
            // There is enough for two.
            for _ in 0..2 {
                let step = self.runs.next(bits, index);
                let Wave { row, values } = &self.waves[(index + step.first) & LAST];
                S::add(&mut sums, *row, values, step.value.into());
                index += step.last;
                if Self::PAIRS {
                    let Wave { row, values } = &self.waves[index & LAST];
                    S::add(&mut sums, *row, values, step.second.into());
                }
                if index >= self.last {
                    break 'needed;
                }
            }
            bits.refill();
        }
        'skip: while index < LAST {
            bits.refill();
            for _ in 0..2 {
                let skip = self.skips.next(bits);
                let to = index + usize::from(skip.advance);
                if to & WRONG == 0 {
                    bits.consume(skip.taken.into());
                    index = to;
                } else {
                    bits.refill();
                    index += self.runs.next(bits, index).last;
                    break;
                }
                if index >= LAST {
                    break 'skip;
                }
            }
        }
        if index & WRONG == 0 { Ok(sums) } else { Err(Refused("damaged block")) }
    }
}

/// Reads units.
struct Units<'a, S: Scale> {
    bits: Bits<'a>,
    layout: &'a Layout,
    channels: Vec<Channel<S>>,
    /// Of the last block of each component.
    averages: [i32; 3],
}

impl<S: Scale> Units<'_, S> {
    fn read(
        mut self,
        samples: &mut [u8],
        restart_interval: Option<u32>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(), Refused> {
        let mut rest = samples;
        let mut planes = Vec::new();
        for plane in &self.layout.planes {
            let (bytes, others) = rest.split_at_mut_checked(plane.bytes.len()).ok_or(Refused("planes"))?;
            planes.push(bytes.chunks_exact_mut((bytes.len() / self.layout.down as usize).max(1)));
            rest = others;
        }
        let mut until_restart = restart_interval.unwrap_or(u32::MAX);
        let mut restarts = (0..8).cycle();
        for _ in 0..self.layout.down {
            if cancelled() {
                return Err(Refused("nobody waits"));
            }
            let mut rows: Vec<&mut [u8]> = planes.iter_mut().filter_map(Iterator::next).collect();
            for unit in 0..self.layout.across as usize {
                if let Some(interval) = restart_interval {
                    if until_restart == 0 {
                        let restart = restarts.next().map(|number| headers::FIRST_RESTART + number);
                        if self.bits.next_segment() != restart {
                            return Err(Refused("restart"));
                        }
                        self.averages = [0; 3];
                        until_restart = interval;
                    }
                    until_restart -= 1;
                }
                self.unit(unit, &mut rows)?;
            }
        }
        if self.bits.next_segment() == Some(headers::END) { Ok(()) } else { Err(Refused("end of the data")) }
    }

    fn unit(&mut self, unit: usize, rows: &mut [&mut [u8]]) -> Result<(), Refused> {
        let mut bits = self.bits;
        for place in &self.layout.blocks {
            let (Some(channel), Some(average), Some(rows)) = (
                self.channels.get(place.channel),
                self.averages.get_mut(place.component),
                rows.get_mut(place.component),
            ) else {
                return Err(Refused("components"));
            };
            let all = S::samples(&channel.read(&mut bits, average)?);
            let mut at = place.start + unit * place.step;
            for row in all.as_ref() {
                let row = row.as_ref();
                if let Some(target) = rows.get_mut(at..at + row.len()) {
                    target.copy_from_slice(row);
                }
                at += place.stride;
            }
        }
        self.bits = bits;
        if bits.overrun() { Err(Refused("cut in its data")) } else { Ok(()) }
    }
}
