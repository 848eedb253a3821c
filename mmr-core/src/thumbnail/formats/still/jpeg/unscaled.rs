//! The memory of the decoder that takes what is not ordinary, and decodes it in full.

use crate::types::Size;

/// What the decoder takes besides the decoded pixels.
pub(super) fn working_bytes(source: &[u8], Size { width, height }: Size) -> u64 {
    /// Row buffers of all components, with every sampling factor.
    const BYTES_PER_COLUMN: u64 = 512;
    /// Coefficients are 16-bit.
    const COEFFICIENT_BYTES: u64 = 2;
    /// Coefficients are kept for whole blocks of up to 32 by 32 pixels.
    const BLOCK: u64 = 32;
    let (width, height) = (u64::from(width), u64::from(height));
    let coefficients = (width + BLOCK) * (height + BLOCK) * COEFFICIENT_BYTES;
    // The decoder copies its input.
    let copy = source.len() as u64;
    copy + width * BYTES_PER_COLUMN + coefficients * buffered_components(source)
}

/// Of how many components the decoder may keep the coefficients of the whole picture: none when it can work
/// row by row.
///
/// It keeps them for progressive files, and for others when the first scan has not all components. Where
/// the segments really lie is the decoder's reading, and a crafted file could have us read it differently.
/// So every place is looked at where the decoder could have found a frame or scan header that it accepts,
/// by the fixed bytes of those; embedded previews and chance can only make the answer larger.
fn buffered_components(source: &[u8]) -> u64 {
    let (mut frames, mut scans) = ([false; 5], [false; 5]);
    let mut progressive = false;
    for window in windows_with_markers(source) {
        // Marker, 16-bit length, then the sample precision of a frame or the component count of a scan.
        match *window {
            [marker @ 0xC0..=0xC2, 0, length @ (11 | 14 | 17 | 20), 8, _] => {
                progressive |= marker == 0xC2;
                frames[usize::from(length - 8) / 3] = true;
            }
            [0xDA, 0, length @ (8 | 10 | 12 | 14), count, _] if count == (length - 6) / 2 => {
                scans[usize::from(count)] = true;
            }
            _ => {}
        }
    }
    let most = frames.iter().rposition(|&seen| seen).unwrap_or(4);
    let agreed = frames == scans && frames.iter().filter(|&&seen| seen).count() == 1;
    if agreed && !progressive { 0 } else { most as u64 }
}

/// All windows of five bytes that begin with one of those markers, and some others.
fn windows_with_markers(source: &[u8]) -> impl Iterator<Item = &[u8]> {
    /// So many bytes are compared at once.
    const STRIDE: usize = 64;
    let rests = (0..source.len()).step_by(STRIDE).filter_map(|start| source.get(start..));
    let worth_it = rests.filter(|rest| has_marker(rest.get(..=STRIDE).unwrap_or(rest)));
    worth_it.flat_map(|rest| rest.windows(5).take(STRIDE))
}

/// Whether there may be a marker and the first byte of its length.
fn has_marker(bytes: &[u8]) -> bool {
    let marker = |byte: u8| u8::from(byte == 0xDA) | u8::from(byte & 0xFC == 0xC0);
    let pairs = bytes.iter().zip(bytes.iter().skip(1));
    // Without a way out, so that it is done for many bytes at a time.
    pairs.fold(0, |any, (&byte, &length)| any | marker(byte) & u8::from(length == 0)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::images;

    #[test]
    fn ordinary_files_are_decoded_row_by_row() {
        assert_eq!(buffered_components(&images::jpeg(16, 16)), 0);
        assert_eq!(buffered_components(&images::grey_jpeg(16, 16)), 0);
        assert_eq!(buffered_components(&images::cmyk_jpeg(16, 16)), 0);
    }

    #[test]
    fn bytes_that_only_look_like_a_header_do_no_harm() {
        let mut source = images::jpeg(16, 16).to_vec();
        for byte in 0..=255 {
            source.extend([0xDA, 0, 8, byte, 0, 0xC0, 0, 11, byte, 0, 0xC0, 0, byte, 8, 0]);
        }
        assert!(buffered_components(&source) > 0);
    }

    #[test]
    fn a_header_is_seen_wherever_it_lies() {
        for before in 0..200 {
            let source = [&vec![0xC1; before][..], &[0xC2, 0, 17, 8, 0]].concat();
            let windows: Vec<_> = windows_with_markers(&source).collect();
            assert!(windows.contains(&&[0xC2, 0, 17, 8, 0][..]), "{before}");
        }
    }

    #[test]
    fn progressive_files_need_their_coefficients_in_memory() {
        assert_eq!(buffered_components(&images::progressive_jpeg(16, 16)), 3);
    }

    #[test]
    fn a_scan_of_one_component_anywhere_is_taken_seriously() {
        let mut source = images::jpeg(16, 16).to_vec();
        source.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 0x3F, 0]);
        assert_eq!(buffered_components(&source), 3);
    }
}
