//! Buffers that are used again.

use bytes::{Bytes, BytesMut};

/// The buffers of one reader that were filled last. One that the consumer is done with by now is filled again. Reading
/// ahead takes two: one is being filled while the consumer has the other.
///
/// Without them, each of many threads would keep what others free, and the process would grow to several times of what it
/// uses. All are of one size, however little is read into them, for the same reason.
#[derive(Debug)]
pub(crate) struct Buffers {
    size: usize,
    kept: [Bytes; 2],
}

impl Buffers {
    /// None yet; each will have `size` bytes.
    pub(crate) const fn new(size: usize) -> Self {
        Self { size, kept: [Bytes::new(), Bytes::new()] }
    }

    /// A buffer with anything in it.
    pub(crate) fn take(&mut self) -> BytesMut {
        for slot in &mut self.kept {
            match std::mem::take(slot).try_into_mut() {
                Ok(buffer) if buffer.len() == self.size => return buffer,
                Ok(_) => {}
                Err(in_use) => *slot = in_use,
            }
        }
        BytesMut::zeroed(self.size)
    }

    /// Gives the first `len` bytes of a buffer to the consumer, and remembers it.
    pub(crate) fn keep(&mut self, buffer: BytesMut, len: usize) -> Bytes {
        let whole = buffer.freeze();
        let slot = usize::from(!self.kept[0].is_empty());
        self.kept[slot] = whole.clone();
        whole.slice(..len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_little_into_is_used_again_in_full() {
        let mut buffers = Buffers::new(1000);
        let first = buffers.take();
        let address = first.as_ptr();
        assert_eq!(buffers.keep(first, 10).len(), 10);
        let again = buffers.take();
        assert_eq!((again.as_ptr(), again.len()), (address, 1000));
    }
}
