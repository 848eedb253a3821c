//! Pictures that lie about their size, or hold more than they should.

use super::super as images;
use super::super::containers::{riff_chunk, zlib_zeros};
use super::super::{Av1, Avif, Tiff};
use super::Specimen;

pub(super) fn bombs() -> Vec<Specimen> {
    vec![
        Specimen::new("bomb-rows.png", images::png_bomb()),
        Specimen::new("bomb-lie.png", images::lying_png(60_000, 60_000)),
        Specimen::new("bomb-frame.gif", images::gif_with_frame_larger_than_canvas(u16::MAX)),
        Specimen::new("bomb-frame.webp", images::webp_with_frame_larger_than_canvas()),
        Specimen::new("bomb-lie.jpg", jpeg_that_claims(65_500, 65_500)),
        Specimen::new("bomb-lie.bmp", bmp_that_claims(60_000, 60_000, 24, 0)),
        Specimen::new("bomb-runs.bmp", bmp_that_claims(60_000, 60_000, 8, 1)),
        Specimen::new("bomb-lie.tiff", tiff_that_claims(60_000, 60_000)),
        Specimen::new("bomb-strips.tiff", tiff_of_strips(180_000)),
        Specimen::new("bomb-strips-outside.tiff", tiff_with(vec![(273, 4, 400_000_000, 8)])),
        Specimen::new("bomb-samples.tiff", tiff_with(vec![(277, 3, 1, 65_535), (258, 3, 65_535, 8)])),
        Specimen::new("bomb-directory.tiff", tiff_with_directory_at(u32::MAX - 3)),
        Specimen::new("bomb-packed.tiff", packed_tiff()),
        Specimen::new("bomb-canvas.webp", webp_that_claims(16_384, 16_384)),
        Specimen::new(
            "bomb-lie.avif",
            Avif { stated: Some((60_000, 60_000)), ..Avif::of(Av1::Yuv420) }.file(),
        ),
        Specimen::new(
            "bomb-other-size.avif",
            Avif { stated: Some((5000, 5000)), ..Avif::of(Av1::Yuv420) }.file(),
        ),
        Specimen::new("bomb-tiles.avif", avif_of_tiles(255, 255)),
        Specimen::new("bomb-missing-tiles.avif", Avif { grid: Some((255, 255)), ..Avif::grid() }.file()),
        Specimen::new("bomb-extents.avif", Avif { repeats: 45_000, ..Avif::grid() }.file()),
        Specimen::new("bomb-lie.jxl", jxl_that_claims()),
        Specimen::new("bomb-lie-boxed.jxl", images::jxl_in_container(&jxl_that_claims(), 3)),
    ]
}

/// One tile many times over.
fn avif_of_tiles(rows: u8, columns: u8) -> Vec<u8> {
    let shared_tile = Some(usize::from(rows) * usize::from(columns));
    let grid = Some((rows, columns));
    Avif { tiles: vec![Av1::Tile(0)], grid, shared_tile, ..Avif::grid() }.file().to_vec()
}

/// A codestream with the header of 2^30 by 2^30 pixels.
fn jxl_that_claims() -> Vec<u8> {
    // From the lowest bit: not in eighths, 30 bits of height, as wide as high, and all else as usual.
    let bits = 0b11_u64 << 1 | ((1 << 30) - 1) << 3 | 1 << 33 | 1 << 36;
    [&[0xFF, 0x0A][..], &bits.to_le_bytes(), &[0; 64]].concat()
}

fn tiff_with(fields: Vec<(u16, u16, u32, u32)>) -> Vec<u8> {
    Tiff { fields, ..Tiff::rgb(8, 8) }.file().to_vec()
}

/// Every row is a strip, and all strips are the same.
fn tiff_of_strips(count: u32) -> Vec<u8> {
    let data = 8_u32.to_le_bytes().repeat(count as usize);
    let fields = vec![(273, 4, count, 8), (278, 4, 1, 1), (279, 4, count, 8)];
    Tiff { size: (60_000, count), data, fields, ..Tiff::rgb(8, 8) }.file().to_vec()
}

fn tiff_with_directory_at(at: u32) -> Vec<u8> {
    let mut file = Tiff::rgb(8, 8).file().to_vec();
    file[4..8].copy_from_slice(&at.to_le_bytes());
    file
}

/// 100000 by 100000 pixels in packed zeros.
fn packed_tiff() -> Vec<u8> {
    let data = zlib_zeros(300_000_000);
    Tiff { size: (100_000, 100_000), data, compression: 8, ..Tiff::rgb(8, 8) }.file().to_vec()
}

fn jpeg_that_claims(width: u16, height: u16) -> Vec<u8> {
    let mut file = images::jpeg(16, 16).to_vec();
    if let Some(at) = file.windows(2).position(|marker| marker == [0xFF, 0xC0]) {
        file[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
        file[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
    }
    file
}

fn bmp_that_claims(width: u32, height: u32, bits: u32, compression: u32) -> Vec<u8> {
    let mut file = b"BM".to_vec();
    for field in [70_u32, 0, 54, 40, width, height, 1 | bits << 16, compression, 16, 2835, 2835, 0, 0] {
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
    let picture = images::lossless_webp(8, 8).slice(12..).to_vec();
    let mut header = vec![0x10, 0, 0, 0];
    header.extend(&(width - 1).to_le_bytes()[..3]);
    header.extend(&(height - 1).to_le_bytes()[..3]);
    let body = [b"WEBP".to_vec(), riff_chunk("VP8X", &header), picture].concat();
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [b"RIFF".as_slice(), &len.to_le_bytes(), &body].concat()
}
