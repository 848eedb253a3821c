//! Sounds, half of each quiet and the other half loud, and covers to go with them.

use bytes::Bytes;

/// An MP3 file of a second, without tags.
#[must_use]
pub fn mp3() -> Bytes {
    Bytes::from_static(include_bytes!("data/tone.mp3"))
}

/// Vorbis in Ogg, half a second.
#[must_use]
pub fn vorbis() -> Bytes {
    Bytes::from_static(include_bytes!("data/tone.ogg"))
}

/// Opus in Ogg, a second: a voice message.
#[must_use]
pub fn opus() -> Bytes {
    Bytes::from_static(include_bytes!("data/tone.opus"))
}

/// AAC in MP4, a second.
#[must_use]
pub fn aac() -> Bytes {
    Bytes::from_static(include_bytes!("data/tone.m4a"))
}

/// The same as telephones record it: by its brand it could be a video.
#[must_use]
pub fn aac_of_telephone() -> Bytes {
    let mut file = aac().to_vec();
    file[8..12].copy_from_slice(b"isom");
    file.into()
}

/// ALAC in MP4, a seventh of a second.
#[must_use]
pub fn alac() -> Bytes {
    Bytes::from_static(include_bytes!("data/tone-alac.m4a"))
}

const RATE: u32 = 8000;

/// A square wave, a tenth as loud in its first half.
fn square_wave(frames: usize) -> impl Iterator<Item = i16> {
    (0..frames).map(move |frame| {
        let height = if frame < frames / 2 { 2000 } else { 20_000 };
        if frame / 10 % 2 == 0 { height } else { -height }
    })
}

/// A WAV file of so many samples, 8000 a second.
#[must_use]
pub fn wav(frames: usize) -> Bytes {
    wav_with(frames, 1, RATE)
}

/// The same of so many channels and samples a second, whatever is in it.
#[must_use]
pub fn wav_with(frames: usize, channels: u16, rate: u32) -> Bytes {
    let samples: Vec<u8> = square_wave(frames).flat_map(i16::to_le_bytes).collect();
    let len = u32::try_from(samples.len()).unwrap_or(u32::MAX);
    let block = channels.wrapping_mul(2);
    [
        b"RIFF",
        &len.saturating_add(36).to_le_bytes()[..],
        b"WAVEfmt \x10\0\0\0\x01\0",
        &channels.to_le_bytes(),
        &rate.to_le_bytes(),
        &rate.wrapping_mul(u32::from(block)).to_le_bytes(),
        &block.to_le_bytes(),
        b"\x10\0data",
        &len.to_le_bytes(),
        &samples,
    ]
    .concat()
    .into()
}

/// A FLAC file of half a second, with this cover.
#[must_use]
pub fn flac(cover: Option<&Bytes>) -> Bytes {
    const BLOCK: u16 = 1000;
    const FRAMES: u16 = 4000;
    let mut file = b"fLaC".to_vec();
    let last = |last: bool| u8::from(last) << 7;
    // Sizes of blocks, unknown sizes of frames, then 20 bits of rate, 3 of channels, 5 of depth and 36 of length.
    let shape = u64::from(RATE) << 44 | 15 << 36 | u64::from(FRAMES);
    file.extend([last(cover.is_none()), 0, 0, 34]);
    file.extend([BLOCK.to_be_bytes(), BLOCK.to_be_bytes()].concat());
    file.extend([0; 6]);
    file.extend(shape.to_be_bytes());
    file.extend([0; 16]);
    if let Some(cover) = cover {
        let picture = flac_picture(cover);
        let len = u32::try_from(picture.len()).unwrap_or(u32::MAX).to_be_bytes();
        file.extend([last(true) | 6, len[1], len[2], len[3]]);
        file.extend(picture);
    }
    let samples: Vec<i16> = square_wave(usize::from(FRAMES)).collect();
    for (number, block) in (0..).zip(samples.chunks(usize::from(BLOCK))) {
        // Its size at the end, the rate as above, one channel, 16 bits; as it is.
        let mut frame = vec![0xFF, 0xF8, 0x70, 0x08, number];
        frame.extend((BLOCK - 1).to_be_bytes());
        frame.push(u8::try_from(crc(&frame, 8, 0x07)).unwrap_or_default());
        frame.push(0b0000_0010);
        frame.extend(block.iter().flat_map(|sample| sample.to_be_bytes()));
        frame.extend(crc(&frame, 16, 0x8005).to_be_bytes());
        file.extend(frame);
    }
    file.into()
}

/// A picture as FLAC has it: the front cover.
fn flac_picture(cover: &Bytes) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    [&number(3), &number(9), &b"image/any"[..], &[0; 20], &number(cover.len()), cover].concat()
}

/// An MP3 file with a tag in front, which has this cover.
#[must_use]
pub fn mp3_with_cover(cover: &Bytes) -> Bytes {
    let frame = [b"\0image/any\0\x03\0", &cover[..]].concat();
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let seven_bits =
        |number: u32| [21, 14, 7, 0].map(|shift| u8::try_from(number >> shift & 0x7F).unwrap_or(0));
    [
        b"ID3\x03\0\0",
        &seven_bits(number(frame.len() + 10))[..],
        b"APIC",
        &number(frame.len()).to_be_bytes(),
        &[0, 0],
        &frame,
        &mp3(),
    ]
    .concat()
    .into()
}

/// A checksum of so many bits, the highest bit first.
fn crc(bytes: &[u8], bits: u32, polynomial: u16) -> u16 {
    let shift = 16 - bits;
    let polynomial = polynomial << shift;
    let mut crc: u16 = 0;
    for &byte in bytes {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ polynomial };
        }
    }
    crc >> shift
}
