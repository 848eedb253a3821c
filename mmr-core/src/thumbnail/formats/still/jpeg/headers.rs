//! Markers and tables before the data of a picture.

use super::huffman::Code;
use crate::types::Size;

/// Why a file is left to another decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) &'static str);

/// A picture of one scan, and where its data begins.
#[derive(Debug)]
pub(super) struct Headers<'a> {
    pub(super) size: Size,
    /// One of grey pictures; else luma, and blue and red of which each pixel or group of them has one sample.
    pub(super) components: Vec<Component>,
    pub(super) tables: Tables,
    /// How many units are between restarts.
    pub(super) restart_interval: Option<u32>,
    pub(super) scan: &'a [u8],
}

/// A channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Component {
    id: u8,
    /// Blocks of it in a unit.
    pub(super) across: u32,
    pub(super) down: u32,
    /// Which tables it has.
    pub(super) factors: u8,
    pub(super) averages: u8,
    pub(super) runs: u8,
}

impl Component {
    pub(super) fn has_tables_of(&self, other: &Self) -> bool {
        (self.factors, self.averages, self.runs) == (other.factors, other.averages, other.runs)
    }
}

/// As they were last defined.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    /// In the order of coefficients.
    factors: [Option<[u16; 64]>; 4],
    averages: [Option<Code>; 4],
    runs: [Option<Code>; 4],
}

impl Tables {
    pub(super) fn factors(&self, of: &Component) -> Result<&[u16; 64], Refused> {
        Self::get(&self.factors, of.factors)
    }

    pub(super) fn averages(&self, of: &Component) -> Result<&Code, Refused> {
        Self::get(&self.averages, of.averages)
    }

    pub(super) fn runs(&self, of: &Component) -> Result<&Code, Refused> {
        Self::get(&self.runs, of.runs)
    }

    fn get<T>(tables: &[Option<T>; 4], index: u8) -> Result<&T, Refused> {
        tables.get(usize::from(index)).and_then(Option::as_ref).ok_or(Refused("missing table"))
    }
}

/// What is known of the colours before the frame is.
#[derive(Debug, Default)]
struct Hints {
    jfif: bool,
    /// The transform that Adobe's segment names.
    adobe: Option<u8>,
}

const START: u8 = 0xD8;
pub(super) const END: u8 = 0xD9;
pub(super) const FIRST_RESTART: u8 = 0xD0;

impl<'a> Headers<'a> {
    /// Reads up to the data of the scan.
    pub(super) fn read(source: &'a [u8]) -> Result<Self, Refused> {
        let Some(([0xFF, START], mut rest)) = source.split_first_chunk() else {
            return Err(Refused("not a JPEG"));
        };
        let (mut tables, mut hints) = (Tables::default(), Hints::default());
        let (mut frame, mut restart_interval) = (None, None);
        loop {
            let (marker, segment, after) = segment(rest)?;
            rest = after;
            match marker {
                0xC0 | 0xC1 if frame.is_none() => frame = Some(read_frame(segment)?),
                0xC4 => tables.read_codes(segment)?,
                0xDA => {
                    let (size, mut components) = frame.ok_or(Refused("scan without a frame"))?;
                    read_scan(segment, &mut components)?;
                    check_colours(&components, &hints)?;
                    return Ok(Self { size, components, tables, restart_interval, scan: rest });
                }
                0xDB => tables.read_factors(segment)?,
                0xDD => {
                    let &[high, low] = segment else { return Err(Refused("restart interval")) };
                    let interval = u32::from(u16::from_be_bytes([high, low]));
                    restart_interval = (interval > 0).then_some(interval);
                }
                0xE0 => hints.jfif |= segment.starts_with(b"JFIF\0"),
                0xEE if segment.starts_with(b"Adobe") => hints.adobe = segment.get(11).copied(),
                0xE1..=0xEF | 0xFE => {}
                _ => return Err(Refused("progressive, or otherwise unusual")),
            }
        }
    }
}

