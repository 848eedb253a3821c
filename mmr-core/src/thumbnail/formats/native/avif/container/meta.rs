//! Items of a container: where their data is, their properties, and how they refer to each other.

use std::ops::Range;

use image::metadata::Orientation;

use super::boxes::{Boxes, Reader};
use super::{Coding, Extents};
use crate::types::Size;

/// Items, and what is said about them; phones write some dozens.
const MOST_ITEMS: usize = 4096;

/// Pieces of the data of an item, and properties of one.
const MOST_PER_ITEM: usize = 64;

/// References between items, and properties of all of them.
const MOST_REFERENCES: usize = 16 * MOST_ITEMS;

#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: u32,
    /// How it is coded.
    pub(super) kind: [u8; 4],
}

#[derive(Debug)]
struct Location {
    id: u32,
    in_idat: bool,
    /// Offset and length.
    pieces: Vec<(u64, u64)>,
}

#[derive(Debug)]
struct Reference {
    kind: [u8; 4],
    from: u32,
    to: u32,
}

/// Properties are numbered from one.
#[derive(Debug)]
struct Association {
    id: u32,
    property: usize,
    essential: bool,
}

#[derive(Debug)]
pub(super) struct Meta {
    pub(super) primary: u32,
    items: Vec<Item>,
    locations: Vec<Location>,
    references: Vec<Reference>,
    properties: Vec<([u8; 4], Range<usize>)>,
    associations: Vec<Association>,
    idat: Range<usize>,
}

/// What the properties of an item say.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) size: Option<Size>,
    pub(super) orientation: Orientation,
    pub(super) icc: Option<Range<usize>>,
    pub(super) coding: Option<Coding>,
}

const ENDS: &str = "metadata ends early";
const TOO_MUCH: &str = "metadata has more than any picture needs";

impl Meta {
    pub(super) fn parse(mut body: Reader<'_>) -> Result<Self, &'static str> {
        body.version().ok_or(ENDS)?;
        let boxes = Boxes::new(body);
        let find = |name| boxes.find(name);
        let properties = Boxes::new(find(*b"iprp").ok_or("pictures have no properties")?);
        let mut meta = Self {
            primary: primary(find(*b"pitm").ok_or("no picture is the main one")?).ok_or(ENDS)?,
            items: items(find(*b"iinf").ok_or("there are no items")?)?,
            locations: locations(find(*b"iloc").ok_or("items are nowhere")?)?,
            references: find(*b"iref").map_or(Ok(Vec::new()), references)?,
            properties: Vec::new(),
            associations: Vec::new(),
            idat: find(*b"idat").map_or(0..0, |body| body.rest()),
        };
        let contents = properties.find(*b"ipco").ok_or("pictures have no properties")?;
        for (name, body) in Boxes::new(contents) {
            push(&mut meta.properties, (name, body.rest()), MOST_ITEMS)?;
        }
        for (name, body) in properties {
            if &name == b"ipma" {
                associate(body, &mut meta.associations)?;
            }
        }
        Ok(meta)
    }

    pub(super) fn item(&self, id: u32) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    /// The items that this one refers to.
    pub(super) fn referred(&self, kind: [u8; 4], from: u32) -> impl Iterator<Item = u32> {
        self.references.iter().filter(move |it| it.kind == kind && it.from == from).map(|it| it.to)
    }

    /// The items that refer to this one.
    pub(super) fn referring(&self, kind: [u8; 4], to: u32) -> impl Iterator<Item = u32> {
        self.references.iter().filter(move |it| it.kind == kind && it.to == to).map(|it| it.from)
    }

    fn properties_of(&self, id: u32) -> impl Iterator<Item = (&[u8; 4], Range<usize>, bool)> {
        self.associations.iter().filter(move |it| it.id == id).filter_map(|it| {
            let (name, range) = self.properties.get(it.property.checked_sub(1)?)?;
            Some((name, range.clone(), it.essential))
        })
    }

    /// Where the data of an item is. Never longer than the source altogether.
    pub(super) fn extents(&self, source: &[u8], id: u32) -> Result<Extents, &'static str> {
        let location = self.locations.iter().find(|it| it.id == id).ok_or("item is nowhere")?;
        let within = if location.in_idat { self.idat.clone() } else { 0..source.len() };
        let mut left = within.len();
        let mut extents = Vec::with_capacity(location.pieces.len());
        for &(offset, len) in &location.pieces {
            let start = usize::try_from(offset).ok().and_then(|offset| within.start.checked_add(offset));
            let start = start.filter(|&start| start <= within.end).ok_or(OUTSIDE)?;
            let len =
                if len == 0 { within.end - start } else { usize::try_from(len).map_err(|_| OUTSIDE)? };
            let end = start.checked_add(len).filter(|&end| end <= within.end).ok_or(OUTSIDE)?;
            left = left.checked_sub(len).ok_or("pieces of an item overlap")?;
            extents.push(start..end);
        }
        if extents.is_empty() { Err("item is empty") } else { Ok(extents) }
    }

