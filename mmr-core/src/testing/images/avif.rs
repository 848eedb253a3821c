//! AVIF: containers around codestreams that were made once.

use bytes::Bytes;

/// AV1 codestreams of the corners, 64 by 48 pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Av1 {
    /// 4:2:0, BT.601, limited range.
    Yuv420,
    /// 4:4:4, BT.709, full range.
    Yuv444FullRange,
    /// 4:2:2 of 10 bits, BT.2020, limited range.
    Yuv422TenBit,
    /// 4:2:0 of 12 bits, BT.709, limited range.
    Yuv420TwelveBit,
    /// Green, blue and red as they are.
    Rgb,
    /// Luma only.
    Grey,
    /// Transparent on the left, for [`Avif::alpha`].
    Alpha,
    /// 4:2:0, and 33 by 25 pixels.
    Odd,
    /// 32 by 24 pixels of one colour, one of the corners by number.
    Tile(usize),
}

impl Av1 {
    /// The codestream.
    #[must_use]
    pub fn data(self) -> &'static [u8] {
        match self {
            Self::Yuv420 => include_bytes!("data/yuv420.av1"),
            Self::Yuv444FullRange => include_bytes!("data/yuv444-full-range.av1"),
            Self::Yuv422TenBit => include_bytes!("data/yuv422-10-bit.av1"),
            Self::Yuv420TwelveBit => include_bytes!("data/yuv420-12-bit.av1"),
            Self::Rgb => include_bytes!("data/rgb.av1"),
            Self::Grey => include_bytes!("data/grey.av1"),
            Self::Alpha => include_bytes!("data/alpha.av1"),
            Self::Odd => include_bytes!("data/odd.av1"),
            Self::Tile(0) => include_bytes!("data/tile-red.av1"),
            Self::Tile(1) => include_bytes!("data/tile-green.av1"),
            Self::Tile(2) => include_bytes!("data/tile-blue.av1"),
            Self::Tile(_) => include_bytes!("data/tile-white.av1"),
        }
    }

    /// Its width and height.
    #[must_use]
    pub const fn size(self) -> (u32, u32) {
        match self {
            Self::Odd => (33, 25),
            Self::Tile(_) => (32, 24),
            _ => (64, 48),
        }
    }
}

/// What to write around codestreams.
#[derive(Clone, Debug)]
pub struct Avif {
    /// The tiles of a picture, or the one that is all of it.
    pub tiles: Vec<Av1>,
    /// Rows and columns of a grid; without, the first of `tiles` is the picture.
    pub grid: Option<(u8, u8)>,
    /// Width and height to state instead of those of the codestream.
    pub stated: Option<(u32, u32)>,
    /// An alpha channel.
    pub alpha: Option<Av1>,
    /// Say that colours are multiplied by alpha.
    pub premultiplied: bool,
    /// Quarters to turn against the clock.
    pub quarters: u8,
    /// Exchange top and bottom (0), or left and right (1).
    pub mirror: Option<u8>,
    /// A colour profile.
    pub icc: Option<Vec<u8>>,
    /// Matrix and full range.
    pub nclx: Option<(u16, bool)>,
    /// Keep the codestreams inside of the metadata.
    pub in_idat: bool,
    /// Cut codestreams in two pieces, with other bytes between them.
    pub in_pieces: bool,
    /// Make the grid of its first tile, so many times, and list no other.
    pub shared_tile: Option<usize>,
    /// State each codestream's place so many times.
    pub repeats: usize,
    /// The first brand.
    pub brand: [u8; 4],
    /// A property that nobody knows, and whether it must be understood.
    pub unknown: Option<bool>,
}

impl Avif {
    /// A picture that is one codestream.
    #[must_use]
    pub fn of(picture: Av1) -> Self {
        Self {
            tiles: vec![picture],
            grid: None,
            stated: None,
            alpha: None,
            premultiplied: false,
            quarters: 0,
            mirror: None,
            icc: None,
            nclx: None,
            in_idat: false,
            in_pieces: false,
            shared_tile: None,
            repeats: 1,
            brand: *b"avif",
            unknown: None,
        }
    }

