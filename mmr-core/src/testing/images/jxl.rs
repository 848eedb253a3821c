//! JPEG XL: codestreams that were made once, 64 by 48 pixels.

use bytes::Bytes;

/// Lossy, in the colours of the eye.
#[must_use]
pub fn lossy_jxl() -> Bytes {
    Bytes::from_static(include_bytes!("data/lossy.jxl"))
}

/// Transparent on the left.
#[must_use]
pub fn alpha_jxl() -> Bytes {
    Bytes::from_static(include_bytes!("data/alpha.jxl"))
}

/// The corners as grey.
#[must_use]
pub fn grey_jxl() -> Bytes {
    Bytes::from_static(include_bytes!("data/grey.jxl"))
}

/// 16 bits per channel, lossless.
#[must_use]
pub fn sixteen_bit_jxl() -> Bytes {
    Bytes::from_static(include_bytes!("data/sixteen-bit.jxl"))
}

/// With a colour profile for which red is green, and the reverse; the pixels are so too.
#[must_use]
pub fn jxl_with_profile() -> Bytes {
    Bytes::from_static(include_bytes!("data/exchanged-profile.jxl"))
}

/// 64 by 48 pixels with the usual corners once it is turned as its `orientation` (1 to 8) says.
#[must_use]
pub fn jxl_with_orientation(orientation: u8) -> Bytes {
    Bytes::from_static(match orientation {
        2 => include_bytes!("data/orientation-2.jxl"),
        3 => include_bytes!("data/orientation-3.jxl"),
        4 => include_bytes!("data/orientation-4.jxl"),
        5 => include_bytes!("data/orientation-5.jxl"),
        6 => include_bytes!("data/orientation-6.jxl"),
        7 => include_bytes!("data/orientation-7.jxl"),
        8 => include_bytes!("data/orientation-8.jxl"),
        _ => include_bytes!("data/orientation-1.jxl"),
    })
}

/// A codestream in a container, in so many parts.
#[must_use]
pub fn jxl_in_container(codestream: &[u8], parts: u32) -> Bytes {
    let boxed = |name: &[u8; 4], body: &[u8]| {
        let len = u32::try_from(8 + body.len()).unwrap_or(u32::MAX);
        [&len.to_be_bytes()[..], name, body].concat()
    };
    let mut file = b"\0\0\0\x0CJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl ".to_vec();
    if parts == 1 {
        file.extend(boxed(b"jxlc", codestream));
        return file.into();
    }
    let pieces = codestream.chunks(codestream.len().div_ceil(parts.max(1) as usize).max(1));
    let last = pieces.len().saturating_sub(1);
    for (number, piece) in pieces.enumerate() {
        let flag = if number == last { 0x8000_0000 } else { 0 };
        let number = flag | u32::try_from(number).unwrap_or(0);
        file.extend(boxed(b"jxlp", &[&number.to_be_bytes()[..], piece].concat()));
    }
    file.into()
}
