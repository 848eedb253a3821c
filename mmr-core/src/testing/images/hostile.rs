//! Files that mean harm: always the same ones.

use std::fmt::Write as _;

use bytes::Bytes;

use super::containers::riff_chunk;

/// A file and what it is, as a file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specimen {
    /// Such as `png-cut-2.png`; no two of a set are alike.
    pub name: String,
    /// The contents.
    pub bytes: Bytes,
}

impl Specimen {
    pub(super) fn new(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }

    fn variant(&self, what: &str, bytes: Vec<u8>) -> Self {
        let (stem, ending) = self.name.split_once('.').unwrap_or((&self.name, "bin"));
        Self::new(format!("{stem}-{what}.{ending}"), bytes)
    }
}

/// The file cut after one, two and three quarters, and behind its first sixteen bytes.
#[must_use]
pub fn truncated(whole: &Specimen) -> Vec<Specimen> {
    let len = whole.bytes.len();
    let cut = |(number, at): (usize, usize)| {
        whole.variant(&format!("cut-{number}"), whole.bytes.slice(..at.min(len)).to_vec())
    };
    [16, len / 4, len / 2, len / 4 * 3].into_iter().enumerate().map(cut).collect()
}

/// `count` copies of the file, each with one to sixteen of its bits turned, half of them in its first 256 bytes.
#[must_use]
pub fn flipped(whole: &Specimen, count: u32, seed: u64) -> Vec<Specimen> {
    let mut random = Random(seed | 1);
    let len = whole.bytes.len().max(1);
    let flip = |number: u32| {
        let mut bytes = whole.bytes.to_vec();
        for _ in 0..=random.below(16) {
            let within = if number.is_multiple_of(2) { len.min(256) } else { len };
            if let Some(byte) = bytes.get_mut(random.below(within)) {
                *byte ^= 1 << random.below(8);
            }
        }
        whole.variant(&format!("flip-{number}"), bytes)
    };
    (0..count).map(flip).collect()
}

/// Small files that promise, or expand to, more than anybody should hold. None of them has a thumbnail.
#[must_use]
pub fn bombs() -> Vec<Specimen> {
    vec![
        Specimen::new("bomb-rows.png", super::png_bomb()),
        Specimen::new("bomb-lie.png", super::lying_png(60_000, 60_000)),
        Specimen::new("bomb-frame.gif", super::gif_with_frame_larger_than_canvas(u16::MAX)),
        Specimen::new("bomb-frame.webp", super::webp_with_frame_larger_than_canvas()),
        Specimen::new("bomb-lie.jpg", jpeg_that_claims(65_500, 65_500)),
        Specimen::new("bomb-lie.bmp", bmp_that_claims(60_000, 60_000)),
        Specimen::new("bomb-lie.tiff", tiff_that_claims(60_000, 60_000)),
        Specimen::new("bomb-canvas.webp", webp_that_claims(16_384, 16_384)),
        Specimen::new("bomb-laughs.svg", billion_laughs()),
        Specimen::new("bomb-uses.svg", uses_of_uses()),
        Specimen::new("bomb-deep.svg", nested_groups(200_000)),
    ]
}

/// Files that are two things at once, or none.
#[must_use]
pub fn polyglots() -> Vec<Specimen> {
    let script = b"*/=1;alert(document.domain)//".as_slice();
    let archive = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice();
    let markup = b"<html><script>alert(1)</script></html>".as_slice();
    vec![
        Specimen::new("script-as.gif", [b"GIF89a/*".as_slice(), script].concat()),
        Specimen::new("markup-as.png", [b"\x89PNG\r\n\x1A\n".as_slice(), markup].concat()),
        Specimen::new("markup-as.jpg", [b"\xFF\xD8\xFF\xFE\0\x2A".as_slice(), markup].concat()),
        Specimen::new("archive-as.webp", [b"RIFF\x16\0\0\0WEBP".as_slice(), archive].concat()),
        Specimen::new(
            "document-as.gif",
            b"GIF87a%PDF-1.7\n1 0 obj<<>>endobj trailer<</Root 1 0 R>>".as_slice(),
        ),
        Specimen::new(
            "playlist-as.mp4",
            b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n".as_slice(),
        ),
        Specimen::new("script-as.svg", [b"<?xml version='1.0'?><!--".as_slice(), script].concat()),
        Specimen::new("zeros.bin", vec![0; 4096]),
    ]
}

/// An xorshift generator: tests need the same numbers, not good ones.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(usize::MAX) % limit.max(1)
    }
}

fn jpeg_that_claims(width: u16, height: u16) -> Vec<u8> {
    let mut file = super::jpeg(16, 16).to_vec();
    if let Some(at) = file.windows(2).position(|marker| marker == [0xFF, 0xC0]) {
        file[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
        file[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
    }
    file
}

fn bmp_that_claims(width: u32, height: u32) -> Vec<u8> {
    let mut file = b"BM".to_vec();
    for field in [70_u32, 0, 54, 40, width, height, 1 | 24 << 16, 0, 16, 2835, 2835, 0, 0] {
        file.extend(field.to_le_bytes());
    }
    file.extend([0; 16]);
    file
}

fn tiff_that_claims(width: u32, height: u32) -> Vec<u8> {
    const SHORT: u16 = 3;
    const LONG: u16 = 4;
    let entries = [
        (256, LONG, width),
        (257, LONG, height),
        (258, SHORT, 8),
        (259, SHORT, 1),
        (262, SHORT, 1),
        (273, LONG, 200),
        (277, SHORT, 1),
        (278, LONG, height),
        (279, LONG, 16),
    ];
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend(9_u16.to_le_bytes());
    for (tag, kind, value) in entries {
        file.extend(u16::to_le_bytes(tag));
        file.extend(kind.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.resize(216, 0);
    file
}

fn webp_that_claims(width: u32, height: u32) -> Vec<u8> {
    let picture = super::lossless_webp(8, 8).slice(12..).to_vec();
    let mut header = vec![0x10, 0, 0, 0];
    header.extend(&(width - 1).to_le_bytes()[..3]);
    header.extend(&(height - 1).to_le_bytes()[..3]);
    let body = [b"WEBP".to_vec(), riff_chunk("VP8X", &header), picture].concat();
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [b"RIFF".as_slice(), &len.to_le_bytes(), &body].concat()
}

fn billion_laughs() -> String {
    let mut text = String::from("<?xml version=\"1.0\"?><!DOCTYPE svg [<!ENTITY l0 \"ha\">");
    for level in 1..=20 {
        let inner = format!("&l{};", level - 1).repeat(10);
        let _ = write!(text, "<!ENTITY l{level} \"{inner}\">");
    }
    text + "]><svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"><text>&l20;</text></svg>"
}

fn uses_of_uses() -> String {
    let mut text = String::from("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"><defs>");
    text += "<rect id=\"u0\" width=\"1\" height=\"1\"/>";
    for level in 1..=20 {
        let inner = format!("<use href=\"#u{}\"/>", level - 1).repeat(10);
        let _ = write!(text, "<g id=\"u{level}\">{inner}</g>");
    }
    text + "</defs><use href=\"#u20\"/></svg>"
}

fn nested_groups(depth: usize) -> String {
    let start = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\">";
    format!("{start}{}<rect width=\"9\" height=\"9\"/>{}</svg>", "<g>".repeat(depth), "</g>".repeat(depth))
}
