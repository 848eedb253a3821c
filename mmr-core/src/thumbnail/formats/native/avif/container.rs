//! The container of an AVIF (ISO/IEC 23008-12, of 14496-12): which bytes are the picture, and what is said about it.
//!
//! Everything is found by its place in the source and nothing is copied. Counts are bounded by the bytes that they
//! count, or by the constants here.

mod boxes;
mod meta;

use std::ops::Range;

use image::metadata::Orientation;

use self::boxes::Boxes;
use self::meta::{Item, Meta};
use crate::thumbnail::brands::{Brands, HEVC};
use crate::types::Size;

/// Auxiliary pictures that are looked at for an alpha channel.
const MOST_AUXILIARY: usize = 16;

/// Tiles of a grid; the largest that phones write has 48.
const MOST_TILES: usize = 1024;

/// A grid is described in no more.
const GRID_BYTES: usize = 12;

/// What the container says about its picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::thumbnail::formats::native) struct Container {
    /// Width and height as stored, before `orientation`.
    pub(super) size: Size,
    pub(super) orientation: Orientation,
    pub(super) color: Picture,
    /// As large as `color`, of luma only.
    pub(super) alpha: Option<Picture>,
    /// Whether colours are already multiplied by alpha.
    pub(super) premultiplied: bool,
    /// Where the colour profile is.
    pub(super) icc: Option<Range<usize>>,
    /// How colours are coded; overrules the codestream.
    pub(super) coding: Option<Coding>,
    /// Whether the file is an animation too.
    pub(super) animated: bool,
}

/// A picture, whole or of tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) size: Size,
    /// Tiles of a row.
    pub(super) columns: usize,
    /// Size of each tile; together they may be larger than the picture.
    pub(super) tile: Size,
    /// Row by row; at least one.
    pub(super) tiles: Vec<Extents>,
}

/// The pieces that make up a codestream, in their order.
pub(super) type Extents = Vec<Range<usize>>;

/// Coefficients and range of luma and chroma (ITU-T H.273).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coding {
    pub(super) matrix: u16,
    pub(super) full_range: bool,
}

/// Whether these bytes begin like AVIF, and not like other pictures in the same container.
pub(super) fn is(source: &[u8]) -> bool {
    let Some(brands) = Brands::of(source) else { return false };
    // Pictures of all kinds name the brand of all pictures.
    brands.has(&[b"avif", b"avis"]) || (brands.major == b"mif1" && !brands.has(&HEVC))
}

/// Reads the container.
pub(in crate::thumbnail::formats::native) fn parse(source: &[u8]) -> Result<Container, &'static str> {
    let body = Boxes::of_file(source).find(*b"meta").ok_or("file has no metadata")?;
    let meta = Meta::parse(body)?;
    let item = meta.item(meta.primary).ok_or("main picture is missing")?;
    let color = picture(source, &meta, item)?;
    let auxiliary =
        meta.referring(*b"auxl", item.id).take(MOST_AUXILIARY).find(|&id| meta.is_alpha(id, source));
    let alpha = match auxiliary {
        Some(id) => Some(picture(source, &meta, meta.item(id).ok_or("alpha channel is missing")?)?),
        None => None,
    };
    if alpha.as_ref().is_some_and(|alpha| alpha.size != color.size) {
        return Err("alpha channel is of another size");
    }
    let premultiplied = auxiliary.is_some_and(|alpha| meta.referred(*b"prem", item.id).any(|id| id == alpha));
    let seen = meta.seen(source, item.id)?;
    Ok(Container {
        size: color.size,
        orientation: seen.orientation,
        color,
        alpha,
        premultiplied,
        icc: seen.icc,
        coding: seen.coding,
        animated: Brands::of(source).is_some_and(|brands| brands.major == b"avis"),
    })
}

fn picture(source: &[u8], meta: &Meta, item: &Item) -> Result<Picture, &'static str> {
    let seen = meta.seen(source, item.id)?;
    let size = seen.size.filter(|size| size.area() > 0).ok_or("picture has no size")?;
    match &item.kind {
        b"av01" => Ok(Picture { size, columns: 1, tile: size, tiles: vec![meta.extents(source, item.id)?] }),
        b"grid" => grid(source, meta, item, size),
        _ => Err("picture is not coded as AV1"),
    }
}

fn grid(source: &[u8], meta: &Meta, item: &Item, size: Size) -> Result<Picture, &'static str> {
    let place = meta.extents(source, item.id)?;
    let pieces = place.into_iter().filter_map(|place| source.get(place));
    let described: Vec<u8> = pieces.flatten().copied().take(GRID_BYTES).collect();
    let (rows, columns, stated) = grid_of(&described).ok_or("grid ends early")?;
    if stated != size {
        return Err("grid is of another size than its picture");
    }
    let ids: Vec<u32> = meta.referred(*b"dimg", item.id).take(MOST_TILES + 1).collect();
    if ids.len() != rows * columns || ids.len() > MOST_TILES {
        return Err("grid has too many or too few tiles");
    }
    let mut tiles = Vec::with_capacity(ids.len());
    let mut tile = None;
    for id in ids {
        if meta.item(id).is_none_or(|item| &item.kind != b"av01") {
            return Err("tile is not coded as AV1");
        }
        let of_this = meta.seen(source, id)?.size.ok_or("tile has no size")?;
        if *tile.get_or_insert(of_this) != of_this {
            return Err("tiles are of different sizes");
        }
        tiles.push(meta.extents(source, id)?);
    }
    let tile = tile.ok_or("grid has no tiles")?;
    // Every tile shows: a grid can ask for no more pixels than its picture and a row and column of tiles.
    let fits = |count: usize, each: u32, whole: u32| {
        let (count, each, whole) = (count as u64, u64::from(each), u64::from(whole));
        (count - 1) * each < whole && whole <= count * each && each <= whole
    };
    if fits(columns, tile.width, size.width) && fits(rows, tile.height, size.height) {
        Ok(Picture { size, columns, tile, tiles })
    } else {
        Err("tiles do not cover their picture")
    }
}

/// Rows, columns, and the size of the whole.
fn grid_of(described: &[u8]) -> Option<(usize, usize, Size)> {
    let [_, flags, rows, columns, sides @ ..] = described else { return None };
    let side = |at: usize| {
        if flags & 1 == 0 {
            sides.get(2 * at..2 * at + 2)?.try_into().ok().map(u16::from_be_bytes).map(u32::from)
        } else {
            sides.get(4 * at..4 * at + 4)?.try_into().ok().map(u32::from_be_bytes)
        }
    };
    Some((usize::from(*rows) + 1, usize::from(*columns) + 1, Size::new(side(0)?, side(1)?)))
}

#[cfg(test)]
mod tests;
