//! Files that mean harm: always the same ones.

mod documents;
mod endless;
mod pictures;
mod sounds;

use bytes::Bytes;

pub use self::endless::endless;

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

/// Small files that promise, or expand to, more than anybody should hold, or that never end. None of them has a thumbnail.
#[must_use]
pub fn bombs() -> Vec<Specimen> {
    [pictures::bombs(), documents::bombs(), sounds::bombs()].concat()
}

/// Files that are two things at once, or none.
#[must_use]
pub fn polyglots() -> Vec<Specimen> {
    let script = b"*/=1;alert(document.domain)//".as_slice();
    let archive = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice();
    let document = b"%PDF-1.7\n1 0 obj<<>>endobj trailer<</Root 1 0 R>>".as_slice();
    let markup = b"<html><script>alert(1)</script></html>".as_slice();
    vec![
        Specimen::new("script-as.gif", [b"GIF89a/*".as_slice(), script].concat()),
        Specimen::new("markup-as.png", [b"\x89PNG\r\n\x1A\n".as_slice(), markup].concat()),
        Specimen::new("markup-as.jpg", [b"\xFF\xD8\xFF\xFE\0\x2A".as_slice(), markup].concat()),
        Specimen::new("archive-as.webp", [b"RIFF\x16\0\0\0WEBP".as_slice(), archive].concat()),
        Specimen::new("document-as.gif", [b"GIF87a".as_slice(), document].concat()),
        Specimen::new(
            "playlist-as.mp4",
            b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n".as_slice(),
        ),
        Specimen::new("document-as.jpg", [b"\xFF\xD8\xFF\xFE\xFF\xFF".as_slice(), document].concat()),
        Specimen::new("document-as.mp3", [b"ID3\x03\0\0\0\0\x7F\x7F".as_slice(), document].concat()),
        Specimen::new("markup-as.tiff", [b"II*\0\x08\0\0\0".as_slice(), markup].concat()),
        Specimen::new("markup-as.jxl", [b"\xFF\x0A".as_slice(), markup].concat()),
        Specimen::new("markup-as.bmp", [b"BM".as_slice(), markup].concat()),
        Specimen::new("markup-as.pdf", [b"%PDF-1.7\n".as_slice(), markup].concat()),
        Specimen::new("markup-as.avif", [b"\0\0\0\x14ftypavif\0\0\0\0mif1".as_slice(), markup].concat()),
        Specimen::new(
            "film-as.avif",
            b"\0\0\0\x14ftypavif\0\0\0\0isom\0\0\0\x10moov\0\0\0\x08trak".as_slice(),
        ),
        Specimen::new("archive-as.wav", [b"RIFF\x16\0\0\0WAVE".as_slice(), archive].concat()),
        Specimen::new("archive-as.flac", [b"fLaC".as_slice(), archive].concat()),
        Specimen::new("script-as.ogg", [&b"OggS"[..], &[0; 22], b"\x01\x1E\x01vorbis", script].concat()),
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
