//! The bytes of a source, as decoders read them.

use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};

use bytes::Bytes;

use crate::thumbnail::render::{Cancelled, RenderTask};

/// Reads a source without copying it, until nobody waits for the thumbnail any more. This ends an abandoned
/// decoding in the middle, whatever the decoder.
pub(in crate::thumbnail::formats) struct SourceReader {
    bytes: Cursor<Bytes>,
    cancelled: Cancelled,
}

/// Bytes handed out between two looks at `cancelled`.
const STRIDE: usize = 64 * 1024;

impl SourceReader {
    pub(in crate::thumbnail::formats) fn new(task: &RenderTask) -> Self {
        Self::over(task.source.clone(), task.cancelled.clone())
    }

    /// Reads some of the bytes.
    pub(in crate::thumbnail::formats) const fn over(bytes: Bytes, cancelled: Cancelled) -> Self {
        Self { bytes: Cursor::new(bytes), cancelled }
    }

    fn check(&self) -> io::Result<()> {
        // Not `Interrupted`, which readers retry.
        if self.cancelled.get() { Err(io::Error::other("nobody waits for this thumbnail")) } else { Ok(()) }
    }
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.bytes.read(buffer)
    }
}

impl BufRead for SourceReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.check()?;
        let rest = self.bytes.fill_buf()?;
        Ok(rest.get(..STRIDE).unwrap_or(rest))
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.consume(amount);
    }
}

impl Seek for SourceReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::thumbnail::ThumbnailPolicy;

    #[test]
    fn reading_ends_when_nobody_waits_any_more() {
        let task = RenderTask {
            source: Bytes::from(vec![7; 3 * STRIDE]),
            specs: Vec::new(),
            policy: Arc::new(ThumbnailPolicy::default()),
            cancelled: Cancelled::default(),
        };
        let mut reader = SourceReader::new(&task);
        let first = reader.fill_buf().unwrap().len();
        assert_eq!(first, STRIDE, "a decoder has to come back for more");
        reader.consume(first);
        task.cancelled.set();
        assert!(reader.fill_buf().is_err());
        assert!(reader.read(&mut [0]).is_err());
    }
}
