//! Huffman codes, as tables of what the next bits mean.

#![expect(clippy::inline_always, reason = "reading coefficients keeps everything in registers")]

use super::bits::Bits;
use super::headers::Refused;

/// A code as it is in a file.
#[derive(Clone, Debug)]
pub(super) struct Code {
    /// For each length, where the codes of it end: the first 16 bits that are no such code and no shorter one.
    ends: [u32; 16],
    /// For each length, what is to be added to a code for the index of its symbol.
    offsets: [i32; 16],
    symbols: Vec<u8>,
}

impl Code {
    /// The number of codes of each length from 1 to 16, and their symbols in order.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, Refused> {
        let (mut ends, mut offsets) = ([0; 16], [0; 16]);
        let (mut code, mut index) = (0_i32, 0_i32);
        for (bit, &count) in counts.iter().enumerate() {
            offsets[bit] = index - code;
            code += i32::from(count);
            index += i32::from(count);
            if code > 2 << bit {
                return Err(Refused("more codes than fit"));
            }
            ends[bit] = code.unsigned_abs() << (15 - bit);
            code *= 2;
        }
        if usize::try_from(index) != Ok(symbols.len()) {
            return Err(Refused("codes without symbols"));
        }
        Ok(Self { ends, offsets, symbols: symbols.to_vec() })
    }

    /// Length and symbol of the code that 16 bits begin with.
    fn find(&self, bits: u32) -> Option<(u8, u8)> {
        let bit = self.ends.iter().position(|&end| bits < end)?;
        let code = i32::try_from(bits >> (15 - bit)).ok()?;
        let index = usize::try_from(code + self.offsets[bit]).ok()?;
        Some((u8::try_from(bit).ok()? + 1, *self.symbols.get(index)?))
    }
}

/// The short codes, for a while.
pub(super) struct Heads<'a> {
    code: &'a Code,
    /// Length and symbol of those that these bits begin with; length 0 where it is longer, or none.
    entries: Box<[(u8, u8); 1 << HEAD_BITS]>,
}

const HEAD_BITS: u32 = if SKIP_BITS > VALUE_BITS { SKIP_BITS } else { VALUE_BITS };

impl<'a> Heads<'a> {
    pub(super) fn new(code: &'a Code) -> Self {
        let mut entries = Box::new([(0, 0); 1 << HEAD_BITS]);
        let mut symbols = code.symbols.iter();
        let mut rest = &mut entries[..];
        let mut start = 0;
        for (bit, &end) in (0..HEAD_BITS).zip(&code.ends) {
            let count = end.saturating_sub(start) >> (15 - bit);
            for &symbol in symbols.by_ref().take(count as usize) {
                let (same, others) = rest.split_at_mut((1 << (HEAD_BITS - 1 - bit)).min(rest.len()));
                same.fill((bit.to_le_bytes()[0] + 1, symbol));
                rest = others;
            }
            start = end;
        }
        Self { code, entries }
    }

    /// Length and symbol of the code that the lowest `known` of these bits begin with.
    fn find(&self, bits: u32, known: u32) -> Option<(u8, u8)> {
        let head = (bits << (HEAD_BITS - known)) & ((1 << HEAD_BITS) - 1);
        let &(length, symbol) = self.entries.get(head as usize)?;
        (length > 0 && u32::from(length) <= known).then_some((length, symbol))
    }
}

/// What stands for the end of a block among what is added to the index of a coefficient. Such sums have no [`WRONG`] bit
/// if the end was due: below the last coefficient.
const END: u8 = 129;

/// A bit that sums have beyond the last coefficient, and where there is no such code.
pub(super) const WRONG: usize = 64;

/// What the next bits say: of one coefficient, or of two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// To be added to the index of a coefficient, for that of the first; [`END`] and [`WRONG`] are part of it.
    pub(super) first: usize,
    /// The same for the last, which is the second where there are two.
    pub(super) last: usize,
    /// Of the first.
    pub(super) value: i16,
    /// Of the second; 0 where there is none.
    pub(super) second: i16,
}

const VALUE_BITS: u32 = 11;

/// Coefficients, one or two at a time.
#[derive(Debug)]
pub(super) struct Values {
    entries: Box<[Entry; 1 << VALUE_BITS]>,
    code: Code,
}

/// See [`Step`].
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// How many bits it takes, or [`SPLIT`] and how many bits the code has, or [`LONG`].
    taken: u8,
    first: u8,
    last: u8,
    /// How many bits the first takes.
    taken_by_first: u8,
    /// Where it is split, how many bits the value has.
    value: i16,
    second: i16,
}