    pub(super) fn is_alpha(&self, id: u32, source: &[u8]) -> bool {
        const NAMES: [&[u8]; 2] =
            [b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0", b"urn:mpeg:hevc:2015:auxid:1\0"];
        self.properties_of(id).any(|(name, range, _)| {
            let body = source.get(range).and_then(|body| body.get(4..)).unwrap_or_default();
            name == b"auxC" && NAMES.iter().any(|name| body.starts_with(name))
        })
    }

    /// Reads the properties of an item. One that must be understood, and is not, is an error.
    pub(super) fn seen(&self, source: &[u8], id: u32) -> Result<Seen, &'static str> {
        let mut seen = Seen { size: None, orientation: Orientation::NoTransforms, icc: None, coding: None };
        let (mut quarters, mut mirror) = (0, None);
        for (name, range, essential) in self.properties_of(id) {
            let mut body = Reader::new(source, range);
            match name {
                b"ispe" => {
                    body.version().ok_or(ENDS)?;
                    seen.size = Some(Size::new(body.long().ok_or(ENDS)?, body.long().ok_or(ENDS)?));
                }
                b"irot" => quarters = body.byte().ok_or(ENDS)? & 3,
                b"imir" => mirror = Some(body.byte().ok_or(ENDS)? & 1),
                b"colr" => color(&mut body, &mut seen).ok_or(ENDS)?,
                b"a1op" if body.byte() == Some(0) => {}
                b"lsel" if body.short() == Some(0xFFFF) => {}
                // Whatever is cut away is shown: a thumbnail of a little too much is better than none.
                b"av1C" | b"auxC" | b"clap" | b"pasp" | b"pixi" => {}
                _ if essential => return Err("picture has a property that is not understood"),
                _ => {}
            }
        }
        seen.orientation = orientation(quarters, mirror);
        Ok(seen)
    }
}

const OUTSIDE: &str = "item lies outside of the file";

fn push<T>(all: &mut Vec<T>, one: T, most: usize) -> Result<(), &'static str> {
    if all.len() >= most {
        return Err(TOO_MUCH);
    }
    all.push(one);
    Ok(())
}

fn primary(mut body: Reader<'_>) -> Option<u32> {
    let (version, _) = body.version()?;
    body.id(version > 0)
}

