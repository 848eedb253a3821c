//! Buffers that files are read into, used again and again.
//!
//! A chunk is filled on one thread and dropped on another, thousands of times a second. Fresh memory for each would cost a
//! page fault per page, and allocators keep what one thread frees for another thread to use: with 64 downloads the process
//! took ten times the memory that was in use at any moment.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Capacity of a buffer in bytes.
pub(super) const LEN: usize = 128 * 1024;
/// Buffers kept for later: 4 MiB.
const KEPT: usize = 32;

static FREE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Bytes read from a file; goes back to the others when it is dropped.
pub(super) struct Buffer(pub(super) Vec<u8>);

impl Buffer {
    /// An empty buffer with room for `len` bytes. Small ones are not worth keeping.
    pub(super) fn for_len(len: u64) -> Self {
        let len = usize::try_from(len).unwrap_or(LEN).min(LEN);
        if len <= LEN / 2 {
            return Self(Vec::with_capacity(len));
        }
        let kept = free().pop();
        Self(kept.unwrap_or_else(|| Vec::with_capacity(LEN)))
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.0);
        let mut free = free();
        if buffer.capacity() == LEN && free.len() < KEPT {
            buffer.clear();
            free.push(buffer);
        }
    }
}

fn free() -> MutexGuard<'static, Vec<Vec<u8>>> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}
