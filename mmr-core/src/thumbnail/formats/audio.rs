//! Audio files: their cover above the shape of their sound, as MMR shows them.
//!
//! Of Opus there is the length and the cover, but not the sound: what decodes it is either not memory-safe or takes as
//! long as the file plays. Where there is a program for it, it comes as FLAC (`thumbnail/programs/sound.rs`).

mod cover;
mod look;
mod sniff;
mod sound;
mod vorbis;

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::panic;
use std::time::Duration;

use symphonia::core::errors::Error;
use symphonia::core::formats::probe::{Hint, Probe};
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::default::{formats, meta};

use self::cover::Cover;
use self::sniff::Kind;
use super::canvas;
use super::still::source::SourceReader;
use super::still::{Format, Header, Pixels};
use crate::thumbnail::render::{Probed, RenderError, RenderTask};

/// The shape of the canvas, in pixels where nothing larger is asked for.
const CANVAS: (f64, f64) = (768.0, 240.0);

/// The stream's buffer, a packet and its samples.
const DECODE_BYTES: u64 = 4 * 1024 * 1024;
/// Tables of a decoder that are larger are refused.
const MAX_TABLE_BYTES: u64 = 128 * 1024 * 1024;

#[derive(Clone, Copy, Debug)]
pub(super) struct Audio;

impl Format for Audio {
    fn is(&self, source: &[u8]) -> bool {
        Kind::of(source).is_some()
    }

    fn see(&self, task: &RenderTask) -> Result<Probed, RenderError> {
        let kind = Kind::of(&task.source).ok_or_else(|| RenderError::decode("no audio"))?;
        let duration = duration(&task.source);
        Ok(Probed { content_type: kind.content_type(), width: 0, height: 0, duration })
    }

    fn open(&self, task: &RenderTask) -> Result<Header, RenderError> {
        let kind = Kind::of(&task.source).ok_or_else(|| RenderError::decode("no audio"))?;
        canvas::admit(kind.content_type(), task)?;
        let source = Source { reader: SourceReader::new(task), len: task.source.len() as u64 };
        let mut reader = read(kind, Box::new(source)).map_err(into_render_error)?;
        let tables = sound::table_bytes(&*reader);
        if tables > MAX_TABLE_BYTES {
            return Err(RenderError::Unsupported("sound needs too large tables".to_owned()));
        }
        let cover = Cover::of(&mut *reader, task);
        if cover.is_none() && !sound::is_known(&*reader) {
            return Err(RenderError::Unsupported("codec is not known".to_owned()));
        }
        let size = canvas::size(CANVAS.0, CANVAS.1, task)?;
        let (cover_bytes, cover_pixels) =
            cover.as_ref().map_or((0, 0), |cover| (cover.bytes(), cover.pixels()));
        let cancelled = task.cancelled.clone();
        let decode = move |size| -> Result<Pixels, RenderError> {
            let bars = sound::bars(reader, &cancelled);
            // A cover that is damaged after its header is left out, and so is the sound where there is none.
            let cover = cover.and_then(|cover| cover.decode().ok());
            if cancelled.get() {
                return Err(RenderError::Deadline);
            }
            match (bars, cover) {
                (Err(error), None) => Err(error),
                (bars, cover) => look::paint(&bars.unwrap_or_default(), cover, size),
            }
        };
        let bytes = DECODE_BYTES + sound::BYTES + tables + cover_bytes;
        let header = canvas::header(kind.content_type(), size, bytes, decode);
        Ok(Header { pixels: header.pixels.max(cover_pixels), ..header })
    }
}

/// How long an audio file plays, by its headers. `None` where it is of no known format, does not say, or makes its reader
/// panic.
fn duration(source: &[u8]) -> Option<Duration> {
    let kind = Kind::of(source)?;
    let look = || sound::duration(&*read(kind, Box::new(Cursor::new(source))).ok()?);
    panic::catch_unwind(look).ok().flatten()
}

/// Reads the headers. Only the format that was recognised is tried, with the tags that come in front and at the end of
/// some.
fn read<'s>(kind: Kind, source: Box<dyn MediaSource + 's>) -> Result<Box<dyn FormatReader + 's>, Error> {
    let mut probe = Probe::default();
    match kind {
        Kind::Mp3 => probe.register_format::<formats::MpaReader<'_>>(),
        Kind::Ogg => probe.register_format::<formats::OggReader<'_>>(),
        Kind::Flac => probe.register_format::<formats::FlacReader<'_>>(),
        Kind::Wav => probe.register_format::<formats::WavReader<'_>>(),
        Kind::Mp4 => probe.register_format::<formats::IsoMp4Reader<'_>>(),
    }
    if kind == Kind::Mp3 {
        probe.register_metadata::<meta::ApeReader<'_>>();
        probe.register_metadata::<meta::Id3v1Reader<'_>>();
        probe.register_metadata::<meta::Id3v2Reader<'_>>();
    }
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    let reader = probe.probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())?;
    match reader.first_track(TrackType::Audio) {
        Some(_) => Ok(reader),
        None => Err(Error::Unsupported("no sound")),
    }
}

fn into_render_error(error: Error) -> RenderError {
    match error {
        Error::Unsupported(what) => RenderError::Unsupported(what.to_owned()),
        error => RenderError::decode(error),
    }
}

struct Source {
    reader: SourceReader,
    len: u64,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader.seek(to)
    }
}

impl MediaSource for Source {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len)
    }
}

#[cfg(test)]
mod tests;