/// A marker, its segment, and what follows.
fn segment(rest: &[u8]) -> Result<(u8, &[u8], &[u8]), Refused> {
    let cut = || Refused("cut in its headers");
    let fill = rest.iter().take_while(|&&byte| byte == 0xFF).count();
    let Some(&[marker, high, low, ref rest @ ..]) = rest.get(fill..).filter(|_| fill > 0) else {
        return Err(cut());
    };
    let length = usize::from(u16::from_be_bytes([high, low])).checked_sub(2).ok_or_else(cut)?;
    let (segment, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
    Ok((marker, segment, rest))
}

fn read_frame(segment: &[u8]) -> Result<(Size, Vec<Component>), Refused> {
    let &[8, top, bottom, left, right, count @ (1 | 3), ref rest @ ..] = segment else {
        return Err(Refused("samples or components"));
    };
    let number = |high, low| u32::from(u16::from_be_bytes([high, low]));
    let size = Size::new(number(left, right), number(top, bottom));
    let (components, []) = rest.as_chunks::<3>() else { return Err(Refused("frame")) };
    if size.area() == 0 || components.len() != usize::from(count) {
        return Err(Refused("frame"));
    }
    let component = |&[id, sampling, factors]: &[u8; 3]| {
        let (across, down) = (u32::from(sampling >> 4), u32::from(sampling & 15));
        Component { id, across, down, factors, averages: 0, runs: 0 }
    };
    let mut components: Vec<Component> = components.iter().map(component).collect();
    match &mut components[..] {
        // The only component of a scan has no units larger than its blocks.
        [grey] if (1..=4).contains(&grey.across) && (1..=4).contains(&grey.down) => {
            (grey.across, grey.down) = (1, 1);
        }
        [luma, blue, red]
            if [luma.across, luma.down].iter().all(|side| [1, 2, 4].contains(side))
                && luma.across * luma.down <= 8
                && [blue.across, blue.down, red.across, red.down] == [1; 4] => {}
        _ => return Err(Refused("sampling")),
    }
    Ok((size, components))
}

/// All components, in the order of the frame.
fn read_scan(segment: &[u8], components: &mut [Component]) -> Result<(), Refused> {
    let Some((&[0, 63, 0], [count, selectors @ ..])) =
        segment.split_last_chunk().map(|(rest, last)| (last, rest))
    else {
        return Err(Refused("scan"));
    };
    let (selectors, []) = selectors.as_chunks::<2>() else { return Err(Refused("scan")) };
    if usize::from(*count) != components.len() || selectors.len() != components.len() {
        return Err(Refused("several scans"));
    }
    for (component, &[id, tables]) in components.iter_mut().zip(selectors) {
        if component.id != id {
            return Err(Refused("order of components"));
        }
        (component.averages, component.runs) = (tables >> 4, tables & 15);
    }
    Ok(())
}

/// Refuses what is not surely luma and chroma.
fn check_colours(components: &[Component], hints: &Hints) -> Result<(), Refused> {
    let &[one, two, three] = components else { return Ok(()) };
    let ids = [one.id, two.id, three.id];
    let distinct = one.id != two.id && two.id != three.id && one.id != three.id;
    let luma_and_chroma = match hints.adobe {
        Some(transform) => transform == 1,
        None => hints.jfif || ids != *b"RGB",
    };
    if distinct && luma_and_chroma { Ok(()) } else { Err(Refused("colours")) }
}

impl Tables {
    fn read_factors(&mut self, mut segment: &[u8]) -> Result<(), Refused> {
        while let [head, rest @ ..] = segment {
            let table = self.factors.get_mut(usize::from(head & 15)).ok_or(Refused("factors"))?;
            let (factors, rest) = match head >> 4 {
                0 => rest.split_first_chunk::<64>().map(|(factors, rest)| (factors.map(u16::from), rest)),
                1 => rest.split_first_chunk::<128>().map(|(factors, rest)| {
                    let pairs = factors.as_chunks::<2>().0;
                    (std::array::from_fn(|index| u16::from_be_bytes(pairs[index])), rest)
                }),
                _ => None,
            }
            .ok_or(Refused("factors"))?;
            *table = Some(factors);
            segment = rest;
        }
        Ok(())
    }

    fn read_codes(&mut self, mut segment: &[u8]) -> Result<(), Refused> {
        while let [head, rest @ ..] = segment {
            let tables = match head >> 4 {
                0 => &mut self.averages,
                1 => &mut self.runs,
                _ => return Err(Refused("codes")),
            };
            let table = tables.get_mut(usize::from(head & 15)).ok_or(Refused("codes"))?;
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(Refused("codes"))?;
            let count = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(count).ok_or(Refused("codes"))?;
            *table = Some(Code::new(counts, symbols)?);
            segment = rest;
        }
        Ok(())
    }
}