    /// The corners, each a tile of a grid.
    #[must_use]
    pub fn grid() -> Self {
        Self { tiles: (0..4).map(Av1::Tile).collect(), grid: Some((2, 2)), ..Self::of(Av1::Yuv420) }
    }

    fn size(&self) -> (u32, u32) {
        let (width, height) = self.tiles.first().map_or((0, 0), |tile| tile.size());
        let (rows, columns) = self.grid.unwrap_or((1, 1));
        self.stated.unwrap_or((width * u32::from(columns), height * u32::from(rows)))
    }

    fn items(&self) -> Vec<Item> {
        let mut shown = vec![ispe(self.size())];
        shown.extend((self.quarters != 0).then(|| essential("irot", &[self.quarters])));
        shown.extend(self.mirror.map(|axis| essential("imir", &[axis])));
        shown.extend(self.icc.as_ref().map(|icc| optional("colr", &[b"prof".as_slice(), icc].concat())));
        shown.extend(self.nclx.map(|(matrix, full)| {
            let [high, low] = matrix.to_be_bytes();
            optional("colr", &[b'n', b'c', b'l', b'x', 0, 1, 0, 13, high, low, u8::from(full) << 7])
        }));
        shown.extend(self.unknown.map(|essential| Property { essential, whole: boxed("what", &[]) }));
        let mut items = Vec::new();
        if let Some((rows, columns)) = self.grid {
            let (width, height) = self.size();
            let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX).to_be_bytes();
            let described = [&[0, 0, rows - 1, columns - 1], &side(width)[..], &side(height)[..]].concat();
            let own = || (2..).take(self.tiles.len()).collect();
            let tiles: Vec<u16> = self.shared_tile.map_or_else(own, |times| vec![2; times]);
            items.push(Item {
                kind: "grid",
                data: described,
                properties: shown,
                refers: vec![("dimg", tiles)],
            });
            for tile in &self.tiles {
                items.push(Item::av01(*tile, vec![ispe(tile.size())]));
            }
        } else if let Some(picture) = self.tiles.first() {
            items.push(Item::av01(*picture, shown));
        }
        if let Some(alpha) = self.alpha {
            let kind = optional("auxC", b"\0\0\0\0urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0");
            let mut item = Item::av01(alpha, vec![ispe(alpha.size()), kind]);
            item.refers.push(("auxl", vec![1]));
            items.push(item);
            let number = u16::try_from(items.len()).unwrap_or(0);
            if self.premultiplied
                && let Some(first) = items.first_mut()
            {
                first.refers.push(("prem", vec![number]));
            }
        }
        items
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> Bytes {
        let ftyp = boxed("ftyp", &[&self.brand[..], b"\0\0\0\0mif1miafavif"].concat());
        let items = self.items();
        // The length of the metadata does not depend on what its addresses are.
        let len = self.meta(&items, 0).len();
        let mut file = [ftyp.clone(), self.meta(&items, ftyp.len() + len + 8)].concat();
        if !self.in_idat {
            file.extend(boxed("mdat", &self.payload(&items)));
        }
        file.into()
    }

    fn payload(&self, items: &[Item]) -> Vec<u8> {
        let mut payload = Vec::new();
        for item in items {
            let (first, second) = item.data.split_at(self.cut(item));
            payload.extend(first);
            if self.in_pieces {
                payload.extend([0xEE; GAP]);
            }
            payload.extend(second);
        }
        payload
    }

    fn cut(&self, item: &Item) -> usize {
        if self.in_pieces { item.data.len() / 2 } else { item.data.len() }
    }

