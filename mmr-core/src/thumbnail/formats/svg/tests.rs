use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::super::canvas::tests::{assert_refused, decoded, enabled};
use super::document::is_svg;
use super::*;
use crate::thumbnail::ThumbnailPolicy;

fn task(source: impl Into<Bytes>) -> RenderTask {
    enabled(source, CONTENT_TYPE)
}

fn open(source: impl Into<Bytes>) -> Result<Header, RenderError> {
    Svg { fonts: Fonts::open() }.open(&task(source))
}

/// The drawing at this size, in straight RGBA.
fn drawn(source: impl Into<Bytes>, width: u32, height: u32) -> Result<image::RgbaImage, RenderError> {
    decoded(open(source)?, width, height)
}

fn svg(inside: &str) -> String {
    format!(r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{inside}</svg>"#)
}

/// A document in 100 units square, drawn at 100 pixels square.
fn square(inside: &str) -> Result<image::RgbaImage, RenderError> {
    drawn(svg(inside), 100, 100)
}

// --- recognition ---

#[test]
fn a_drawing_is_told_by_its_root_element() {
    for source in [
        "<svg/>",
        "\u{FEFF}<svg>",
        " \n<svg xmlns='x'>",
        "<?xml version='1.0'?>\n<!-- a > b --><!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'x'>\n<svg ",
        "<!DOCTYPE svg [ <!ENTITY a 'b>c'> ] ><svg>",
        "<svg:svg xmlns:svg='x'>",
    ] {
        assert!(is_svg(source.as_bytes()), "{source}");
    }
}

#[test]
fn other_documents_are_no_drawings() {
    let late = format!("<!--{}--><svg>", "x".repeat(5000));
    for source in ["", "<", "<svgx>", "<html><svg>", "<!-- <svg> ", "text <svg>", "<!DOCTYPE", "<?xml", &late]
    {
        assert!(!is_svg(source.as_bytes()), "{source}");
    }
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_compressed_drawing_is_recognised() {
    assert!(is_svg(&packed(svg("").as_bytes())));
    assert!(!is_svg(&packed(b"text")));
}

// --- pixels ---

const SHAPES: &str = r##"<rect width="50" height="50" fill="#dc1e1e"/><circle cx="75" cy="75" r="20" fill="#1e1edc" fill-opacity="0.5"/>"##;

#[test]
fn shapes_are_where_the_drawing_says() {
    let picture = square(SHAPES).unwrap();
    assert_eq!(picture.get_pixel(25, 25).0, [0xDC, 0x1E, 0x1E, 255]);
    assert_eq!(picture.get_pixel(75, 25).0[3], 0);
    let [red, _, blue, alpha] = picture.get_pixel(75, 75).0;
    assert!(red.abs_diff(0x1E) < 3 && blue.abs_diff(0xDC) < 3 && alpha.abs_diff(128) < 2);
}

#[test]
fn a_drawing_has_the_size_that_is_asked_for() {
    assert_eq!(drawn(svg(SHAPES), 37, 41).unwrap().dimensions(), (37, 41));
    assert_eq!(drawn(svg(SHAPES), 9000, 9000).unwrap().dimensions(), (2048, 2048));
}

#[test]
fn a_tiny_drawing_is_not_limited_by_its_size() {
    let source = r#"<svg xmlns="http://www.w3.org/2000/svg" width="4" height="2"/>"#;
    assert_eq!(open(source).unwrap().size, Size::new(2048, 1024));
}

#[test]
fn a_compressed_drawing_is_drawn() {
    let picture = drawn(packed(svg(SHAPES).as_bytes()), 100, 100).unwrap();
    assert_eq!(picture.get_pixel(25, 25).0, [0xDC, 0x1E, 0x1E, 255]);
}

#[test]
fn drawing_twice_gives_the_same() {
    assert_eq!(square(SHAPES).unwrap(), square(SHAPES).unwrap());
}

#[test]
fn pictures_inside_are_left_out() {
    let inner = "PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciPjxyZWN0IHdpZHRoPSI5IiBoZWlnaHQ9IjkiLz48L3N2Zz4=";
    let picture = square(&format!(
        r#"<image width="100" height="100" href="data:image/svg+xml;base64,{inner}"/>
        <image width="100" height="100" href="/etc/hostname.svg"/>"#
    ));
    assert!(picture.unwrap().pixels().all(|pixel| pixel.0[3] == 0));
}

#[test]
fn text_without_fonts_is_left_out() {
    let header = Svg { fonts: Fonts::default() }.open(&task(svg(r#"<text y="50">Text</text>"#))).unwrap();
    let picture = decoded(header, 100, 100).unwrap();
    assert!(picture.pixels().all(|pixel| pixel.0[3] == 0));
}

#[test]
fn a_type_that_is_not_enabled_is_not_even_parsed() {
    let mut task = task("<svg");
    task.policy = Arc::new(ThumbnailPolicy { types: Vec::new(), ..ThumbnailPolicy::default() });
    assert!(matches!(Svg { fonts: Fonts::default() }.open(&task), Err(RenderError::Unsupported(_))));
}

#[test]
fn nothing_is_drawn_once_nobody_waits() {
    let task = task(svg(SHAPES));
    let header = Svg { fonts: Fonts::default() }.open(&task).unwrap();
    task.cancelled.set();
    assert!((header.decode)(Size::new(8, 8)).is_err());
}

// --- damage ---

#[test]
fn a_drawing_that_broke_off_is_damaged() {
    let whole = svg(SHAPES);
    for quarter in 1..4 {
        let source = whole[..whole.len() * quarter / 4].to_owned();
        assert!(matches!(open(source), Err(RenderError::Decode(_))));
    }
}

#[test]
fn a_compressed_drawing_that_broke_off_is_damaged() {
    let whole = packed(svg(SHAPES).as_bytes());
    for quarter in 1..4 {
        assert!(matches!(open(whole[..whole.len() * quarter / 4].to_vec()), Err(RenderError::Decode(_))));
    }
}

#[test]
fn a_drawing_without_extent_is_refused() {
    for size in [r#"width="0" height="5""#, r#"width="-1" height="5""#] {
        assert_refused(open(format!(r#"<svg xmlns="http://www.w3.org/2000/svg" {size}/>"#)));
    }
}

// --- bombs ---

#[test]
fn text_that_unpacks_without_end_is_refused() {
    let mut text = svg("").into_bytes();
    text.resize(64 * 1024 * 1024, b' ');
    assert_refused(open(packed(&text)));
}

#[test]
fn a_billion_laughs_are_refused() {
    let mut entities = String::from("<!ENTITY l0 \"<g/><g/><g/><g/><g/><g/><g/><g/><g/><g/>\">");
    for level in 1..10 {
        let inner = format!("&l{};", level - 1).repeat(10);
        entities += &format!("<!ENTITY l{level} \"{inner}\">");
    }
    for level in [4, 9] {
        assert_refused(open(format!("<!DOCTYPE svg [{entities}]>{}", svg(&format!("&l{level};")))));
    }
}

#[test]
fn many_entities_are_refused_by_what_becomes_of_them() {
    let body = "<g/>".repeat(1000);
    let source = format!("<!DOCTYPE svg [<!ENTITY e \"{body}\">]>{}", svg(&"&e;".repeat(1000)));
    assert_refused(open(source));
}

#[test]
fn elements_nested_too_deeply_are_refused() {
    for depth in [200, 20_000] {
        assert_refused(open(svg(&format!("{}{}", "<g>".repeat(depth), "</g>".repeat(depth)))));
    }
}

/// On a thread whose stack is as small as that of a thread of the runtime.
#[test]
fn elements_nested_as_deeply_as_allowed_are_drawn() {
    let depth = 120;
    let open = "<g transform='translate(0.01)'>".repeat(depth);
    let source = svg(&format!("{open}{SHAPES}{}", "</g>".repeat(depth)));
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let picture = thread.spawn(move || drawn(source, 100, 100)).unwrap().join().unwrap().unwrap();
    assert_eq!(picture.get_pixel(25, 25).0, [0xDC, 0x1E, 0x1E, 255]);
}

#[test]
fn copies_of_copies_are_refused() {
    let mut inside = String::from(r#"<g id="g0"><rect width="9" height="9"/></g>"#);
    for level in 1..12 {
        let uses = format!(r##"<use href="#g{}"/>"##, level - 1).repeat(10);
        inside += &format!(r#"<g id="g{level}">{uses}</g>"#);
    }
    assert_refused(square(&inside));
}

#[test]
fn a_long_chain_of_copies_is_refused() {
    let links = (1..5000).map(|link| format!(r##"<g id="g{link}"><use href="#g{}"/></g>"##, link - 1));
    assert_refused(square(&format!(r#"<g id="g0"/>{}"#, links.collect::<String>())));
}

#[test]
fn a_drawing_that_contains_itself_is_refused() {
    assert_refused(square(r##"<g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g>"##));
}

/// Masks in masks, each used ten times by the next.
fn masks(apply: impl Fn(usize) -> String) -> String {
    let mut inside = String::from(r#"<mask id="m0"><rect width="9" height="9"/></mask>"#);
    for level in 1..12 {
        let rects = format!("<rect width='9' height='9' {}/>", apply(level - 1)).repeat(10);
        inside += &format!(r#"<mask id="m{level}">{rects}</mask>"#);
    }
    inside + &format!("<rect width='9' height='9' {}/>", apply(11))
}

#[test]
fn masks_of_masks_are_refused() {
    assert_refused(square(&masks(|level| format!("mask='url(#m{level})'"))));
    assert_refused(square(&masks(|level| format!("style='mask: url(\"#m{level}\")'"))));
}

#[test]
fn masks_of_masks_by_style_sheet_are_refused() {
    let rules = (0..12).map(|level| format!(".m{level}{{mask:url(#m{level})}}")).collect::<Vec<_>>().concat();
    assert_refused(square(&format!("<style>{rules}</style>{}", masks(|level| format!("class='m{level}'")))));
}

#[test]
fn classes_of_a_style_sheet_are_drawn() {
    let picture = square(
        "<style>.a{clip-path:url(#c)} .b,.c{fill:#00f}</style>
        <clipPath id='c'><rect class='b' width='50' height='100'/></clipPath>
        <rect class='a c' width='100' height='100'/>",
    )
    .unwrap();
    assert_eq!(picture.get_pixel(25, 50).0, [0, 0, 255, 255]);
    assert_eq!(picture.get_pixel(75, 50).0[3], 0);
}

#[test]
fn an_element_of_very_many_attributes_is_refused() {
    let attributes = (0..5000).map(|number| format!(" a{number}='x'")).collect::<Vec<_>>().concat();
    assert_refused(square(&format!("<g{attributes}/>")));
}

#[test]
fn a_huge_pattern_is_refused() {
    assert_refused(square(
        "<pattern id='p' width='9000' height='9000' patternUnits='userSpaceOnUse'><g/></pattern>
        <pattern id='q' width='90000' height='90000' patternUnits='userSpaceOnUse'><rect width='9' height='9'/></pattern>
        <rect width='100' height='100' fill='url(#q)'/>",
    ));
}

#[test]
fn a_filter_that_takes_forever_is_refused() {
    for primitive in [
        "<feTurbulence baseFrequency='0.1' numOctaves='100000000'/>",
        "<feMorphology operator='dilate' radius='50'/>",
        &"<feTurbulence baseFrequency='0.1' numOctaves='9'/>".repeat(2000),
    ] {
        let inside =
            format!("<filter id='f'>{primitive}</filter><rect width='99' height='99' filter='url(#f)'/>");
        assert_refused(drawn(svg(&inside), 2000, 2000));
    }
}

#[test]
fn a_huge_blur_ends() {
    let inside = "<filter id='f' x='-1000%' width='3000%'><feGaussianBlur stdDeviation='100000'/></filter>
        <rect width='99' height='99' filter='url(#f)'/>";
    let result = square(inside);
    assert!(matches!(result, Ok(_) | Err(RenderError::Unsupported(_))), "{result:?}");
}

#[test]
fn dashes_without_number_are_refused() {
    let line = "<path d='M0 0H100000000' stroke='red' stroke-dasharray='0.001'/>";
    assert_refused(square(&line.repeat(100)));
}

#[test]
fn the_same_picture_painted_over_and_over_is_refused() {
    assert_refused(drawn(svg(&"<rect width='100' height='100' opacity='0.5'/>".repeat(20_000)), 2000, 2000));
}

#[test]
fn many_letters_are_refused() {
    assert_refused(square(&format!("<text>{}</text>", "x".repeat(1_000_000))));
}

#[test]
fn layers_in_layers_are_booked() {
    let bytes = |depth: usize| {
        let inside = format!("{}{SHAPES}{}", "<g opacity='0.9'>".repeat(depth), "</g>".repeat(depth));
        open(svg(&inside)).unwrap().decode_bytes
    };
    assert!(bytes(3) > bytes(1) + 2 * 1024 * 1024 * 4);
}
