//! The bits of a scan.

#![expect(clippy::inline_always, reason = "reading coefficients keeps everything in registers")]

/// Reads bits of entropy-coded data, highest first, up to the marker that ends them.
///
/// Behind that there are zeros without end, which [`overrun`](Self::overrun) tells of: so no reading has to be
/// able to fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// Of the first byte that `count` does not count.
    at: usize,
    /// The bits to read next, at its upper end. Below the first `count` there may be some of the byte that follows.
    buffer: u64,
    count: u32,
    /// How many of those that were ever counted are zeros from behind the end.
    beyond: u32,
}

impl<'a> Bits<'a> {
    pub(super) const fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, buffer: 0, count: 0, beyond: 0 }
    }

    /// Makes sure that there are 56 bits to read.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        /// Of the buffer that is full but for what is left of a byte.
        const WHOLE_BYTES: u32 = 0x38;
        if let Some(next) = self.data.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let next = u64::from_be_bytes(*next);
            if !has_marker_byte(next) {
                // Bits that are there already stay as they are.
                self.buffer |= next >> self.count;
                self.at += ((63 - self.count) >> 3) as usize;
                self.count |= WHOLE_BYTES;
                return;
            }
        }
        if self.count < 56 {
            *self = self.refilled_by_bytes();
        }
    }

    /// Where one of the next bytes is 0xFF, or the end is near. By value, so that the others stay in registers.
    #[cold]
    #[inline(never)]
    fn refilled_by_bytes(mut self) -> Self {
        while self.count < 56 {
            let byte = match self.data.get(self.at..) {
                Some([0xFF, 0, ..]) => {
                    self.at += 2;
                    0xFF
                }
                Some(&[byte, ..]) if byte != 0xFF => {
                    self.at += 1;
                    byte
                }
                _ => {
                    self.beyond = self.beyond.saturating_add(8);
                    0
                }
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        self
    }

    /// The next 1 to 32 bits.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "as many as were asked for")]
    pub(super) const fn peek(&self, bits: u32) -> u32 {
        (self.buffer >> (64 - bits)) as u32
    }

    /// Goes on by at most 63 bits, and no more than there are.
    #[inline(always)]
    pub(super) const fn consume(&mut self, bits: u32) {
        self.buffer <<= bits & 63;
        self.count = self.count.wrapping_sub(bits);
    }

    /// Whether more was read than there is.
    #[inline(always)]
    pub(super) const fn overrun(&self) -> bool {
        self.count < self.beyond
    }

    /// The marker at which the bits end; none unless all whole bytes before it were read. What follows are the bits after
    /// that marker.
    pub(super) fn next_segment(&mut self) -> Option<u8> {
        let left = self.count.checked_sub(self.beyond)?;
        let rest = self.data.get(self.at..)?;
        let fill = rest.iter().take_while(|&&byte| byte == 0xFF).count();
        let marker = *rest.get(fill)?;
        if left >= 8 || fill == 0 || marker == 0 {
            return None;
        }
        *self = Self::new(rest.get(fill + 1..)?);
        Some(marker)
    }
}

/// Whether a byte is 0xFF.
#[inline(always)]
const fn has_marker_byte(bytes: u64) -> bool {
    const LOW: u64 = 0x0101_0101_0101_0101;
    (!bytes).wrapping_sub(LOW) & bytes & (LOW << 7) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All whole bytes up to the end.
    fn bytes(bits: &mut Bits<'_>) -> Vec<u32> {
        let mut bytes = Vec::new();
        loop {
            bits.refill();
            let byte = bits.peek(8);
            let before = *bits;
            bits.consume(8);
            if bits.overrun() {
                *bits = before;
                return bytes;
            }
            bytes.push(byte);
        }
    }

    #[test]
    fn stuffed_bytes_are_taken_out() {
        for before in 0..20 {
            let data = [&vec![7; before][..], &[0xFF, 0, 0xFF, 0, 9, 0xFF, 0xD9]].concat();
            let mut bits = Bits::new(&data);
            assert_eq!(bytes(&mut bits), [&vec![7; before][..], &[0xFF, 0xFF, 9]].concat());
            assert_eq!(bits.next_segment(), Some(0xD9));
        }
    }

    #[test]
    fn a_marker_may_be_filled_up() {
        let mut bits = Bits::new(&[1, 0xFF, 0xFF, 0xFF, 0xD3, 2, 0xFF, 0xD9]);
        assert_eq!(bytes(&mut bits), [1]);
        assert_eq!(bits.next_segment(), Some(0xD3));
        assert_eq!(bytes(&mut bits), [2]);
        assert_eq!(bits.next_segment(), Some(0xD9));
    }

    #[test]
    fn whole_bytes_are_not_left_out() {
        let mut bits = Bits::new(&[1, 2, 3, 0xFF, 0xD9]);
        bits.refill();
        bits.consume(9);
        assert_eq!(bits.next_segment(), None);
        bits.consume(8);
        assert_eq!(bits.next_segment(), Some(0xD9));
    }

    #[test]
    fn what_is_cut_has_no_next_segment() {
        for data in [&[][..], &[1], &[1, 0xFF], &[1, 0xFF, 0]] {
            let mut bits = Bits::new(data);
            bytes(&mut bits);
            assert_eq!(bits.next_segment(), None, "{data:?}");
        }
    }
}