/// The bits of the value are still to be read.
const SPLIT: u8 = 0x40;

/// The code itself has more bits.
const LONG: u8 = 0x80;

impl Values {
    /// `advance` is for symbols.
    fn new(heads: &Heads<'_>, advance: fn(u8) -> u8, pairs: bool) -> Self {
        let long = Entry { taken: LONG, first: 0, last: 0, taken_by_first: 0, value: 0, second: 0 };
        let mut entries = Box::new([long; 1 << VALUE_BITS]);
        for (bits, entry) in (0_u32..).zip(entries.iter_mut()) {
            let Some((length, symbol)) = heads.find(bits, VALUE_BITS) else { continue };
            let (size, first) = (symbol & 15, advance(symbol));
            let taken = length + size;
            let Some(value) = value_in(bits, VALUE_BITS, taken, size) else {
                *entry = Entry { taken: SPLIT | length, first, last: first, value: size.into(), ..long };
                continue;
            };
            *entry = Entry { taken, first, last: first, taken_by_first: taken, value, second: 0 };
            let rest = VALUE_BITS - u32::from(taken);
            let more = pairs && first < END;
            if let Some((length, symbol)) = heads.find(bits, rest).filter(|_| more) {
                let size = symbol & 15;
                if let Some(second) = value_in(bits, rest, length + size, size) {
                    (entry.taken, entry.last, entry.second) =
                        (taken + length + size, first + advance(symbol), second);
                }
            }
        }
        Self { entries, code: heads.code.clone() }
    }

    /// Differences of averages, one at a time.
    pub(super) fn of_averages(code: &Code) -> Result<Self, Refused> {
        if code.symbols.iter().any(|&size| size > 15) {
            return Err(Refused("differences of more than 15 bits"));
        }
        Ok(Self::new(&Heads::new(code), |_| 0, false))
    }

    /// Runs of zeros and the coefficients that end them. In pairs where the second may be done for nothing.
    pub(super) fn of_runs(heads: &Heads<'_>, pairs: bool) -> Self {
        Self::new(heads, run, pairs)
    }

    /// Takes up to [`VALUE_BITS`] of at least 32 bits, or leaves 56. `index` is of the last coefficient.
    #[inline(always)]
    pub(super) fn next(&self, bits: &mut Bits<'_>, index: usize) -> Step {
        let entry = self.entries[bits.peek(VALUE_BITS) as usize & ((1 << VALUE_BITS) - 1)];
        let (first, last) = (usize::from(entry.first), usize::from(entry.last));
        // Of a pair, the second may be of the next block.
        if entry.taken < SPLIT && (index + last) & WRONG == 0 {
            bits.consume(entry.taken.into());
            return Step { first, last, value: entry.value, second: entry.second };
        }
        let step;
        (*bits, step) = self.first(*bits, entry);
        step
    }

    /// By value, as [`Bits`] has it.
    #[cold]
    #[inline(never)]
    fn first<'a>(&self, mut bits: Bits<'a>, entry: Entry) -> (Bits<'a>, Step) {
        let (first, value);
        if entry.taken < SPLIT {
            bits.consume(entry.taken_by_first.into());
            (first, value) = (usize::from(entry.first), entry.value);
        } else {
            let (length, advance, size) = if entry.taken < LONG {
                (entry.taken & !SPLIT, entry.first, entry.value.unsigned_abs().into())
            } else if let Some((length, symbol)) = self.code.find(bits.peek(16)) {
                (length, run(symbol), u32::from(symbol & 15))
            } else {
                return (bits, Step { first: WRONG, last: WRONG, value: 0, second: 0 });
            };
            bits.consume(length.into());
            // The buffer is not shifted by all of its bits.
            (first, value) =
                (usize::from(advance), if size == 0 { 0 } else { extend(bits.peek(size), size) });
            bits.consume(size);
        }
        bits.refill();
        (bits, Step { first, last: first, value, second: 0 })
    }
}

/// The value of `size` bits, where the lowest `known` ones of these begin with `taken` that it is the end of.
fn value_in(bits: u32, known: u32, taken: u8, size: u8) -> Option<i16> {
    let rest = known.checked_sub(taken.into())?;
    Some(extend((bits >> rest) & ((1 << size) - 1), size.into()))
}

/// How far a symbol goes: its zeros and its coefficient.
const fn run(symbol: u8) -> u8 {
    match symbol {
        0xF0 => 16,
        // Other runs without a coefficient are for progressive pictures; all decoders take them for the end.
        _ if symbol.trailing_zeros() >= 4 => END,
        _ => (symbol >> 4) + 1,
    }
}

