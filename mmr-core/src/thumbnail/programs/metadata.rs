//! What a camera noted in a picture, which is nobody's business in a thumbnail and turns what is upright already.

use bytes::{Bytes, BytesMut};

/// `picture`, a JPEG or PNG, without Exif, XMP and comments. Colour profiles stay.
pub(super) fn without_metadata(picture: Bytes) -> Bytes {
    let mut kept = BytesMut::with_capacity(picture.len());
    let whole = if picture.starts_with(&[0xff, 0xd8]) {
        jpeg(&picture, &mut kept)
    } else if picture.starts_with(b"\x89PNG\r\n\x1a\n") {
        png(&picture, &mut kept)
    } else {
        None
    };
    // What is damaged is for the decoder to complain about.
    if whole.is_some() { kept.freeze() } else { picture }
}

/// ITU T.81, B.1.1.4: segments of a marker, a length that counts itself, and that much.
fn jpeg(picture: &[u8], kept: &mut BytesMut) -> Option<()> {
    const START_OF_SCAN: u8 = 0xda;
    const EXIF_AND_XMP: u8 = 0xe1;
    const PHOTOSHOP: u8 = 0xed;
    const COMMENT: u8 = 0xfe;
    let (start, mut rest) = picture.split_at_checked(2)?;
    kept.extend_from_slice(start);
    loop {
        let [0xff, marker, high, low, ..] = rest else { return None };
        if *marker == START_OF_SCAN {
            kept.extend_from_slice(rest);
            return Some(());
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (segment, behind) = rest.split_at_checked(2 + length)?;
        if !matches!(*marker, EXIF_AND_XMP | PHOTOSHOP | COMMENT) {
            kept.extend_from_slice(segment);
        }
        rest = behind;
    }
}

/// PNG, 5.3: chunks of a length, a name, that much, and a checksum.
fn png(picture: &[u8], kept: &mut BytesMut) -> Option<()> {
    let (signature, mut rest) = picture.split_at_checked(8)?;
    kept.extend_from_slice(signature);
    while !rest.is_empty() {
        let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        let (chunk, behind) = rest.split_at_checked(length.checked_add(12)?)?;
        if !matches!(chunk.get(4..8)?, b"eXIf" | b"tEXt" | b"zTXt" | b"iTXt" | b"tIME") {
            kept.extend_from_slice(chunk);
        }
        rest = behind;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exif_goes_and_the_profile_stays() {
        let jpeg = Bytes::from_static(
            b"\xff\xd8\xff\xe1\0\x06Exif\xff\xe2\0\x05ICC\xff\xfe\0\x03x\xff\xda\0\x02scan\xff\xe1",
        );
        assert_eq!(without_metadata(jpeg), &b"\xff\xd8\xff\xe2\0\x05ICC\xff\xda\0\x02scan\xff\xe1"[..]);
        let png =
            Bytes::from_static(b"\x89PNG\r\n\x1a\n\0\0\0\x01iCCPxCRC!\0\0\0\x02eXIfMMCRC!\0\0\0\0IENDCRC!");
        assert_eq!(without_metadata(png), &b"\x89PNG\r\n\x1a\n\0\0\0\x01iCCPxCRC!\0\0\0\0IENDCRC!"[..]);
    }

    #[test]
    fn what_is_damaged_stays_as_it_is() {
        for damaged in
            [b"".as_slice(), b"\xff\xd8\xff\xe1\xff\xffx", b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDAT", b"BM"]
        {
            assert_eq!(without_metadata(Bytes::from_static(damaged)), damaged);
        }
    }
}
