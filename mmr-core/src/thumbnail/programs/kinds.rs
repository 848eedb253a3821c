//! What a source is, by its first bytes.

use crate::thumbnail::brands::{Brands, HEVC};

/// As much of a source as is looked at.
pub(super) const HEAD_BYTES: usize = 4096;

/// What a program is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Video(Container),
    Heic {
        /// Whether it says that it is coded in HEVC, which makes it `image/heic`.
        hevc: bool,
    },
    /// In Ogg.
    Opus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Mp4,
    QuickTime,
    Matroska,
    WebM,
}

impl Container {
    /// Whether it is of ISO base media, or of its ancestor.
    pub(super) const fn is_movie(self) -> bool {
        matches!(self, Self::Mp4 | Self::QuickTime)
    }

    /// The content type where there is nothing in it to be seen.
    pub(super) const fn type_of_sound(self) -> &'static str {
        if self.is_movie() { "audio/mp4" } else { "audio/webm" }
    }

    /// By the name that ffmpeg has for it.
    pub(super) const fn format(self) -> &'static str {
        if self.is_movie() { "mov" } else { "matroska" }
    }
}

impl Kind {
    /// What these first bytes of a source are; `None` for what is no business of a program.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"\x1a\x45\xdf\xa3") {
            return ebml(head).map(Self::Video);
        }
        if is_opus(head) {
            return Some(Self::Opus);
        }
        match head.get(4..8)? {
            b"ftyp" => Brands::of(head).and_then(branded),
            // QuickTime from before there were brands.
            b"moov" | b"mdat" | b"wide" => Some(Self::Video(Container::QuickTime)),
            _ => None,
        }
    }

    /// Content types under which an operator may have allowed it, the most exact one first.
    pub(super) const fn types(self) -> &'static [&'static str] {
        match self {
            Self::Video(Container::Mp4) => &["video/mp4"],
            Self::Video(Container::QuickTime) => &["video/quicktime"],
            Self::Video(Container::Matroska) => &["video/x-matroska", "video/webm"],
            Self::Video(Container::WebM) => &["video/webm"],
            // Few can tell them apart.
            Self::Heic { hevc: true } => &["image/heic", "image/heif"],
            Self::Heic { hevc: false } => &["image/heif", "image/heic"],
            Self::Opus => &["audio/ogg"],
        }
    }
}

fn branded(brands: Brands<'_>) -> Option<Kind> {
    match brands.major {
        _ if brands.has(&[b"avif", b"avis"]) => None,
        // Audio, and Canon's raw pictures.
        b"M4A " | b"M4B " | b"M4P " | b"F4A " | b"F4B " | b"crx " => None,
        b"mif1" | b"msf1" | b"heif" => Some(Kind::Heic { hevc: brands.has(&HEVC) }),
        major if HEVC.contains(&major) => Some(Kind::Heic { hevc: true }),
        b"qt  " => Some(Kind::Video(Container::QuickTime)),
        _ => Some(Kind::Video(Container::Mp4)),
    }
}

/// RFC 7845, 3 and 5.1: a page whose packet is the header of Opus.
fn is_opus(head: &[u8]) -> bool {
    const SEGMENTS: usize = 26;
    let packet = head.get(SEGMENTS).and_then(|&segments| head.get(SEGMENTS + 1 + usize::from(segments)..));
    head.starts_with(b"OggS") && packet.is_some_and(|packet| packet.starts_with(b"OpusHead"))
}

/// RFC 8794, 11.2.7: the name of the format, in an element with the id 0x4282.
fn ebml(head: &[u8]) -> Option<Container> {
    const DOC_TYPE: [u8; 2] = [0x42, 0x82];
    let at = head.windows(2).position(|id| id == DOC_TYPE)?;
    let rest = head.get(at + 2..)?;
    let [length, rest @ ..] = rest else { return None };
    // The names are short, so that their length is one byte with its highest bit set.
    let name = rest.get(..usize::from(length & 0x7f))?;
    match name.strip_suffix(b"\0").unwrap_or(name) {
        b"webm" => Some(Container::WebM),
        b"matroska" => Some(Container::Matroska),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ftyp(major: &[u8], others: &[&[u8]]) -> Vec<u8> {
        let length = u32::try_from(16 + 4 * others.len()).unwrap();
        let mut head = [&length.to_be_bytes(), b"ftyp".as_slice(), major, &[0; 4]].concat();
        head.extend(others.concat());
        head.extend_from_slice(b"\0\0\0\x08free");
        head
    }

    #[test]
    fn videos_are_told_by_their_brand() {
        for brand in [b"isom".as_slice(), b"mp41", b"mp42", b"avc1", b"M4V ", b"3gp5", b"iso5", b"dash"] {
            assert_eq!(Kind::of(&ftyp(brand, &[])), Some(Kind::Video(Container::Mp4)), "{brand:?}");
        }
        assert_eq!(Kind::of(&ftyp(b"qt  ", &[])), Some(Kind::Video(Container::QuickTime)));
        assert_eq!(Kind::of(b"\0\0\0\x08wide\0\0"), Some(Kind::Video(Container::QuickTime)));
    }

    #[test]
    fn heic_is_told_by_any_of_its_brands() {
        assert_eq!(Kind::of(&ftyp(b"heic", &[b"mif1"])), Some(Kind::Heic { hevc: true }));
        assert_eq!(Kind::of(&ftyp(b"mif1", &[b"miaf", b"heic"])), Some(Kind::Heic { hevc: true }));
        assert_eq!(Kind::of(&ftyp(b"mif1", &[])), Some(Kind::Heic { hevc: false }));
    }

    #[test]
    fn avif_and_audio_are_for_others() {
        for head in [
            ftyp(b"avif", &[b"mif1"]),
            ftyp(b"mif1", &[b"avif", b"heic"]),
            ftyp(b"avis", &[]),
            ftyp(b"M4A ", &[b"isom", b"mp42"]),
        ] {
            assert_eq!(Kind::of(&head), None, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn matroska_says_which_it_is() {
        let webm = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm\x42\x87\x81\x04";
        assert_eq!(Kind::of(webm), Some(Kind::Video(Container::WebM)));
        let matroska = b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska\x42\x87\x81\x04";
        assert_eq!(Kind::of(matroska), Some(Kind::Video(Container::Matroska)));
        assert_eq!(Kind::of(b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84"), None);
    }

    #[test]
    fn opus_is_told_by_its_first_packet() {
        let page = |packet: &[u8]| [b"OggS", &[0; 22][..], &[1, 30], packet].concat();
        assert_eq!(Kind::of(&page(b"OpusHead\x01")), Some(Kind::Opus));
        assert_eq!(Kind::of(&page(b"\x01vorbis")), None);
        assert_eq!(Kind::of(b"OggS"), None);
    }

    #[test]
    fn nothing_else_is_a_programs_business() {
        for head in [
            b"".as_slice(),
            b"\0\0",
            b"#EXTM3U\n#EXT-X",
            b"ffconcat version 1.0",
            b"\xff\xd8\xff\xe0\0\x10JFIF",
        ] {
            assert_eq!(Kind::of(head), None);
        }
    }
}
