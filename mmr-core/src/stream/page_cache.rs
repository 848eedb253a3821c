//! Reading without ever waiting for a disk.

use std::fs::File;

/// Number of bytes read at `offset`, of those that lie in the page cache. Whatever goes wrong here means that a blocking
/// thread has to try, and to tell what is wrong.
#[cfg(target_os = "linux")]
pub(crate) fn read(file: &File, buffer: &mut [u8], offset: u64) -> usize {
    use rustix::io::{ReadWriteFlags, preadv2};

    let buffers = &mut [std::io::IoSliceMut::new(buffer)];
    preadv2(file, buffers, offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn read(_: &File, _: &mut [u8], _: u64) -> usize {
    0
}
