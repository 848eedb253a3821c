use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::super::canvas::tests::{assert_refused, decoded, enabled};
use super::*;
use crate::testing::images;
use crate::thumbnail::ThumbnailPolicy;

fn open(source: impl Into<Bytes>) -> Result<Header, RenderError> {
    Pdf.open(&enabled(source, CONTENT_TYPE))
}

fn drawn(source: impl Into<Bytes>, width: u32, height: u32) -> Result<image::RgbaImage, RenderError> {
    decoded(open(source)?, width, height)
}

fn packed(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

const FLATE: &str = "/Filter /FlateDecode";

#[test]
fn a_document_is_told_by_its_beginning() {
    assert!(Pdf.is(b"%PDF-1.4"));
    assert!(Pdf.is(&[&[b'x'; 500][..], b"%PDF-1.4"].concat()));
    assert!(!Pdf.is(&[&[b'x'; 1100][..], b"%PDF-1.4"].concat()));
    assert!(!Pdf.is(b"%PDF"));
}

#[test]
fn shapes_of_the_first_page_are_where_it_says() {
    let picture = drawn(images::pdf(200, 100), 100, 50).unwrap();
    for ((x, y), [red, green, blue]) in
        [(10, 10), (90, 10), (10, 40), (90, 40)].into_iter().zip(images::CORNERS)
    {
        assert_eq!(picture.get_pixel(x, y).0, [red, green, blue, 255]);
    }
}

#[test]
fn a_page_is_white_where_nothing_is_drawn() {
    let picture = drawn(images::pdf_of("0 0 10 10", "", b"1 0 0 rg 0 0 5 10 re f"), 10, 10).unwrap();
    assert_eq!((picture.get_pixel(2, 5).0, picture.get_pixel(8, 5).0), ([255, 0, 0, 255], [255; 4]));
}

#[test]
fn a_packed_page_is_drawn() {
    let contents = packed(b"1 0 0 rg 0 0 5 10 re f");
    let picture = drawn(images::pdf_of("0 0 10 10", FLATE, &contents), 10, 10).unwrap();
    assert_eq!(picture.get_pixel(2, 5).0, [255, 0, 0, 255]);
}

#[test]
fn text_is_drawn() {
    let text = b"BT /F1 80 Tf 10 20 Td (M) Tj ET";
    let page = "<</Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] /Contents 4 0 R \
        /Resources <</Font <</F1 <</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>>>>>>>";
    let source = images::pdf_from(&[
        b"<</Type /Catalog /Pages 2 0 R>>".to_vec(),
        b"<</Type /Pages /Kids [3 0 R] /Count 1>>".to_vec(),
        page.into(),
        [format!("<</Length {}>>\nstream\n", text.len()).as_bytes(), text, b"\nendstream"].concat(),
    ]);
    assert!(drawn(source, 100, 100).unwrap().pixels().any(|pixel| pixel.0 == [0, 0, 0, 255]));
}

#[test]
fn drawing_twice_gives_the_same() {
    let draw = || drawn(images::pdf(200, 100), 77, 33).unwrap();
    assert_eq!(draw(), draw());
}

#[test]
fn a_page_fills_its_box_whatever_its_size() {
    let size = |media_box: &str| open(images::pdf_of(media_box, "", b"")).unwrap().size;
    assert_eq!(size("0 0 20 10"), Size::new(2048, 1024));
    assert_eq!(size("0 0 2000000000 1000000000"), Size::new(2048, 1024));
    assert_eq!(size("-100 -100 100 0"), Size::new(2048, 1024));
}

#[test]
fn a_page_without_extent_does_no_harm() {
    for media_box in ["0 0 0 0", "1 2", "0 0 1e-30 1e30", "0 0 99999999999999999999999999999999999999999 1"] {
        let result = drawn(images::pdf_of(media_box, "", b"0 g 0 0 1 1 re f"), 10, 10);
        assert!(matches!(result, Ok(_) | Err(RenderError::Decode(_))), "{media_box}: {result:?}");
    }
}

#[test]
fn an_encrypted_document_is_not_supported() {
    assert!(matches!(open(images::encrypted_pdf()), Err(RenderError::Unsupported(_))));
    let escaped = String::from_utf8_lossy(&images::encrypted_pdf()).replace("/Encrypt", "/#45ncr#79pt");
    assert!(matches!(open(escaped), Err(RenderError::Unsupported(_))));
}

#[test]
fn a_type_that_is_not_enabled_is_not_even_read() {
    let mut task = enabled(images::pdf(10, 10), CONTENT_TYPE);
    task.policy = Arc::new(ThumbnailPolicy { types: Vec::new(), ..ThumbnailPolicy::default() });
    assert!(matches!(Pdf.open(&task), Err(RenderError::Unsupported(_))));
}

#[test]
fn nothing_is_drawn_once_nobody_waits() {
    let task = enabled(images::pdf(10, 10), CONTENT_TYPE);
    let header = Pdf.open(&task).unwrap();
    task.cancelled.set();
    assert!(decoded(header, 8, 8).is_err());
}

// --- damage ---

#[test]
fn a_document_that_broke_off_is_drawn_or_damaged() {
    let whole = images::pdf(200, 100);
    for quarter in 1..4 {
        let result = drawn(whole.slice(..whole.len() * quarter / 4), 10, 10);
        assert!(matches!(result, Ok(_) | Err(RenderError::Decode(_))), "{result:?}");
    }
}

#[test]
fn a_document_without_pages_is_damaged() {
    assert_refused(open(&b"%PDF-1.7"[..]));
    assert_refused(open(images::pdf_from(&[b"<</Type /Catalog>>".to_vec()])));
}

#[test]
fn a_tree_of_pages_that_contains_itself_ends() {
    let source = images::pdf_from(&[
        b"<</Type /Catalog /Pages 2 0 R>>".to_vec(),
        b"<</Type /Pages /Kids [2 0 R 2 0 R] /Count 2>>".to_vec(),
    ]);
    assert_refused(open(source));
}

#[test]
fn deep_nesting_does_no_harm() {
    let nested = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let mut objects = vec![b"<</Type /Catalog /Pages 2 0 R>>".to_vec(), nested];
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    objects.push(b"<<".repeat(100_000));
    let ended = thread.spawn(move || assert_refused(open(images::pdf_from(&objects))));
    ended.unwrap().join().unwrap();
}

#[test]
fn damaged_documents_never_panic() {
    let whole = images::pdf_of("0 0 10 10", FLATE, &packed(b"1 0 0 rg 0 0 5 10 re f"));
    let mut seed = 7_u32;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below
    };
    for _ in 0..300 {
        let mut source = whole.to_vec();
        for _ in 0..4 {
            source[next(whole.len())] = u8::try_from(next(256)).unwrap();
        }
        let _ = drawn(source, 10, 10);
    }
}

