//! The picture in a HEIC file.

use bytes::Bytes;

use super::{
    metadata::without_metadata,
    process::{Order, Starter},
};
use crate::thumbnail::RenderError;

/// The parts of a header that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Pixels of the largest picture in the file.
    pixels: u64,
    alpha: bool,
}

/// Names of the picture, whose ending says which format it is to have, and what the program calls the first one of several.
const JPEG: [&str; 2] = ["frame.jpg", "frame-1.jpg"];
const PNG: [&str; 2] = ["frame.png", "frame-1.png"];

/// Of pictures that say nothing of their size at their beginning: as many as most phones take.
const USUAL_PIXELS: u64 = 12_500_000;

impl Header {
    /// Looks for what is in the header's boxes without following their tree: the program reads that, and finds its memory
    /// too small should it find more.
    pub(super) fn read(head: &[u8]) -> Self {
        // ISO 23008-12, 6.5.3: a box of 20 bytes, version and flags 0, width and height.
        const SIZE: &[u8] = b"\0\0\0\x14ispe\0\0\0\0";
        // ISO 23008-12, 6.5.8, with the name of an auxiliary picture that is an alpha channel.
        const ALPHA: [&[u8]; 2] =
            [b"urn:mpeg:hevc:2015:auxid:1", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"];
        let number =
            |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u64::from(u32::from_be_bytes(*bytes)));
        let sizes = head.windows(SIZE.len() + 8).filter_map(|window| window.strip_prefix(SIZE));
        let pixels = sizes.map(|size| number(size).saturating_mul(number(&size[4..]))).max();
        let pixels = pixels.unwrap_or(USUAL_PIXELS);
        let alpha = ALPHA.iter().any(|name| head.windows(name.len()).any(|window| window == *name));
        Self { pixels, alpha }
    }

    pub(super) const fn pixels(&self) -> u64 {
        self.pixels
    }

    /// What decoding takes, and encoding: 12 million pixels take 60 MiB, and 100 with alpha.
    pub(super) const fn memory_bytes(&self) -> u64 {
        const BASE: u64 = 64 * 1024 * 1024;
        BASE.saturating_add(self.pixels.saturating_mul(8))
    }

    pub(super) const fn content_type(&self) -> &'static str {
        if self.alpha { "image/png" } else { "image/jpeg" }
    }
}

/// The picture, upright.
pub(super) async fn picture(
    starter: &Starter,
    mut order: Order<'_>,
    header: &Header,
) -> Result<Bytes, RenderError> {
    let names = if header.alpha { &PNG } else { &JPEG };
    order.writable = names;
    let arguments = ["-q", "95", super::scratch::SOURCE, names[0]];
    let mut process = starter.start("heif", &order, &arguments).map_err(RenderError::Worker)?;
    process.end().await.map_err(RenderError::Worker)?;
    for name in names {
        // Whether it fails for another picture of the file afterwards does not matter.
        let picture = order.scratch.read(name, order.memory_bytes).await.map_err(RenderError::Worker)?;
        if is_whole(&picture) {
            process.succeeded();
            return Ok(without_metadata(picture.into()));
        }
    }
    Err(process.failed("no picture was written").await)
}

fn is_whole(picture: &[u8]) -> bool {
    picture.ends_with(&[0xff, 0xd9]) || picture.ends_with(b"IEND\xaeB`\x82")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ispe(width: u32, height: u32) -> Vec<u8> {
        [b"\0\0\0\x14ispe\0\0\0\0".as_slice(), &width.to_be_bytes(), &height.to_be_bytes()].concat()
    }

    #[test]
    fn the_largest_picture_counts() {
        let head = [ispe(512, 512), b"colr".to_vec(), ispe(4032, 3024), ispe(320, 240)].concat();
        assert_eq!(Header::read(&head), Header { pixels: 4032 * 3024, alpha: false });
        let bomb = Header::read(&ispe(u32::MAX, u32::MAX));
        assert_eq!(bomb.memory_bytes(), u64::MAX);
    }

    #[test]
    fn only_alpha_is_alpha() {
        let with = |name: &str| Header::read(&[&ispe(2, 2), name.as_bytes()].concat()).alpha;
        assert!(with("urn:mpeg:hevc:2015:auxid:1\0"));
        assert!(with("urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"));
        // Depth, and the brightness of phones.
        assert!(!with("urn:mpeg:hevc:2015:auxid:2\0"));
        assert!(!with("urn:com:apple:photo:2020:aux:hdrgainmap\0"));
    }

    #[test]
    fn a_header_without_a_size_is_taken_for_the_usual_one() {
        assert_eq!(Header::read(b"\0\0\0\x14ispe\0\0").pixels(), USUAL_PIXELS);
    }
}
