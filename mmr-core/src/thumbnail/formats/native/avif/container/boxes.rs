//! Boxes, and numbers in them.

use std::ops::Range;

/// Reads numbers from a part of the source.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    source: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// `range` is cut where the source ends.
    pub(super) fn new(source: &'a [u8], range: Range<usize>) -> Self {
        let end = range.end.min(source.len());
        Self { source, at: range.start.min(end), end }
    }

    pub(super) fn rest(&self) -> Range<usize> {
        self.at..self.end
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.end)?;
        let taken = self.source.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// A number of up to eight bytes; zero when it has none.
    pub(super) fn number(&mut self, len: usize) -> Option<u64> {
        let bytes = self.take(len)?;
        Some(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn short(&mut self) -> Option<u16> {
        u16::try_from(self.number(2)?).ok()
    }

    pub(super) fn long(&mut self) -> Option<u32> {
        u32::try_from(self.number(4)?).ok()
    }

    pub(super) fn name(&mut self) -> Option<[u8; 4]> {
        self.take(4)?.try_into().ok()
    }

    /// Version and flags, with which many boxes begin.
    pub(super) fn version(&mut self) -> Option<(u8, u32)> {
        let both = self.long()?;
        Some((u8::try_from(both >> 24).ok()?, both & 0x00FF_FFFF))
    }

    /// The number of an item, or of items.
    pub(super) fn id(&mut self, wide: bool) -> Option<u32> {
        if wide { self.long() } else { self.short().map(u32::from) }
    }
}

/// The boxes in a part of the source. They end where one does not fit.
#[derive(Clone, Debug)]
pub(super) struct Boxes<'a>(Reader<'a>);

impl<'a> Boxes<'a> {
    pub(super) fn of_file(source: &'a [u8]) -> Self {
        Self(Reader::new(source, 0..source.len()))
    }

    pub(super) fn new(reader: Reader<'a>) -> Self {
        Self(reader)
    }

    /// What is in the first box of that name.
    pub(super) fn find(&self, name: [u8; 4]) -> Option<Reader<'a>> {
        self.clone().find_map(|(found, body)| (found == name).then_some(body))
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = ([u8; 4], Reader<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let Self(reader) = self;
        let start = reader.at;
        let len = reader.number(4)?;
        let name = reader.name()?;
        let end = match len {
            0 => reader.end,
            1 => start.checked_add(usize::try_from(reader.number(8)?).ok()?)?,
            len => start.checked_add(usize::try_from(len).ok()?)?,
        };
        if end < reader.at || end > reader.end {
            return None;
        }
        let body = Reader { source: reader.source, at: reader.at, end };
        reader.at = end;
        Some((name, body))
    }
}