fn items(mut body: Reader<'_>) -> Result<Vec<Item>, &'static str> {
    let (version, _) = body.version().ok_or(ENDS)?;
    body.id(version > 0).ok_or(ENDS)?;
    let mut items = Vec::new();
    for (name, mut entry) in Boxes::new(body) {
        let (version, _) = entry.version().ok_or(ENDS)?;
        // Older versions have no kind.
        if &name != b"infe" || version < 2 {
            continue;
        }
        let id = entry.id(version > 2).ok_or(ENDS)?;
        let protected = entry.short().ok_or(ENDS)?;
        let kind = entry.name().ok_or(ENDS)?;
        if protected == 0 {
            push(&mut items, Item { id, kind }, MOST_ITEMS)?;
        }
    }
    Ok(items)
}

fn locations(mut body: Reader<'_>) -> Result<Vec<Location>, &'static str> {
    let (version, _) = body.version().ok_or(ENDS)?;
    if version > 2 {
        return Err("items are found in a way that is not understood");
    }
    let sizes = body.short().ok_or(ENDS)?;
    let [offset_len, len_len, base_len, index_len] =
        [12, 8, 4, 0].map(|shift| usize::from(sizes >> shift & 15));
    let index_len = if version > 0 { index_len } else { 0 };
    if [offset_len, len_len, base_len, index_len].iter().any(|len| !matches!(len, 0 | 4 | 8)) {
        return Err("numbers are of no known length");
    }
    let count = body.id(version > 1).ok_or(ENDS)?;
    let mut locations = Vec::new();
    for _ in 0..count {
        let id = body.id(version > 1).ok_or(ENDS)?;
        let method = if version > 0 { body.short().ok_or(ENDS)? & 15 } else { 0 };
        let file = body.short().ok_or(ENDS)?;
        let base = body.number(base_len).ok_or(ENDS)?;
        let count = usize::from(body.short().ok_or(ENDS)?);
        if count > MOST_PER_ITEM {
            return Err(TOO_MUCH);
        }
        let mut pieces = Vec::new();
        for _ in 0..count {
            body.number(index_len).ok_or(ENDS)?;
            let offset = body.number(offset_len).ok_or(ENDS)?;
            let offset = base.checked_add(offset).ok_or(OUTSIDE)?;
            pieces.push((offset, body.number(len_len).ok_or(ENDS)?));
        }
        // Items in other files, or made of other items, are left out.
        if file == 0 && method < 2 {
            push(&mut locations, Location { id, in_idat: method == 1, pieces }, MOST_ITEMS)?;
        }
    }
    Ok(locations)
}

fn references(mut body: Reader<'_>) -> Result<Vec<Reference>, &'static str> {
    let (version, _) = body.version().ok_or(ENDS)?;
    let mut references = Vec::new();
    for (kind, mut body) in Boxes::new(body) {
        let from = body.id(version > 0).ok_or(ENDS)?;
        for _ in 0..body.short().ok_or(ENDS)? {
            let to = body.id(version > 0).ok_or(ENDS)?;
            push(&mut references, Reference { kind, from, to }, MOST_REFERENCES)?;
        }
    }
    Ok(references)
}

fn associate(mut body: Reader<'_>, associations: &mut Vec<Association>) -> Result<(), &'static str> {
    let (version, flags) = body.version().ok_or(ENDS)?;
    for _ in 0..body.long().ok_or(ENDS)? {
        let id = body.id(version > 0).ok_or(ENDS)?;
        for _ in 0..body.byte().ok_or(ENDS)? {
            let (property, essential) = if flags & 1 == 0 {
                let both = body.byte().ok_or(ENDS)?;
                (usize::from(both & 0x7F), both & 0x80 != 0)
            } else {
                let both = body.short().ok_or(ENDS)?;
                (usize::from(both & 0x7FFF), both & 0x8000 != 0)
            };
            push(associations, Association { id, property, essential }, MOST_REFERENCES)?;
        }
    }
    Ok(())
}

fn color(body: &mut Reader<'_>, seen: &mut Seen) -> Option<()> {
    match &body.name()? {
        b"nclx" => {
            body.take(4)?;
            let matrix = body.short()?;
            let full_range = body.byte()? & 0x80 != 0;
            seen.coding = Some(Coding { matrix, full_range });
        }
        b"prof" | b"rICC" => seen.icc = Some(body.rest()),
        _ => {}
    }
    Some(())
}

/// Quarters are turned against the clock, then sides are exchanged: of top and bottom, or of left and right.
fn orientation(quarters: u8, mirror: Option<u8>) -> Orientation {
    use Orientation::{
        FlipHorizontal, FlipVertical, NoTransforms, Rotate90, Rotate90FlipH, Rotate180, Rotate270,
        Rotate270FlipH,
    };
    let [none, one, two, three] = match mirror {
        None => [NoTransforms, Rotate270, Rotate180, Rotate90],
        Some(0) => [FlipVertical, Rotate90FlipH, FlipHorizontal, Rotate270FlipH],
        Some(_) => [FlipHorizontal, Rotate270FlipH, FlipVertical, Rotate90FlipH],
    };
    match quarters {
        0 => none,
        1 => one,
        2 => two,
        _ => three,
    }
}
