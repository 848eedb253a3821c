//! Kinds of pictures that few programs write, and every browser shows.

use bytes::Bytes;

use super::animations::passes;
use super::containers::{
    PNG_SIGNATURE, PngColor, crc32, png_chunk, png_data, png_header, riff_chunk, webp, zlib_stored,
};
use super::{CORNERS, corner, lossy_webp, paint, picture_chunk, svg};

fn file(chunks: &[Vec<u8>]) -> Bytes {
    [&PNG_SIGNATURE[..], &chunks.concat(), &png_chunk("IEND", &[])].concat().into()
}

/// A PNG whose rows come in seven passes.
#[must_use]
pub fn interlaced_png(width: u32, height: u32) -> Bytes {
    let pixels = paint(width, height, |x, y| {
        let [r, g, b] = CORNERS[corner(width, height, x, y)];
        [r, g, b, u8::MAX]
    });
    let mut header = png_header(width, height, 8, PngColor::Rgba)[8..21].to_vec();
    header[12] = 1;
    let data = zlib_stored(&passes(&pixels, width, height));
    file(&[png_chunk("IHDR", &header), png_chunk("IDAT", &data)])
}

/// A PNG with a palette of two bits, in which the colour on the right is fully transparent.
#[must_use]
pub fn clear_palette_png(width: u32, height: u32) -> Bytes {
    // Four pixels a byte, all of the same side.
    let data = paint(width / 4, height, |x, _| [if x < width / 8 { 0 } else { 0b0101_0101 }]);
    file(&[
        png_header(width, height, 2, PngColor::Palette),
        png_chunk("PLTE", &[255, 0, 0, 0, 255, 0]),
        png_chunk("tRNS", &[255, 0]),
        png_chunk("IDAT", &png_data(&data, width as usize / 4)),
    ])
}

/// A PNG of grey and alpha: opaque white on the left, and fully transparent on the right.
#[must_use]
pub fn grey_alpha_png(width: u32, height: u32) -> Bytes {
    let data = paint(width, height, |x, _| if x < width / 2 { [255, 255] } else { [0, 0] });
    let mut header = png_header(width, height, 8, PngColor::Grey)[8..21].to_vec();
    header[9] = 4;
    file(&[png_chunk("IHDR", &header), png_chunk("IDAT", &png_data(&data, 2 * width as usize))])
}

/// A lossy WebP, 16 by 16 pixels of about (200, 30, 30), with an alpha channel as it is: opaque on the left and fully
/// transparent on the right.
#[must_use]
pub fn lossy_alpha_webp() -> Bytes {
    const ALPHA: u8 = 0x10;
    let alpha = paint(16, 16, |x, _| [if x < 8 { 255 } else { 0 }]);
    let chunks = [riff_chunk("ALPH", &[&[0], &alpha[..]].concat()), picture_chunk(&lossy_webp())];
    webp(ALPHA, 16, 16, &chunks).into()
}

/// An SVG drawing, packed with gzip.
#[must_use]
pub fn svgz(width: u32, height: u32) -> Bytes {
    gzip(&svg(width, height)).into()
}

/// As gzip has it, in blocks that are as they are.
fn gzip(data: &[u8]) -> Vec<u8> {
    let packed = zlib_stored(data);
    let blocks = packed.get(2..packed.len() - 4).unwrap_or_default();
    let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
    [b"\x1F\x8B\x08\0\0\0\0\0\0\xFF", blocks, &crc32(data).to_le_bytes(), &len.to_le_bytes()].concat()
}
