//! The sound of Opus, for which there is no decoder in safe Rust, and of `WebM`.

use bytes::Bytes;

use super::{
    ffmpeg::Input,
    kinds::Container,
    process::{Order, Starter},
};
use crate::thumbnail::RenderError;

/// What is known of a source before it is decoded.
#[derive(Debug)]
pub(super) struct Header {
    format: &'static str,
    decoders: &'static str,
    /// Whether it seems to have a cover.
    cover: bool,
}

/// What it becomes, for the engine to draw: that can have a cover, and be listened to in places.
pub(super) const CONTENT_TYPE: &str = "audio/flac";

/// Of longer sounds so much is decoded, which takes some seconds.
const MOST_SECONDS: u64 = 1800;
/// Enough for speech.
const RATE: u64 = 8000;
/// 16 bits of one channel where nothing can be compressed, and headers.
const MOST_SOUND_BYTES: u64 = MOST_SECONDS * RATE * 2 + 1024 * 1024;
const MOST_COVER_BYTES: u64 = 32 * 1024 * 1024;

const DECODERS_WITH_COVER: &str = "opus,libopus,mjpeg,png";
/// The name of what has no cover.
const PLAIN: &str = "sound.flac";

/// Pixels of the engine's picture, about.
pub(super) const PIXELS: u64 = 2048 * 640;

impl Header {
    /// Looks for the name of a cover among the comments (RFC 7845, 5.2) without following them: the program reads those.
    pub(super) fn of_opus(head: &[u8]) -> Self {
        const COVER: &[u8] = b"METADATA_BLOCK_PICTURE=";
        let cover = head.windows(COVER.len()).any(|window| window.eq_ignore_ascii_case(COVER));
        Self { format: "ogg", decoders: "opus,libopus", cover }
    }

    /// A video without pictures.
    pub(super) const fn of_video(container: Container) -> Self {
        Self { format: container.format(), decoders: "opus,libopus,vorbis", cover: false }
    }

    /// What decoding takes, and afterwards the picture.
    pub(super) const fn memory_bytes(&self) -> u64 {
        const MIB: u64 = 1024 * 1024;
        if self.cover { 256 * MIB } else { 96 * MIB }
    }
}

/// The sound, and the cover.
pub(super) async fn decoded(
    starter: &Starter,
    order: Order<'_>,
    header: &Header,
    max_pixels: u64,
) -> Result<Bytes, RenderError> {
    let Header { format, decoders, cover } = *header;
    let input = Input { format, decoders, memory_bytes: order.memory_bytes, max_pixels };
    if cover {
        // Its size may have to be found.
        let decoders = DECODERS_WITH_COVER;
        let outcome = attempt(starter, &order, &["covered.flac"], Input { decoders, ..input }).await;
        // A cover that cannot be taken over must not cost the sound.
        if !matches!(outcome, Err(RenderError::Decode(_))) {
            return outcome;
        }
    }
    attempt(starter, &order, &[PLAIN], input).await
}

/// `files` is what the program writes.
async fn attempt(
    starter: &Starter,
    order: &Order<'_>,
    files: &[&str; 1],
    input: Input,
) -> Result<Bytes, RenderError> {
    let [file] = files;
    let (seconds, rate, file_url) = (MOST_SECONDS.to_string(), RATE.to_string(), format!("file:{file}"));
    let (cover, most): (&[&str], _) = if *file == PLAIN {
        (&[], MOST_SOUND_BYTES)
    } else {
        (&["-map", "0:v:0", "-c:v", "copy"], MOST_SOUND_BYTES + MOST_COVER_BYTES)
    };
    let sound = [
        ["-map", "0:a:0"],
        ["-t", &seconds],
        ["-ac", "1"],
        ["-ar", &rate],
        ["-sample_fmt", "s16"],
        ["-c:a", "flac"],
        ["-map_metadata:g", "-1"],
        ["-threads", "1"],
        ["-f", "flac"],
    ];
    // The file is there, and empty.
    let output = [cover, sound.as_flattened(), &["-y", &file_url]].concat();
    let order = Order { writable: files, ..*order };
    let mut process = starter.start("ffmpeg", &order, &input.into(&output)).map_err(RenderError::Worker)?;
    // Of a source that broke off there is what came before.
    if !process.end().await.map_err(RenderError::Worker)?.success() {
        return Err(process.failed("no sound could be decoded").await);
    }
    let sound = order.scratch.read(file, most).await.map_err(RenderError::Worker)?;
    process.succeeded();
    Ok(sound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cover_takes_memory_by_whatever_case_its_name_is_written_in() {
        let plain = Header::of_opus(b"OpusTags\x01\0\0\0artist=somebody");
        let covered = Header::of_opus(b"OpusTags\x01\0\0\0metadata_block_picture=AAAA");
        assert!(covered.memory_bytes() > plain.memory_bytes());
    }
}
