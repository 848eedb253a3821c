//! The beginning of a JPEG XL file, read without the decoder, which would decompress a colour profile on the way.

use crate::types::Size;

/// The first bytes of a bare codestream.
pub(super) const CODESTREAM: [u8; 2] = [0xFF, 0x0A];

/// The first box of a container.
pub(super) const CONTAINER: [u8; 12] = *b"\0\0\0\x0CJXL \r\n\x87\n";

/// A header is no longer, whatever it has.
const MOST_BYTES: usize = 16 * 1024;

/// What the codestream says first (ISO/IEC 18181-1, annex D).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CodestreamHeader {
    stored: Size,
    /// As in EXIF, 1 to 8.
    orientation: u32,
    pub(super) animated: bool,
    /// Alpha among them.
    pub(super) extra_channels: u32,
    /// Whether a compressed colour profile follows.
    pub(super) has_profile: bool,
}

impl CodestreamHeader {
    pub(super) fn of(source: &[u8]) -> Result<Self, &'static str> {
        let codestream = beginning(source);
        let header = codestream.strip_prefix(&CODESTREAM).ok_or("codestream has no signature")?;
        Bits { bytes: header, at: 0 }.header().ok_or("header ends early, or has what it may not have")
    }

    /// Width and height as shown.
    pub(super) fn upright(&self) -> Size {
        if self.orientation > 4 { self.stored.transposed() } else { self.stored }
    }
}

/// The first bytes of the codestream, which a container may keep in parts.
fn beginning(source: &[u8]) -> Vec<u8> {
    if !source.starts_with(&CONTAINER) {
        return source.iter().take(MOST_BYTES).copied().collect();
    }
    let mut codestream = Vec::new();
    let mut boxes = source;
    while let Some((name, body, rest)) = next_box(boxes) {
        let part = match name {
            b"jxlc" => body,
            b"jxlp" => body.get(4..).unwrap_or_default(),
            _ => &[],
        };
        codestream.extend(part.iter().take(MOST_BYTES - codestream.len()));
        boxes = rest;
        if codestream.len() >= MOST_BYTES {
            break;
        }
    }
    codestream
}

/// Name and content of a box, and what follows it. A file that is cut has a part of its last box.
fn next_box(boxes: &[u8]) -> Option<(&[u8; 4], &[u8], &[u8])> {
    let (len, rest) = boxes.split_first_chunk::<4>()?;
    let (name, body) = rest.split_first_chunk::<4>()?;
    let (header, len) = match u32::from_be_bytes(*len) {
        0 => (8, boxes.len()),
        1 => (16, usize::try_from(u64::from_be_bytes(*body.first_chunk()?)).ok()?),
        len => (8, usize::try_from(len).ok()?),
    };
    let end = len.min(boxes.len());
    Some((name, boxes.get(header..end)?, boxes.get(end..)?))
}

/// Reads from the lowest bit of each byte up.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A number is one of four kinds: so many bits, and what to add.
type Kinds = [(u32, u32); 4];

impl Bits<'_> {
    fn header(&mut self) -> Option<CodestreamHeader> {
        const EXTRA_CHANNELS: Kinds = [(0, 0), (0, 1), (4, 2), (12, 1)];
        let stored = self.size()?;
        let mut header = CodestreamHeader {
            stored,
            orientation: 1,
            animated: false,
            extra_channels: 0,
            has_profile: false,
        };
        if self.flag()? {
            return Some(header);
        }
        if self.flag()? {
            header.orientation = 1 + self.take(3)?;
            if self.flag()? {
                self.size()?;
            }
            if self.flag()? {
                self.preview()?;
            }
            header.animated = self.flag()?;
            if header.animated {
                self.animation()?;
            }
        }
        self.depth()?;
        self.flag()?;
        header.extra_channels = self.number(EXTRA_CHANNELS)?;
        for _ in 0..header.extra_channels {
            self.extra_channel()?;
        }
        self.flag()?;
        header.has_profile = !self.flag()? && self.flag()?;
        Some(header)
    }

    fn size(&mut self) -> Option<Size> {
        const SIDE: Kinds = [(9, 1), (13, 1), (18, 1), (30, 1)];
        let eighths = self.flag()?;
        let side = |bits: &mut Self| if eighths { Some(8 * (bits.take(5)? + 1)) } else { bits.number(SIDE) };
        let height = side(self)?;
        let width = match self.take(3)? {
            0 => side(self)?,
            ratio => by_ratio(height, ratio)?,
        };
        Some(Size::new(width, height))
    }

    fn preview(&mut self) -> Option<Size> {
        const SIDE: Kinds = [(6, 1), (8, 65), (10, 321), (12, 1345)];
        const EIGHTHS: Kinds = [(0, 16), (0, 32), (5, 1), (9, 33)];
        let eighths = self.flag()?;
        let height = if eighths { 8 * self.number(EIGHTHS)? } else { self.number(SIDE)? };
        let ratio = self.take(3)?;
        // Unlike elsewhere, the width in eighths is there even where the ratio makes it needless.
        let width = match (eighths, ratio) {
            (true, _) => 8 * self.number(EIGHTHS)?,
            (false, 0) => self.number(SIDE)?,
            (false, ratio) => by_ratio(height, ratio)?,
        };
        Some(Size::new(width, height))
    }

    fn animation(&mut self) -> Option<()> {
        self.number([(0, 100), (0, 1000), (10, 1), (30, 1)])?;
        self.number([(0, 1), (0, 1001), (8, 1), (10, 1)])?;
        self.number([(0, 0), (3, 0), (16, 0), (32, 0)])?;
        self.flag().map(drop)
    }

    fn depth(&mut self) -> Option<()> {
        let float = self.flag()?;
        if float {
            self.number([(0, 32), (0, 16), (0, 24), (6, 1)])?;
            self.take(4)?;
        } else {
            self.number([(0, 8), (0, 10), (0, 12), (6, 1)])?;
        }
        Some(())
    }

    fn extra_channel(&mut self) -> Option<()> {
        const KIND: Kinds = [(0, 0), (0, 1), (4, 2), (6, 18)];
        if self.flag()? {
            return Some(());
        }
        let kind = self.number(KIND)?;
        self.depth()?;
        self.number([(0, 0), (0, 3), (0, 4), (3, 1)])?;
        for _ in 0..self.number([(0, 0), (4, 0), (5, 16), (10, 48)])? {
            self.take(8)?;
        }
        match kind {
            // Alpha, a spot colour, and a colour filter have more to say.
            0 => self.flag().map(drop),
            2 => self.take(32).and(self.take(32)).map(drop),
            5 => self.number([(0, 1), (2, 0), (4, 3), (8, 19)]).map(drop),
            _ => Some(()),
        }
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    fn number(&mut self, kinds: Kinds) -> Option<u32> {
        let (bits, more) = *kinds.get(self.take(2)? as usize)?;
        self.take(bits)?.checked_add(more)
    }

    /// Up to 32 bits.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut taken = 0;
        for bit in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            taken |= u32::from(byte >> (self.at % 8) & 1) << bit;
            self.at += 1;
        }
        Some(taken)
    }
}

fn by_ratio(height: u32, ratio: u32) -> Option<u32> {
    let (numerator, denominator) = [(1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1)]
        .get(usize::try_from(ratio).ok()?.checked_sub(1)?)
        .copied()?;
    u32::try_from(u64::from(height) * numerator / denominator).ok()
}
