//! Drawings and documents.

use std::fmt::Write as _;

use bytes::Bytes;

/// An SVG drawing of this size, with a colour of [`CORNERS`](super::CORNERS) in each corner.
#[must_use]
pub fn svg(width: u32, height: u32) -> Bytes {
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 2 2' \
         preserveAspectRatio='none'>"
    );
    for ([red, green, blue], (x, y)) in super::CORNERS.iter().zip([(0, 0), (1, 0), (0, 1), (1, 1)]) {
        let _ = write!(svg, "<rect x='{x}' y='{y}' width='1' height='1' fill='rgb({red},{green},{blue})'/>");
    }
    (svg + "</svg>").into()
}

/// A PDF document whose first page has this size, with a colour of [`CORNERS`](super::CORNERS) in each corner, and
/// whose second page is black.
#[must_use]
pub fn pdf(width: u32, height: u32) -> Bytes {
    let mut contents = String::new();
    let (half_width, half_height) = (f64::from(width) / 2.0, f64::from(height) / 2.0);
    // From the bottom up.
    let places = [(0.0, half_height), (half_width, half_height), (0.0, 0.0), (half_width, 0.0)];
    for (color, (x, y)) in super::CORNERS.iter().zip(places) {
        let [red, green, blue] = color.map(|channel| f64::from(channel) / 255.0);
        let _ = writeln!(contents, "{red} {green} {blue} rg {x} {y} {half_width} {half_height} re f");
    }
    pdf_of(&format!("0 0 {width} {height}"), "", contents.as_bytes())
}

/// A PDF document of a page with this box, and these contents, which `packed` tells how to unpack.
#[must_use]
pub fn pdf_of(media_box: &str, packed: &str, contents: &[u8]) -> Bytes {
    let stream = |description: &str, data: &[u8]| {
        [format!("<<{description} /Length {}>>\nstream\n", data.len()).as_bytes(), data, b"\nendstream"]
            .concat()
    };
    let page = |contents: u32| {
        format!(
            "<</Type /Page /Parent 2 0 R /MediaBox [{media_box}] /Contents {contents} 0 R /Resources <<>>>>"
        )
    };
    let black = b"0 g 0 0 100000 100000 re f";
    pdf_from(&[
        b"<</Type /Catalog /Pages 2 0 R>>".to_vec(),
        b"<</Type /Pages /Kids [3 0 R 5 0 R] /Count 2>>".to_vec(),
        page(4).into_bytes(),
        stream(packed, contents),
        page(6).into_bytes(),
        stream("", black),
    ])
}

/// A PDF document of these objects, the first of which is the catalog.
#[must_use]
pub fn pdf_from(objects: &[Vec<u8>]) -> Bytes {
    let mut file = b"%PDF-1.7\n".to_vec();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (number, object) in objects.iter().enumerate() {
        let _ = writeln!(table, "{:010} 00000 n ", file.len());
        file.extend(format!("{} 0 obj\n", number + 1).bytes());
        file.extend(object);
        file.extend(b"\nendobj\n");
    }
    let start = file.len();
    file.extend(table.bytes());
    let count = objects.len() + 1;
    file.extend(format!("trailer\n<</Size {count} /Root 1 0 R>>\nstartxref\n{start}\n%%EOF\n").bytes());
    file.into()
}

/// The same document, said to be encrypted.
#[must_use]
pub fn encrypted_pdf() -> Bytes {
    let text = pdf(10, 10);
    let text = String::from_utf8_lossy(&text);
    text.replace("/Root 1 0 R", "/Root 1 0 R /Encrypt <</Filter /Standard /V 1 /R 2 /O (o) /U (u) /P 0>>")
        .into()
}
