//! What the tables of a Vorbis stream become. A few bytes of its header can ask for megabytes, many times.

/// A table that would be larger is refused by the decoder.
const MAX_ENTRIES: u64 = 128 * 1024;
const MAX_VALUES: u64 = 4 * 1024 * 1024;

/// Bytes that the tables take at most: every place counts where a table could begin, by the three bytes that it begins
/// with. Tables begin at any bit.
pub(super) fn table_bytes(header: &[u8]) -> u64 {
    const BEGINNING: u128 = 0x0056_4342;
    const VALUE_BYTES: u64 = 4;
    /// The trees of codes, and what they are built from.
    const ENTRY_BYTES: u64 = 64;
    let mut bytes = 0_u64;
    for window in header.windows(9) {
        let bits = window.iter().rev().fold(0_u128, |bits, &byte| bits << 8 | u128::from(byte));
        for shift in 0..8 {
            let bits = bits >> shift;
            if bits & 0x00FF_FFFF != BEGINNING {
                continue;
            }
            let field = |at: u32, mask: u128| u64::try_from(bits >> at & mask).unwrap_or(u64::MAX);
            let (dimensions, entries) = (field(24, 0xFFFF), field(40, 0x00FF_FFFF));
            if entries <= MAX_ENTRIES {
                let values = (dimensions * entries).min(MAX_VALUES);
                bytes = bytes.saturating_add(values * VALUE_BYTES + entries * ENTRY_BYTES);
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_at_any_bit() {
        for shift in 0..8 {
            let bits = (0x0056_4342_u128 | 3 << 24 | 1000 << 40) << shift;
            let header = [&[0; 5][..], &bits.to_le_bytes()].concat();
            assert_eq!(table_bytes(&header), 3000 * 4 + 1000 * 64, "{shift}");
        }
    }

    #[test]
    fn what_is_no_table_takes_nothing() {
        assert_eq!(table_bytes(b"\x05vorbis a header without tables"), 0);
    }
}