// --- bombs ---

#[test]
fn a_stream_that_unpacks_without_end_is_refused() {
    let zeros = packed(&vec![b' '; 80 * 1024 * 1024]);
    assert_refused(open(images::pdf_of("0 0 10 10", FLATE, &zeros)));
    // The header of zlib is not needed.
    assert_refused(open(images::pdf_of("0 0 10 10", FLATE, &zeros[2..])));
}

#[test]
fn a_stream_packed_twice_is_refused() {
    let twice = packed(&packed(&vec![b' '; 1024 * 1024]));
    assert_refused(open(images::pdf_of("0 0 10 10", "/Filter [/FlateDecode /FlateDecode]", &twice)));
    // Whatever is said about it.
    assert_refused(open(images::pdf_of("0 0 10 10", "/Filter 9 0 R", &twice)));
}

#[test]
fn many_streams_are_refused_by_their_sum() {
    let zeros = packed(&vec![b' '; 20 * 1024 * 1024]);
    let stream =
        [format!("<<{FLATE} /Length {}>>\nstream\n", zeros.len()).as_bytes(), &zeros, b"\nendstream"]
            .concat();
    let mut objects = vec![b"<</Type /Catalog /Pages 2 0 R>>".to_vec(), b"<</Kids []>>".to_vec()];
    objects.extend(vec![stream; 4]);
    assert_refused(open(images::pdf_from(&objects)));
}

#[test]
fn other_ways_to_pack_twice_are_refused() {
    for filters in ["[/LZWDecode /LZWDecode]", "[/RunLengthDecode/RL]", "[ /LZWDecode  /FlateDecode ]"] {
        assert_refused(open(images::pdf_of("0 0 10 10", &format!("/Filter {filters}"), b"x")));
    }
}

#[test]
fn what_is_unpacked_is_booked() {
    let bytes = |len: usize| {
        open(images::pdf_of("0 0 10 10", FLATE, &packed(&vec![b' '; len]))).unwrap().decode_bytes
    };
    assert!(bytes(1_000_000) >= bytes(10) + 1_000_000);
}
