//! The first directory of a TIFF, looked over before the decoder believes it.

use std::ops::Range;

/// What the first directory says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) orientation: Option<u8>,
    /// Where in the file the colour profile is.
    pub(super) icc: Option<Range<usize>>,
    compression: u64,
    width: u64,
    tile_width: u64,
    samples: u64,
}

/// Bytes that the decoder keeps for each value of a field, however short it is in the file.
const BYTES_PER_VALUE: u64 = 32;

/// What values may take however short the file is.
const FEW_BYTES: u64 = 1024 * 1024;

impl Directory {
    /// Checks that the values of the fields lie in the file, and that those which the decoder reads do not explode.
    pub(super) fn of(source: &[u8]) -> Result<Self, &'static str> {
        let mut directory = Self { samples: 1, ..Self::default() };
        let mut value_bytes = 0_u64;
        let file = File::of(source).ok_or("file ends in its header")?;
        let (first, count) = file.first_field().ok_or("directory lies outside of the file")?;
        for number in 0..count {
            let at =
                first.checked_add(number.checked_mul(file.field_bytes()).ok_or(OUTSIDE)?).ok_or(OUTSIDE)?;
            let field = file.field(at).ok_or(OUTSIDE)?;
            if DECODED.contains(&field.tag) {
                value_bytes = value_bytes.saturating_add(field.count.saturating_mul(BYTES_PER_VALUE));
            }
            directory.see(&file, &field)?;
        }
        if value_bytes > 4 * source.len() as u64 + FEW_BYTES {
            return Err("directory has more values than the file is worth");
        }
        Ok(directory)
    }

    fn see(&mut self, file: &File<'_>, field: &Field) -> Result<(), &'static str> {
        let value = file.value(field);
        match field.tag {
            tag::COMPRESSION => self.compression = value.unwrap_or(0),
            tag::WIDTH => self.width = value.unwrap_or(0),
            tag::TILE_WIDTH => self.tile_width = value.unwrap_or(0),
            tag::SAMPLES => self.samples = value.unwrap_or(1),
            tag::ORIENTATION => self.orientation = value.and_then(|value| u8::try_from(value).ok()),
            // Damaged metadata is no reason to refuse a picture.
            tag::ICC => self.icc = file.values(field),
            tag if DECODED.contains(&tag) => return file.values(field).map(|_| ()).ok_or(OUTSIDE),
            _ => {}
        }
        Ok(())
    }

    /// Bytes of a row of a strip or tile, where that is wider than the picture.
    pub(super) fn chunk_row_bytes(&self) -> u64 {
        /// No sample is wider.
        const SAMPLE_BYTES: u64 = 8;
        self.width.max(self.tile_width).saturating_mul(self.samples).saturating_mul(SAMPLE_BYTES)
    }

    pub(super) fn is_jpeg(&self) -> bool {
        matches!(self.compression, 6 | 7)
    }
}

const OUTSIDE: &str = "directory points outside of the file";

/// Tags that the decoder reads. Other metadata stays where it is.
const DECODED: Range<u64> = 254..533;

mod tag {
    pub(super) const WIDTH: u64 = 256;
    pub(super) const COMPRESSION: u64 = 259;
    pub(super) const ORIENTATION: u64 = 274;
    pub(super) const SAMPLES: u64 = 277;
    pub(super) const TILE_WIDTH: u64 = 322;
    pub(super) const ICC: u64 = 34_675;
}

struct Field {
    tag: u64,
    kind: u64,
    count: u64,
    /// Where the value is, when it is short; or where its address is.
    at: usize,
}

struct File<'a> {
    bytes: &'a [u8],
    little_endian: bool,
    big: bool,
}

impl<'a> File<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let little_endian = bytes.first()? == &b'I';
        let mut file = Self { bytes, little_endian, big: false };
        file.big = file.number(2, 2)? == 43;
        Some(file)
    }

    fn number(&self, at: usize, len: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(len)?)?;
        let push = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        Some(if self.little_endian { bytes.iter().rev().fold(0, push) } else { bytes.iter().fold(0, push) })
    }

    /// Length of an address or count.
    fn word(&self) -> usize {
        if self.big { 8 } else { 4 }
    }

    fn field_bytes(&self) -> usize {
        4 + 2 * self.word()
    }

    /// Where the first field is, and how many there are.
    fn first_field(&self) -> Option<(usize, usize)> {
        let at = usize::try_from(self.number(if self.big { 8 } else { 4 }, self.word())?).ok()?;
        let len = if self.big { 8 } else { 2 };
        Some((at.checked_add(len)?, usize::try_from(self.number(at, len)?).ok()?))
    }

    fn field(&self, at: usize) -> Option<Field> {
        let (tag, kind) = (self.number(at, 2)?, self.number(at + 2, 2)?);
        let count = self.number(at + 4, self.word())?;
        let at = at + 4 + self.word();
        self.number(at, self.word())?;
        Some(Field { tag, kind, count, at })
    }

    /// Where the values of a field are; `None` when that is outside of the file.
    fn values(&self, field: &Field) -> Option<Range<usize>> {
        let each = match field.kind {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => 1,
        };
        let len = usize::try_from(field.count).ok()?.checked_mul(each)?;
        let at = if len <= self.word() {
            field.at
        } else {
            usize::try_from(self.number(field.at, self.word())?).ok()?
        };
        let range = at..at.checked_add(len)?;
        self.bytes.get(range.clone()).map(|_| range)
    }

    /// The value of a field that has one number.
    fn value(&self, field: &Field) -> Option<u64> {
        let range = self.values(field)?;
        (field.count == 1).then(|| self.number(range.start, range.len())).flatten()
    }
}
