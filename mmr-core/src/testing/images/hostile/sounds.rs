//! Sounds that are nothing but promises.

use super::super as images;
use super::Specimen;

pub(super) fn bombs() -> Vec<Specimen> {
    vec![
        Specimen::new("bomb-tags.mp3", endless_tags(150_000)),
        Specimen::new("bomb-tag.mp3", [b"ID3\x04\0\0\x7F\x7F\x7F\x7F".as_slice(), &[0; 4096]].concat()),
        Specimen::new("bomb-picture.flac", flac_of_blocks(6, 20)),
        Specimen::new("bomb-blocks.flac", flac_of_blocks(1, 300_000)),
        Specimen::new("bomb-channels.wav", images::wav_with(10, u16::MAX, u32::MAX)),
        Specimen::new("bomb-pages.ogg", ogg_of_pages(40_000)),
        Specimen::new("bomb-boxes.m4a", boxes_in_boxes(150_000)),
    ]
}

/// Tags without anything in them, one after the other, and no sound.
fn endless_tags(count: usize) -> Vec<u8> {
    b"ID3\x03\0\0\0\0\0\0".repeat(count)
}

/// Blocks of metadata of this kind, each of which says that it is as long as can be, or empty if there are many.
fn flac_of_blocks(kind: u8, count: usize) -> Vec<u8> {
    let len = if count > 1000 { 0 } else { 0xFF };
    let mut file = b"fLaC\0\0\0\x22".to_vec();
    file.extend([0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x0A, 0xC4, 0x42, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    file.extend([0; 16]);
    file.extend([kind, len, len, len].repeat(count));
    file
}

/// The first page of a stream, and pages of nothing that go on with it.
fn ogg_of_pages(count: usize) -> Vec<u8> {
    let whole = images::vorbis();
    let second = whole.windows(4).skip(1).position(|window| window == b"OggS").map_or(0, |at| at + 1);
    let mut file = whole.slice(..second).to_vec();
    let mut page = whole.slice(..27).to_vec();
    page[5] = 1;
    page[26] = 0;
    file.extend(page.repeat(count));
    file
}

/// Boxes, each of which holds the next.
fn boxes_in_boxes(depth: u32) -> Vec<u8> {
    let mut file = b"\0\0\0\x18ftypM4A \0\0\0\0M4A isom".to_vec();
    for level in 0..depth {
        file.extend(((depth - level) * 8).to_be_bytes());
        file.extend(b"moov");
    }
    file
}
