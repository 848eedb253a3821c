//! Just enough of PNG, DEFLATE, RIFF and TIFF to write what no encoder would.

/// The signature of a PNG file.
pub(super) const PNG_SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1A\n";

/// Colour types of a PNG header.
#[derive(Clone, Copy)]
pub(super) enum PngColor {
    Grey = 0,
    Rgb = 2,
    Palette = 3,
    Rgba = 6,
}

pub(super) fn png_chunk(name: &str, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut chunk = len.to_be_bytes().to_vec();
    chunk.extend(name.as_bytes());
    chunk.extend(data);
    let checksum = crc32(&chunk[4..]);
    chunk.extend(checksum.to_be_bytes());
    chunk
}

pub(super) fn png_header(width: u32, height: u32, depth: u8, color: PngColor) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([depth, color as u8, 0, 0, 0]);
    png_chunk("IHDR", &header)
}

/// `row_bytes` of samples per row become the unfiltered, uncompressed contents of `IDAT`.
pub(super) fn png_data(samples: &[u8], row_bytes: usize) -> Vec<u8> {
    let rows: Vec<u8> = samples.chunks(row_bytes).flat_map(|row| [&[0], row].concat()).collect();
    zlib_stored(&rows)
}

/// A zlib stream of stored blocks.
pub(super) fn zlib_stored(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = data.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let len = u16::try_from(block.len()).unwrap_or(u16::MAX);
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(len.to_le_bytes());
        stream.extend((!len).to_le_bytes());
        stream.extend(block);
    }
    stream.extend(adler32(data.iter().copied()).to_be_bytes());
    stream
}

/// A zlib stream of `len` zeros, as short as DEFLATE allows: two bits for 258 of them.
pub(super) fn zlib_zeros(len: u32) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.number(1, 1); // the last block
    bits.number(0b10, 2); // with codes of its own
    bits.number(286 - 257, 5); // for 286 literals and lengths
    bits.number(0, 5); // one distance
    bits.number(18 - 4, 4); // and 18 code lengths
    // Of those, 18 (a run of zeros) gets one bit, 1 and 2 get two. Their order is that of RFC 1951.
    for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1] {
        bits.number(
            match symbol {
                18 => 1,
                1 | 2 => 2,
                _ => 0,
            },
            3,
        );
    }
    let (one, two) = ("10", "11");
    let run = |bits: &mut Bits, zeros: u32| {
        bits.code("0");
        bits.number(zeros - 11, 7);
    };
    bits.code(two); // literal 0
    run(&mut bits, 138);
    run(&mut bits, 117);
    bits.code(two); // end of block
    run(&mut bits, 28);
    bits.code(one); // length 258
    bits.code(one); // distance 1
    let (literal, end, long_match) = ("10", "11", "00");
    bits.code(literal);
    for _ in 0..(len - 1) / 258 {
        bits.code(long_match);
    }
    for _ in 0..(len - 1) % 258 {
        bits.code(literal);
    }
    bits.code(end);

    let mut stream = vec![0x78, 0xDA];
    stream.extend(bits.bytes);
    let checksum = ((len % 65_521) << 16) | 1;
    stream.extend(checksum.to_be_bytes());
    stream
}

/// Bits in the order of DEFLATE.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn bit(&mut self, bit: bool) {
        if self.used.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (self.used % 8);
        }
        self.used += 1;
    }

    fn number(&mut self, value: u32, bits: u32) {
        for at in 0..bits {
            self.bit(value >> at & 1 == 1);
        }
    }

    fn code(&mut self, code: &str) {
        for bit in code.bytes() {
            self.bit(bit == b'1');
        }
    }
}

fn adler32(data: impl Iterator<Item = u8>) -> u32 {
    let (a, b) = data.fold((1, 0), |(a, b): (u32, u32), byte| {
        let a = (a + u32::from(byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    b << 16 | a
}

pub(super) fn crc32(data: &[u8]) -> u32 {
    let crc = data.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            let divided = crc >> 1;
            if crc & 1 == 1 { divided ^ 0xEDB8_8320 } else { divided }
        })
    });
    !crc
}

/// A TIFF directory with nothing but the orientation.
pub(super) fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0".to_vec();
    exif.extend(1_u16.to_le_bytes());
    exif.extend(0x0112_u16.to_le_bytes());
    exif.extend(3_u16.to_le_bytes());
    exif.extend(1_u32.to_le_bytes());
    exif.extend(u32::from(orientation).to_le_bytes());
    exif.extend(0_u32.to_le_bytes());
    exif
}

/// A colour profile with a header and no tags, for a colour space such as `RGB `.
pub(super) fn icc(space: &str) -> Vec<u8> {
    let mut profile = vec![0; 132];
    profile[3] = 132;
    profile[16..20].copy_from_slice(space.as_bytes());
    profile[36..40].copy_from_slice(b"acsp");
    profile
}

/// A chunk of a RIFF file.
pub(super) fn riff_chunk(name: &str, data: &[u8]) -> Vec<u8> {
    let mut chunk = name.as_bytes().to_vec();
    chunk.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
    chunk.extend(data);
    if data.len() % 2 == 1 {
        chunk.push(0);
    }
    chunk
}

/// A WebP file with an extended header.
pub(super) fn webp(flags: u8, width: u32, height: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut header = vec![flags, 0, 0, 0];
    header.extend(&(width - 1).to_le_bytes()[..3]);
    header.extend(&(height - 1).to_le_bytes()[..3]);
    let mut contents = b"WEBP".to_vec();
    contents.extend(riff_chunk("VP8X", &header));
    contents.extend(chunks.concat());
    riff_chunk("RIFF", &contents)
}
