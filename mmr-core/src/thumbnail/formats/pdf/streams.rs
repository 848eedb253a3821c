//! How much the streams of a document become when they are unpacked, found out without keeping any of it.

use std::io::{self, Read};

use flate2::read::{DeflateDecoder, ZlibDecoder};
use memchr::{memchr_iter, memmem};

use crate::thumbnail::render::{Cancelled, RenderError};

/// Bytes of one stream.
const MAX_STREAM: u64 = 64 * 1024 * 1024;
/// Bytes of all that are not pictures. They may be read while the document is opened.
const MAX_STRUCTURE: u64 = 64 * 1024 * 1024;
/// Bytes of all.
const MAX_ALL: u64 = 512 * 1024 * 1024;
/// Bytes of a stream that was packed twice.
const MAX_TWICE: u64 = 64 * 1024;
/// Bytes in front of a stream that are taken for its description.
const DESCRIPTION: usize = 2048;

/// Refuses encrypted documents and those that become too much. Returns a bound of what is in memory at once, in bytes.
pub(super) fn bound(source: &[u8], cancelled: &Cancelled) -> Result<u64, RenderError> {
    look_at_names(source)?;
    let (mut all, mut structure, mut largest) = (0, 0, 0);
    for at in memmem::find_iter(source, b"stream") {
        if cancelled.get() {
            return Err(RenderError::Deadline);
        }
        let (before, from) = source.split_at_checked(at).unwrap_or_default();
        if before.ends_with(b"end") {
            continue;
        }
        let data = from.get(b"stream".len()..).unwrap_or_default();
        let data = data.strip_prefix(b"\r").unwrap_or(data);
        let data = data.strip_prefix(b"\n").unwrap_or(data);
        if twice(data) > MAX_TWICE {
            return Err(too_much());
        }
        let bytes = once(data);
        let description = before.get(before.len().saturating_sub(DESCRIPTION)..).unwrap_or_default();
        let start = memmem::rfind(description, b"obj").unwrap_or_default();
        let picture = memmem::find(description.get(start..).unwrap_or_default(), b"/Image").is_some();
        all += bytes;
        if picture {
            largest = bytes.max(largest);
        } else {
            structure += bytes;
        }
        if bytes > MAX_STREAM || structure > MAX_STRUCTURE || all > MAX_ALL {
            return Err(too_much());
        }
    }
    Ok(structure + largest + source.len() as u64)
}

fn too_much() -> RenderError {
    RenderError::Unsupported("document unpacks to too much".to_owned())
}

/// What a stream becomes, with or without the header of zlib. What is not packed ends at once.
fn once(data: &[u8]) -> u64 {
    let most = MAX_STREAM + 1;
    count(ZlibDecoder::new(data), most).max(count(DeflateDecoder::new(data), most))
}

fn twice(data: &[u8]) -> u64 {
    let most = MAX_TWICE + 1;
    let zlib = || ZlibDecoder::new(data);
    let bare = || DeflateDecoder::new(data);
    count(ZlibDecoder::new(zlib()), most)
        .max(count(DeflateDecoder::new(zlib()), most))
        .max(count(ZlibDecoder::new(bare()), most))
        .max(count(DeflateDecoder::new(bare()), most))
}

/// Bytes until the end, the first mistake, or `most`.
fn count(mut reader: impl Read, most: u64) -> u64 {
    let mut buffer = [0; 16 * 1024];
    let mut total = 0;
    while total < most {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => total += read as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    total
}

/// Names that tell of what is not bounded here: keys of encryption, and other ways to pack.
fn look_at_names(source: &[u8]) -> Result<(), RenderError> {
    /// A document with other ways to pack may be as long, in bytes: they make up to 1400 of one.
    const MAX_OTHERWISE_PACKED: usize = 384 * 1024;
    let mut packed_until = None;
    for at in memchr_iter(b'/', source) {
        let mut name = Name::default();
        let end = at + 1 + name.read(source.get(at + 1..).unwrap_or_default());
        match name.as_bytes() {
            b"Encrypt" => return Err(super::encrypted()),
            kind @ (b"FlateDecode" | b"Fl" | b"LZWDecode" | b"LZW" | b"RunLengthDecode" | b"RL") => {
                if !kind.starts_with(b"Fl") && source.len() > MAX_OTHERWISE_PACKED {
                    return Err(too_much());
                }
                // Two in a row: packed again and again.
                if packed_until == Some(at) {
                    return Err(too_much());
                }
                let behind = source.get(end..).unwrap_or_default();
                packed_until = Some(end + (behind.len() - behind.trim_ascii_start().len()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The beginning of a name, its escapes undone.
#[derive(Default)]
struct Name {
    bytes: [u8; 16],
    len: usize,
}

impl Name {
    /// Returns how many bytes of the source it took.
    fn read(&mut self, source: &[u8]) -> usize {
        let mut rest = source;
        while let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = match *rest {
                [b'#', high, low, ..] if hex(high).is_some() && hex(low).is_some() => {
                    rest = rest.get(3..).unwrap_or_default();
                    hex(high).unwrap_or_default() << 4 | hex(low).unwrap_or_default()
                }
                [byte, ..] if !byte.is_ascii_whitespace() && !b"\0/[]<>(){}%".contains(&byte) => {
                    rest = rest.get(1..).unwrap_or_default();
                    byte
                }
                _ => break,
            };
            self.len += 1;
        }
        source.len() - rest.len()
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
