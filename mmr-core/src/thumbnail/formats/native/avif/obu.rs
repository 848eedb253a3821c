//! What an AV1 codestream says before it is decoded (AV1 bitstream specification, sections 5.3 and 5.5).

/// Frames of a picture: more than one when it comes in layers.
const MOST_FRAMES: u64 = 4;

/// The codestream of a picture or tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) sequence: Sequence,
    /// At least one.
    pub(super) frames: u64,
}

/// The sequence header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) bits: u8,
    pub(super) chroma: Chroma,
    /// As in ITU-T H.273; 2 where it is not said.
    pub(super) matrix: u16,
    pub(super) full_range: bool,
}

/// How many columns and rows share a sample of chroma, as powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chroma {
    None,
    Shared { columns: u32, rows: u32 },
}

impl Sequence {
    /// Bytes of a sample in memory.
    pub(super) fn sample_bytes(&self) -> u64 {
        if self.bits > 8 { 2 } else { 1 }
    }

    /// Samples of a pair of rows, two pixels wide.
    pub(super) fn samples_of_four(&self) -> u64 {
        match self.chroma {
            Chroma::None => 4,
            Chroma::Shared { columns, rows } => 4 + (8 >> columns >> rows),
        }
    }
}

impl Stream {
    /// Looks through a codestream. All its sequence headers have to agree, so that the decoder follows none that was not
    /// seen.
    pub(super) fn of(data: &[u8]) -> Result<Self, &'static str> {
        let (mut sequence, mut frames) = (None, 0);
        let mut rest = data;
        while !rest.is_empty() {
            let (kind, body) = next(&mut rest).ok_or("codestream ends early")?;
            match kind {
                SEQUENCE => {
                    let found = Bits { bytes: body, at: 0 }.sequence().ok_or("sequence header is damaged")?;
                    if *sequence.get_or_insert(found) != found {
                        return Err("sequence headers contradict each other");
                    }
                }
                FRAME_HEADER | FRAME => frames += 1,
                _ => {}
            }
        }
        match sequence {
            Some(sequence) if (1..=MOST_FRAMES).contains(&frames) => Ok(Self { sequence, frames }),
            Some(_) => Err("codestream has no frame, or too many"),
            None => Err("codestream has no sequence header"),
        }
    }
}

const SEQUENCE: u8 = 1;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;

/// Takes one unit: its kind and content.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&header, mut after) = rest.split_first()?;
    if header & 4 != 0 {
        after = after.get(1..)?;
    }
    let len = if header & 2 == 0 { after.len() } else { leb128(&mut after)? };
    let (body, after) = after.split_at_checked(len)?;
    *rest = after;
    Some((header >> 3 & 15, body))
}

fn leb128(rest: &mut &[u8]) -> Option<usize> {
    let mut number = 0_u64;
    for place in 0..8 {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return usize::try_from(number).ok();
        }
    }
    None
}

/// Reads from the highest bit of each byte down.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn sequence(&mut self) -> Option<Sequence> {
        let profile = self.take(3)?;
        self.take(1)?;
        let reduced = self.flag()?;
        if reduced {
            self.take(5)?;
        } else {
            self.operating_points()?;
        }
        let (width_bits, height_bits) = (self.take(4)? + 1, self.take(4)? + 1);
        self.take(width_bits)?;
        self.take(height_bits)?;
        if !reduced && self.flag()? {
            self.take(4 + 3)?;
        }
        // Sizes of blocks, and two filters.
        self.take(3)?;
        if !reduced {
            self.tools()?;
        }
        self.take(3)?;
        self.color(profile)
    }

    fn operating_points(&mut self) -> Option<()> {
        let mut delay_bits = None;
        if self.flag()? {
            self.take(32)?;
            self.take(32)?;
            if self.flag()? {
                self.skip_vlc()?;
            }
            if self.flag()? {
                delay_bits = Some(self.take(5)? + 1);
                self.take(32)?;
                self.take(5 + 5)?;
            }
        }
        let display_delay = self.flag()?;
        for _ in 0..=self.take(5)? {
            self.take(12)?;
            let level = self.take(5)?;
            if level > 7 {
                self.flag()?;
            }
            if let Some(bits) = delay_bits
                && self.flag()?
            {
                self.take(bits)?;
                self.take(bits)?;
                self.flag()?;
            }
            if display_delay && self.flag()? {
                self.take(4)?;
            }
        }
        Some(())
    }

    fn tools(&mut self) -> Option<()> {
        self.take(4)?;
        let order = self.flag()?;
        if order {
            self.take(2)?;
        }
        let screen_content = self.flag()? || self.flag()?;
        if screen_content && !self.flag()? {
            self.flag()?;
        }
        if order {
            self.take(3)?;
        }
        Some(())
    }

    fn color(&mut self, profile: u32) -> Option<Sequence> {
        const SRGB_AS_IT_IS: [u32; 3] = [1, 13, 0];
        let (high, professional) = (profile == 1, profile == 2);
        let bits = match self.flag()? {
            false => 8,
            true if professional && self.flag()? => 12,
            true => 10,
        };
        let grey = !high && self.flag()?;
        let described = if self.flag()? { [self.take(8)?, self.take(8)?, self.take(8)?] } else { [2, 2, 2] };
        let matrix = u16::try_from(described[2]).ok()?;
        let whole = Chroma::Shared { columns: 0, rows: 0 };
        if grey {
            return Some(Sequence { bits, chroma: Chroma::None, matrix, full_range: self.flag()? });
        }
        if described == SRGB_AS_IT_IS {
            return Some(Sequence { bits, chroma: whole, matrix, full_range: true });
        }
        let full_range = self.flag()?;
        let chroma = match profile {
            0 => Chroma::Shared { columns: 1, rows: 1 },
            1 => whole,
            2 if bits < 12 => Chroma::Shared { columns: 1, rows: 0 },
            2 if !self.flag()? => whole,
            2 => Chroma::Shared { columns: 1, rows: self.take(1)? },
            _ => return None,
        };
        Some(Sequence { bits, chroma, matrix, full_range })
    }

    fn skip_vlc(&mut self) -> Option<()> {
        for zeros in 0..32 {
            if self.flag()? {
                return self.take(zeros).map(drop);
            }
        }
        Some(())
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    /// Up to 32 bits.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut taken = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            taken = taken << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests;