    fn meta(&self, items: &[Item], data_at: usize) -> Vec<u8> {
        let (mut infe, mut iloc, mut iref, mut ipco, mut ipma) = (vec![], vec![], vec![], vec![], vec![]);
        let mut at = if self.in_idat { 0 } else { data_at };
        let mut property = 0_u8;
        for (number, item) in (1_u16..).zip(items) {
            let id = number.to_be_bytes();
            let entry = [&[2, 0, 0, 0], &id[..], &[0, 0], item.kind.as_bytes(), &[0]].concat();
            infe.extend(boxed("infe", &entry));
            let cut = self.cut(item);
            let mut pieces = vec![(at, cut)];
            if self.in_pieces {
                pieces.push((at + cut + GAP, item.data.len() - cut));
            }
            at = pieces.last().map_or(at, |(at, len)| at + len);
            let pieces = pieces.repeat(self.repeats);
            let [high, low] = u16::try_from(pieces.len()).unwrap_or(0).to_be_bytes();
            iloc.extend([&id[..], &[0, u8::from(self.in_idat), 0, 0, high, low]].concat());
            for (at, len) in pieces {
                iloc.extend(long(at));
                iloc.extend(long(len));
            }
            for (kind, to) in &item.refers {
                let to_all: Vec<u8> = to.iter().flat_map(|to| to.to_be_bytes()).collect();
                let count = u16::try_from(to.len()).unwrap_or(0).to_be_bytes();
                iref.extend(boxed(kind, &[&id[..], &count[..], &to_all].concat()));
            }
            ipma.extend([&id[..], &[u8::try_from(item.properties.len()).unwrap_or(0)]].concat());
            for it in &item.properties {
                property += 1;
                ipma.push(property | u8::from(it.essential) << 7);
                ipco.extend(&it.whole);
            }
        }
        let count = u16::try_from(items.len()).unwrap_or(0).to_be_bytes();
        let iprp = [boxed("ipco", &ipco), boxed("ipma", &[&[0, 0, 0, 0, 0, 0], &count[..], &ipma].concat())];
        let mut meta = vec![
            vec![0; 4],
            boxed("hdlr", b"\0\0\0\0\0\0\0\0pict\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            boxed("pitm", &[0, 0, 0, 0, 0, 1]),
            boxed("iloc", &[&[1, 0, 0, 0, 0x44, 0], &count[..], &iloc].concat()),
            boxed("iinf", &[&[0, 0, 0, 0], &count[..], &infe].concat()),
            boxed("iprp", &iprp.concat()),
        ];
        if !iref.is_empty() {
            meta.push(boxed("iref", &[&[0; 4], &iref[..]].concat()));
        }
        if self.in_idat {
            meta.push(boxed("idat", &self.payload(items)));
        }
        boxed("meta", &meta.concat())
    }
}

/// Bytes between pieces.
const GAP: usize = 5;

struct Item {
    kind: &'static str,
    data: Vec<u8>,
    properties: Vec<Property>,
    refers: Vec<(&'static str, Vec<u16>)>,
}

impl Item {
    fn av01(codestream: Av1, mut properties: Vec<Property>) -> Self {
        properties.push(essential("av1C", &[0x81, 0, 0, 0]));
        Self { kind: "av01", data: codestream.data().to_vec(), properties, refers: Vec::new() }
    }
}

struct Property {
    essential: bool,
    whole: Vec<u8>,
}

fn essential(name: &str, body: &[u8]) -> Property {
    Property { essential: true, whole: boxed(name, body) }
}

fn optional(name: &str, body: &[u8]) -> Property {
    Property { essential: false, whole: boxed(name, body) }
}

fn ispe((width, height): (u32, u32)) -> Property {
    optional("ispe", &[&[0; 4], &width.to_be_bytes()[..], &height.to_be_bytes()[..]].concat())
}

fn long(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes()
}

fn boxed(name: &str, body: &[u8]) -> Vec<u8> {
    [&long(8 + body.len())[..], name.as_bytes(), body].concat()
}
