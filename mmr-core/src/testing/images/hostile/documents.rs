//! Drawings and documents that grow while they are read.

use std::fmt::Write as _;

use super::super as images;
use super::super::containers::zlib_zeros;
use super::Specimen;

pub(super) fn bombs() -> Vec<Specimen> {
    const GIB: u32 = 1024 * 1024 * 1024;
    const FLATE: &str = "/Filter /FlateDecode";
    let packed = zlib_zeros(GIB);
    let objects = format!("/Type /ObjStm /N 1000000 /First 1000000 {FLATE}");
    vec![
        Specimen::new("bomb-laughs.svg", billion_laughs()),
        Specimen::new("bomb-uses.svg", uses_of_uses()),
        Specimen::new("bomb-deep.svg", nested_groups(200_000)),
        Specimen::new("bomb-patterns.svg", patterns_of_patterns(20)),
        Specimen::new("bomb-pattern-of-itself.svg", pattern_of_itself()),
        Specimen::new("bomb-filters.svg", filters(2000)),
        Specimen::new("bomb-packed.svgz", packed_svg(&packed)),
        Specimen::new("bomb-packed.pdf", images::pdf_of("0 0 10 10", FLATE, &packed)),
        Specimen::new("bomb-objects.pdf", images::pdf_of("0 0 10 10", &objects, &packed)),
        Specimen::new("bomb-pages-loop.pdf", pages("[2 0 R]")),
        Specimen::new("bomb-pages-each-other.pdf", pages("[3 0 R 3 0 R]")),
        Specimen::new("bomb-encrypted.pdf", images::encrypted_pdf()),
    ]
}

const START: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\">";

/// A tree of pages without any: these are the children of its root.
fn pages(kids: &str) -> Vec<u8> {
    images::pdf_from(&[
        b"<</Type /Catalog /Pages 2 0 R>>".to_vec(),
        format!("<</Type /Pages /Kids {kids} /Count 100000>>").into_bytes(),
        b"<</Type /Pages /Kids [2 0 R 2 0 R] /Count 100000>>".to_vec(),
    ])
    .to_vec()
}

/// The beginning of a drawing as it is, and a GiB of zeros: the stream of zlib without its header and checksum.
fn packed_svg(packed: &[u8]) -> Vec<u8> {
    let len = u16::try_from(START.len()).unwrap_or(u16::MAX);
    let stored = [&[0][..], &len.to_le_bytes(), &(!len).to_le_bytes(), START.as_bytes()].concat();
    let zeros = packed.get(2..packed.len() - 4).unwrap_or_default();
    [b"\x1F\x8B\x08\0\0\0\0\0\0\xFF", &stored[..], zeros].concat()
}

/// Each is filled with the next, ten times.
fn patterns_of_patterns(levels: u32) -> String {
    let mut text = format!("{START}<defs>");
    for level in 0..levels {
        let rect = format!("<rect width=\"1\" height=\"1\" fill=\"url(#p{})\"/>", level + 1).repeat(10);
        let _ = write!(text, "<pattern id=\"p{level}\" width=\"1\" height=\"1\">{rect}</pattern>");
    }
    text + "</defs><rect width=\"9\" height=\"9\" fill=\"url(#p0)\"/></svg>"
}

fn pattern_of_itself() -> String {
    let rect = "<rect width=\"9\" height=\"9\" fill=\"url(#p)\"/>";
    format!("{START}<pattern id=\"p\" width=\"1\" height=\"1\">{rect}</pattern>{rect}</svg>")
}

/// Each looks at all pixels around each pixel.
fn filters(count: usize) -> String {
    let step = "<feMorphology operator=\"dilate\" radius=\"400\"/><feTurbulence baseFrequency=\"9\" numOctaves=\"99\"/>";
    format!(
        "{START}<filter id=\"f\">{}</filter><rect width=\"9\" height=\"9\" filter=\"url(#f)\"/></svg>",
        step.repeat(count)
    )
}

fn billion_laughs() -> String {
    let mut text = String::from("<?xml version=\"1.0\"?><!DOCTYPE svg [<!ENTITY l0 \"ha\">");
    for level in 1..=20 {
        let inner = format!("&l{};", level - 1).repeat(10);
        let _ = write!(text, "<!ENTITY l{level} \"{inner}\">");
    }
    text + "]><svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"><text>&l20;</text></svg>"
}

fn uses_of_uses() -> String {
    let mut text = format!("{START}<defs>");
    text += "<rect id=\"u0\" width=\"1\" height=\"1\"/>";
    for level in 1..=20 {
        let inner = format!("<use href=\"#u{}\"/>", level - 1).repeat(10);
        let _ = write!(text, "<g id=\"u{level}\">{inner}</g>");
    }
    text + "</defs><use href=\"#u20\"/></svg>"
}

fn nested_groups(depth: usize) -> String {
    format!("{START}{}<rect width=\"9\" height=\"9\"/>{}</svg>", "<g>".repeat(depth), "</g>".repeat(depth))
}