/// The value of which these are the bits, at most 15: negative ones begin with 0.
fn extend(bits: u32, size: u32) -> i16 {
    let value = bits.cast_signed();
    let value = if size > 0 && bits >> (size - 1) == 0 { value - (1 << size) + 1 } else { value };
    i16::try_from(value).unwrap_or(0)
}

const SKIP_BITS: u32 = 12;

/// Coefficients that nobody needs, as many at a time as there are in the next bits.
#[derive(Debug)]
pub(super) struct Skips {
    entries: Box<[Skip; 1 << SKIP_BITS]>,
}

/// How many bits may be consumed, and how far that leads: [`WRONG`] where it has to be seen one by one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skip {
    pub(super) taken: u8,
    pub(super) advance: u8,
}

impl Skips {
    pub(super) fn new(heads: &Heads<'_>) -> Self {
        const NONE: Skip = Skip { taken: 0, advance: WRONG.to_le_bytes()[0] };
        let mut entries = Box::new([NONE; 1 << SKIP_BITS]);
        for (bits, entry) in (0_u32..).zip(entries.iter_mut()) {
            let mut skip = Skip { taken: 0, advance: 0 };
            while let Some(known @ 1..) = SKIP_BITS.checked_sub(skip.taken.into()) {
                let Some((length, symbol)) = heads.find(bits, known) else { break };
                let advance = skip.advance + run(symbol);
                if usize::from(advance) & WRONG != 0 {
                    break;
                }
                // The bits of the last value need not be known.
                skip = Skip { taken: skip.taken + length + (symbol & 15), advance };
                if advance >= END {
                    break;
                }
            }
            *entry = if skip.taken == 0 { NONE } else { skip };
        }
        Self { entries }
    }

    #[inline(always)]
    pub(super) fn next(&self, bits: &Bits<'_>) -> Skip {
        self.entries[bits.peek(SKIP_BITS) as usize & ((1 << SKIP_BITS) - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes of 1 to 16 bits: ends, runs, and values of up to 15 bits.
    fn code() -> Code {
        let counts = [0, 1, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3];
        Code::new(
            &counts,
            &[0x01, 0x00, 0x11, 0x02, 0xF0, 0x21, 3, 4, 5, 0x36, 7, 8, 0x49, 10, 0x9B, 12, 0x1D, 15, 0xFE],
        )
        .unwrap()
    }

    /// Where blocks end, read one by one, or by what skips them.
    fn ends(data: &[u8], mut step: impl FnMut(&mut Bits<'_>, usize) -> usize) -> Vec<(usize, u32)> {
        let mut bits = Bits::new(data);
        let mut ends = Vec::new();
        while !bits.overrun() && ends.len() < data.len() {
            let mut index = 0;
            while index < 63 {
                bits.refill();
                index += step(&mut bits, index);
            }
            bits.refill();
            ends.push((index & WRONG, bits.peek(16)));
            if index & WRONG != 0 {
                break;
            }
        }
        ends
    }

    #[test]
    fn all_ways_to_read_end_where_the_others_do() {
        let code = code();
        let heads = Heads::new(&code);
        let [one, two] = [false, true].map(|pairs| Values::of_runs(&heads, pairs));
        let skips = Skips::new(&heads);
        let mut state = 3_u32;
        for _ in 0..300 {
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_le_bytes()[3]
            };
            let data: Vec<u8> = std::iter::repeat_with(&mut next).take(200).collect();
            let wanted = ends(&data, |bits, index| one.next(bits, index).last);
            assert_eq!(ends(&data, |bits, index| two.next(bits, index).last), wanted);
            let skipped = ends(&data, |bits, index| {
                let skip = skips.next(bits);
                if (index + usize::from(skip.advance)) & WRONG == 0 {
                    bits.consume(skip.taken.into());
                    return skip.advance.into();
                }
                one.next(bits, index).last
            });
            assert_eq!(skipped, wanted);
        }
    }

    #[test]
    fn values_that_begin_with_0_are_negative() {
        let values = [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2), (3, 2), (0, 15), (0x7FFF, 15)];
        let extended = values.map(|(bits, size)| extend(bits, size));
        assert_eq!(extended, [0, -1, 1, -3, -2, 2, 3, -32767, 32767]);
    }

    #[test]
    fn more_codes_than_there_can_be_are_refused() {
        let mut counts = [0; 16];
        counts[0] = 3;
        assert!(Code::new(&counts, &[1, 2, 3]).is_err());
        counts[0] = 2;
        assert!(Code::new(&counts, &[1, 2]).is_ok());
        assert!(Code::new(&counts, &[1]).is_err());
    }
}
