//! Buffers that are used again.

use bytes::{Bytes, BytesMut};

/// The buffers of one reader that were filled last. One that the consumer is done with by now is filled again. Reading
/// ahead takes two: one is being filled while the consumer has the other.
///
/// Without them, each of many threads would keep what others free, and the process would grow to several times of what it
/// uses.
#[derive(Debug, Default)]
pub(crate) struct Buffers([Bytes; 2]);

impl Buffers {
    /// A buffer of `len` bytes of anything.
    pub(crate) fn take(&mut self, len: usize) -> BytesMut {
        for slot in &mut self.0 {
            match std::mem::take(slot).try_into_mut() {
                Ok(mut buffer) if buffer.len() >= len => {
                    buffer.truncate(len);
                    return buffer;
                }
                Ok(_) => {}
                Err(in_use) => *slot = in_use,
            }
        }
        BytesMut::zeroed(len)
    }

    /// Gives the filled buffer to the consumer, and remembers it.
    pub(crate) fn keep(&mut self, buffer: BytesMut) -> Bytes {
        let chunk = buffer.freeze();
        let slot = usize::from(!self.0[0].is_empty());
        self.0[slot] = chunk.clone();
        chunk
    }
}
