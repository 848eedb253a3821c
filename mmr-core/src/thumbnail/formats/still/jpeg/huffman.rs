//! Huffman codes, as tables of what the next bits mean.

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
    fn find(&self, bits: u32) -> Option<(u32, u8)> {
        let bit = self.ends.iter().position(|&end| bits < end)?;
        let code = i32::try_from(bits >> (15 - bit)).ok()?;
        let index = usize::try_from(code + self.offsets[bit]).ok()?;
        Some((u32::try_from(bit).ok()? + 1, *self.symbols.get(index)?))
    }
}

/// What stands for the end of a block among what is added to the index of a coefficient. Such sums have no [`WRONG`] bit
/// if the end was due: below the last coefficient.
pub(super) const END: usize = 129;

/// A bit that sums have beyond the last coefficient, and where there is no such code.
pub(super) const WRONG: usize = 64;

/// What the next code says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// To be added to the index of a coefficient; [`END`] and [`WRONG`] are part of it.
    pub(super) advance: usize,
    /// Of the coefficient.
    pub(super) value: i32,
}

const VALUE_BITS: u32 = 11;

/// Coefficients, one at a time.
///
/// An entry has in its lowest byte how many bits it takes and the two flags; then what to advance; in the upper half the
/// value, or how many bits it has.
#[derive(Debug)]
pub(super) struct Values {
    entries: Box<[u32; 1 << VALUE_BITS]>,
    code: Code,
}

/// The bits of the value are still to be read.
const SPLIT: u32 = 0x40;

/// The code itself has more bits.
const LONG: u32 = 0x80;

impl Values {
    /// `advance` is for symbols.
    fn new(code: &Code, advance: fn(u8) -> usize) -> Self {
        let mut entries = Box::new([LONG; 1 << VALUE_BITS]);
        for (bits, entry) in (0_u32..).zip(entries.iter_mut()) {
            let Some((length, symbol)) = code.find(bits << (16 - VALUE_BITS)).filter(|(length, _)| *length <= VALUE_BITS)
            else {
                continue;
            };
            let size = u32::from(symbol & 15);
            let advance = u32::try_from(advance(symbol)).unwrap_or(0) << 8;
            *entry = match VALUE_BITS.checked_sub(length + size) {
                Some(rest) => {
                    let value = extend((bits >> rest) & ((1 << size) - 1), size);
                    (length + size) | advance | value.cast_unsigned() << 16
                }
                None => length | SPLIT | advance | size << 16,
            };
        }
        Self { entries, code: code.clone() }
    }

    /// Differences of averages.
    pub(super) fn of_averages(code: &Code) -> Result<Self, Refused> {
        if code.symbols.iter().any(|&size| size > 15) {
            return Err(Refused("differences of more than 15 bits"));
        }
        Ok(Self::new(code, |_| 0))
    }

    /// Runs of zeros and the coefficients that end them.
    pub(super) fn of_runs(code: &Code) -> Self {
        Self::new(code, run)
    }

    /// Takes up to [`VALUE_BITS`] of at least 32 bits, or leaves 56.
    #[inline(always)]
    pub(super) fn next(&self, bits: &mut Bits<'_>) -> Step {
        let entry = self.entries[bits.peek(VALUE_BITS) as usize & ((1 << VALUE_BITS) - 1)];
        if entry & (SPLIT | LONG) == 0 {
            bits.consume(entry & 63);
            return Step { advance: (entry >> 8 & 0xFF) as usize, value: entry.cast_signed() >> 16 };
        }
        let step;
        (*bits, step) = self.rarely(*bits, entry);
        step
    }

    #[cold]
    #[inline(never)]
    fn rarely<'a>(&self, mut bits: Bits<'a>, entry: u32) -> (Bits<'a>, Step) {
        let (length, advance, size) = if entry & LONG == 0 {
            (entry & 63, (entry >> 8 & 0xFF) as usize, entry >> 16)
        } else {
            match self.code.find(bits.peek(16)) {
                // Averages have no codes as long as that which are not also found here.
                Some((length, symbol)) => (length, run(symbol), u32::from(symbol & 15)),
                None => (16, WRONG, 0),
            }
        };
        bits.consume(length);
        let value = if size == 0 { 0 } else { extend(bits.peek(size), size) };
        bits.consume(size);
        bits.refill();
        (bits, Step { advance, value })
    }
}

/// How far a symbol goes: its zeros and its coefficient.
fn run(symbol: u8) -> usize {
    match symbol {
        0xF0 => 16,
        // Other runs without a coefficient are for progressive pictures; all decoders take them for the end.
        _ if symbol & 15 == 0 => END,
        _ => usize::from(symbol >> 4) + 1,
    }
}

/// The value of which these are the bits: negative ones begin with 0.
const fn extend(bits: u32, size: u32) -> i32 {
    let value = bits.cast_signed();
    if size > 0 && bits >> (size - 1) == 0 { value - (1 << size) + 1 } else { value }
}

const SKIP_BITS: u32 = 12;

/// Coefficients that nobody needs, several at a time.
///
/// An entry has in its lower 6 bits how many bits it takes, then what to advance.
#[derive(Debug)]
pub(super) struct Skips {
    entries: Box<[u16; 1 << SKIP_BITS]>,
}

impl Skips {
    pub(super) fn new(code: &Code) -> Self {
        let mut entries = Box::new([0; 1 << SKIP_BITS]);
        for (bits, entry) in (0_u32..).zip(entries.iter_mut()) {
            let (mut taken, mut advance) = (0, 0);
            while taken < SKIP_BITS {
                // The bits of the last value need not be known.
                let known = SKIP_BITS - taken;
                let next = code.find((bits << (16 - known)) & 0xFFFF).filter(|(length, _)| *length <= known);
                let Some((length, symbol)) = next else { break };
                let to = advance + run(symbol);
                if to & WRONG != 0 {
                    break;
                }
                (taken, advance) = (taken + length + u32::from(symbol & 15), to);
                if advance >= END {
                    break;
                }
            }
            let advance = if taken == 0 { WRONG } else { advance };
            *entry = u16::try_from(advance << 6).unwrap_or(0) | u16::try_from(taken).unwrap_or(0);
        }
        Self { entries }
    }

    /// How many bits may be consumed, and how far that leads; [`WRONG`] where it has to be seen one by one.
    #[inline(always)]
    pub(super) fn next(&self, bits: &Bits<'_>) -> (u32, usize) {
        let entry = self.entries[bits.peek(SKIP_BITS) as usize & ((1 << SKIP_BITS) - 1)];
        (u32::from(entry & 63), usize::from(entry >> 6))
    }
}
