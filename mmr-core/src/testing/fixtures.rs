//! Bodies for tests: any size, the same every time, delivered well or badly.

use std::{io, ops::Range};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;

use crate::stream::{ByteStream, StreamError};

/// Sizes that [`odd_chunks`] cuts by, in turn: single bytes, primes, powers of two and their neighbours.
const ODD: [usize; 12] = [1, 7, 4096, 65_537, 13, 262_144, 2, 999_983, 511, 65_535, 131_071, 3];

/// Bytes generated at once by [`generated`].
const STEP: u64 = 64 * 1024;

/// The first `len` bytes of the endless sequence `seed`. No two sequences are alike, and none can be compressed.
#[must_use]
pub fn bytes(seed: u64, len: usize) -> Bytes {
    slice(seed, 0..len as u64)
}

/// The bytes of the sequence `seed` at these offsets.
#[must_use]
pub fn slice(seed: u64, range: Range<u64>) -> Bytes {
    let mut all = BytesMut::new();
    let first_word = range.start / 8;
    for word in first_word..range.end.div_ceil(8) {
        all.extend_from_slice(&mix(seed.wrapping_add(mix(word))).to_le_bytes());
    }
    let index = |offset: u64| usize::try_from(offset - first_word * 8).unwrap_or(usize::MAX);
    all.freeze().slice(index(range.start)..index(range.end))
}

/// The output function of `SplitMix64`.
const fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The same as [`bytes()`] as a body that is made while it is read, so that it may be larger than memory.
#[must_use]
pub fn generated(seed: u64, len: u64) -> ByteStream {
    let chunks = (0..len.div_ceil(STEP)).map(move |step| {
        let start = step * STEP;
        Ok(slice(seed, start..len.min(start + STEP)))
    });
    ByteStream::new(stream::iter(chunks))
}

/// Cuts a buffer into chunks of very different sizes, some of them empty.
pub fn cut(mut bytes: Bytes) -> impl Iterator<Item = Bytes> + Send + 'static {
    let mut sizes = ODD.into_iter().cycle();
    let mut turn = 0_usize;
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        turn += 1;
        if turn.is_multiple_of(5) {
            return Some(Bytes::new());
        }
        let size = sizes.next().unwrap_or(1).min(bytes.len());
        Some(bytes.split_to(size))
    })
}

/// A body that comes in the chunks of [`cut`].
#[must_use]
pub fn odd_chunks(bytes: Bytes) -> ByteStream {
    ByteStream::new(stream::iter(cut(bytes).map(Ok)))
}

/// A body that sends its first `after` bytes and then nothing more, without an end.
#[must_use]
pub fn stalls_after(bytes: &Bytes, after: usize) -> ByteStream {
    ByteStream::new(odd_chunks(bytes.slice(..after)).chain(stream::pending()))
}

/// A body whose sender breaks off after the first `after` bytes.
#[must_use]
pub fn breaks_after(bytes: &Bytes, after: usize) -> ByteStream {
    ByteStream::new(odd_chunks(bytes.slice(..after)).chain(stream::iter([Err(broken_off())])))
}

/// A body that waits at `gate` behind its first `after` bytes, and then goes on to the end.
#[must_use]
pub fn waits_after(bytes: &Bytes, after: usize, gate: Gate) -> ByteStream {
    let rest = odd_chunks(bytes.slice(after..));
    let rest = stream::once(async move {
        gate.pass().await;
        rest
    });
    ByteStream::new(odd_chunks(bytes.slice(..after)).chain(rest.flatten()))
}

fn broken_off() -> StreamError {
    StreamError::Sender(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)))
}

/// A gate that a test opens. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<GateState>);

#[derive(Clone, Copy, Debug, Default)]
struct GateState {
    reached: bool,
    open: bool,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(GateState::default()))
    }

    /// Waits until the gate is open.
    pub async fn pass(&self) {
        self.0.send_modify(|state| state.reached = true);
        self.until(|state| state.open).await;
    }

    /// Waits until somebody has come to the gate.
    pub async fn reached(&self) {
        self.until(|state| state.reached).await;
    }

    /// Opens the gate for good.
    pub fn open(&self) {
        self.0.send_modify(|state| state.open = true);
    }

    async fn until(&self, condition: impl FnMut(&GateState) -> bool + Send) {
        let mut state = self.0.subscribe();
        state.wait_for(condition).await.expect("the sender lives in self");
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_way_of_delivery_gives_the_same_bytes() {
        let len = 3_000_001;
        let expected = bytes(7, len);
        assert_eq!(expected.len(), len);
        let gate = Gate::new();
        gate.open();
        for body in
            [generated(7, len as u64), odd_chunks(expected.clone()), waits_after(&expected, 1000, gate)]
        {
            assert!(body.collect_up_to(u64::MAX).await.unwrap() == expected);
        }
        assert_eq!(slice(7, 1003..2005), expected.slice(1003..2005));
        assert_ne!(bytes(8, 100), expected.slice(..100));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_gives_what_came_before() {
        let mut body = breaks_after(&bytes(1, 100), 60);
        let mut got = 0;
        let error = loop {
            match body.next().await.unwrap() {
                Ok(chunk) => got += chunk.len(),
                Err(error) => break error,
            }
        };
        assert_eq!(got, 60);
        assert!(error.is_senders_fault());
    }
}
