//! Telling audio formats by their bytes.

use crate::thumbnail::movie::Movie;

/// A container of sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Mp3,
    Ogg,
    Flac,
    Wav,
    Mp4,
}

impl Kind {
    pub(super) fn of(source: &[u8]) -> Option<Self> {
        match *source {
            [b'f', b'L', b'a', b'C', ..] => Some(Self::Flac),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => {
                has_few_channels(source).then_some(Self::Wav)
            }
            [_, _, _, _, b'f', b't', b'y', b'p', b'M', b'4', b'A' | b'B', b' ', ..] => Some(Self::Mp4),
            // Other brands are of pictures, and of movies that may be nothing but sound.
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Movie::of(source).is_sound().then_some(Self::Mp4),
            [b'O', b'g', b'g', b'S', ..] => is_audio_page(source).then_some(Self::Ogg),
            // The version, and a length that says it with seven bits of each byte.
            [b'I', b'D', b'3', 2..=4, _, _, 0..0x80, 0..0x80, 0..0x80, 0..0x80, ..] => Some(Self::Mp3),
            [0xFF, ..] => begins_with_frames(source).then_some(Self::Mp3),
            _ => None,
        }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Mp3 => "audio/mpeg",
            Self::Ogg => "audio/ogg",
            Self::Flac => "audio/flac",
            Self::Wav => "audio/wav",
            Self::Mp4 => "audio/mp4",
        }
    }
}

/// Whether a WAV file has no more channels than its reader can multiply with.
fn has_few_channels(source: &[u8]) -> bool {
    const LOOK: usize = 64 * 1024;
    let head = source.get(..LOOK).unwrap_or(source);
    // The name of the chunk, its length, the codec, and the low and high byte of the number.
    !head.windows(12).any(|window| matches!(window, [b'f', b'm', b't', b' ', .., (1..)]))
}

/// Whether the first packet of the first page belongs to a known stream of sound.
fn is_audio_page(source: &[u8]) -> bool {
    const SEGMENTS: usize = 26;
    let Some(&segments) = source.get(SEGMENTS) else { return false };
    let packet = source.get(SEGMENTS + 1 + usize::from(segments)..).unwrap_or_default();
    [&b"\x01vorbis"[..], b"OpusHead", b"\x7FFLAC"].iter().any(|magic| packet.starts_with(magic))
}

/// Two frames of MPEG audio, layer 3, the second where the first ends. One alone could be chance.
fn begins_with_frames(source: &[u8]) -> bool {
    let Some((kind, length)) = frame(source) else { return false };
    source.get(length..).and_then(frame).is_some_and(|(next, _)| next == kind)
}

/// Version and sample rate of a frame, and its length in bytes.
fn frame(bytes: &[u8]) -> Option<([u8; 2], usize)> {
    /// Of version 1, then of versions 2 and 2.5; in thousands of bits a second.
    const RATES: [[usize; 14]; 2] = [
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    let [0xFF, second, third, _] = *bytes.first_chunk()? else { return None };
    let version = second >> 3 & 0b11;
    // Eleven bits of one, and layer 3; the second version does not exist.
    if second & 0b1110_0110 != 0b1110_0010 || version == 1 {
        return None;
    }
    let first_version = version == 3;
    let rates = RATES.get(usize::from(!first_version))?;
    let rate = rates.get(usize::from(third >> 4).checked_sub(1)?)?;
    let divisor = match version {
        3 => 1,
        2 => 2,
        _ => 4,
    };
    let samples = [44_100, 48_000, 32_000].get(usize::from(third >> 2 & 0b11))? / divisor;
    let padding = usize::from(third >> 1 & 1);
    let per_bit = if first_version { 144 } else { 72 };
    Some(([version, third >> 2 & 0b11], per_bit * rate * 1000 / samples + padding))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_told_by_their_first_bytes() {
        for (source, kind) in [
            (&b"fLaC"[..], Kind::Flac),
            (b"RIFF\0\0\0\0WAVEfmt ", Kind::Wav),
            (b"\0\0\0\x20ftypM4A \0", Kind::Mp4),
            (b"\0\0\0\x20ftypM4B \0", Kind::Mp4),
            (b"ID3\x03\0\0\0\0\x0F\x76", Kind::Mp3),
        ] {
            assert_eq!(Kind::of(source), Some(kind));
        }
    }

    #[test]
    fn other_containers_are_not_sound() {
        for source in [
            &b""[..],
            b"RIFF\0\0\0\0WEBP",
            b"\0\0\0\x20ftypisom",
            b"ID3 is a tag",
            b"OggS",
            b"\xFF\xD8\xFF\xE0",
            b"\xFF\xFB\x90\x00",
        ] {
            assert_eq!(Kind::of(source), None, "{source:?}");
        }
    }

    #[test]
    fn ogg_without_sound_is_not_sound() {
        let page = |packet: &[u8]| [b"OggS", &[0; 22][..], &[1, 30], packet].concat();
        assert_eq!(Kind::of(&page(b"OpusHead\x01")), Some(Kind::Ogg));
        assert_eq!(Kind::of(&page(b"\x80theora")), None);
    }

    #[test]
    fn one_frame_could_be_chance() {
        // 128 kbit/s, 44.1 kHz: 417 bytes.
        let mut frames = vec![0; 900];
        frames[..4].copy_from_slice(b"\xFF\xFB\x90\x00");
        assert_eq!(Kind::of(&frames), None);
        frames[417..421].copy_from_slice(b"\xFF\xFB\x90\x00");
        assert_eq!(Kind::of(&frames), Some(Kind::Mp3));
        frames[417..421].copy_from_slice(b"\xFF\xFB\x94\x00");
        assert_eq!(Kind::of(&frames), None);
    }
}
