//! One well-formed file of every kind that can be thumbnailed, each small, and what it shows.

use bytes::Bytes;

use self::Fidelity::{Exact, Lossy, Rough, Subsampled};
use super::hostile::Specimen;
use super::{ApngKind, Av1, Avif, CORNERS, Part, Tiff};

/// A well-formed file, and what is to be seen in its thumbnails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Golden {
    /// The file.
    pub file: Specimen,
    /// Its width and height as shown, or those of its canvas.
    pub size: (u32, u32),
    /// What it shows; of animations, in their first frame.
    pub shows: Shows,
    /// How true to that it can be.
    pub fidelity: Fidelity,
    /// Whether only renderers that are not in safe Rust know it.
    pub native: bool,
}

/// The picture that a file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// A colour in each quarter, in RGBA: top left, top right, bottom left, bottom right.
    Quarters([[u8; 4]; 4]),
    /// The bars of a sound that is quiet in its first half and loud in its second.
    QuietThenLoud,
    /// A cover of the usual colours above the bars of a sound.
    Cover,
}

/// How true to its colours a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fidelity {
    /// To the last bit, or almost.
    Exact,
    /// As far as the eye sees.
    Lossy,
    /// The same, with fewer samples for chroma: edges are soft.
    Subsampled,
    /// The same, and coded so coarsely that places are off.
    Rough,
}

/// The files.
#[must_use]
pub fn specimens() -> Vec<Specimen> {
    all().into_iter().map(|golden| golden.file).collect()
}

/// The files, with what they show.
#[must_use]
pub fn all() -> Vec<Golden> {
    [jpegs(), pngs(), gifs(), webps(), avifs(), jxls(), bmps(), tiffs(), documents(), sounds()].concat()
}

const SIZE: (u32, u32) = (48, 36);
/// Of what was coded once.
const CODED: (u32, u32) = (64, 48);

const USUAL: Shows = Shows::Quarters(opaque(CORNERS));
/// As the primaries of Display P3 are in sRGB, or as near as that has them.
const SATURATED: Shows = Shows::Quarters(opaque([[240, 0, 0], [0, 204, 0], [30, 30, 229], [250, 250, 250]]));
/// With red and green exchanged.
const SWAPPED: Shows =
    Shows::Quarters(opaque([[30, 220, 30], [200, 30, 30], [30, 30, 220], [250, 250, 250]]));
const GREY: Shows = sides([40, 40, 40, 255], [210, 210, 210, 255]);
const CLEAR_RIGHT: Shows = sides([255, 0, 0, 255], [0; 4]);

const fn opaque([a, b, c, d]: [[u8; 3]; 4]) -> [[u8; 4]; 4] {
    const fn pixel([r, g, b]: [u8; 3]) -> [u8; 4] {
        [r, g, b, 255]
    }
    [pixel(a), pixel(b), pixel(c), pixel(d)]
}

const fn sides(left: [u8; 4], right: [u8; 4]) -> Shows {
    Shows::Quarters([left, right, left, right])
}

const fn plain([r, g, b]: [u8; 3]) -> Shows {
    Shows::Quarters([[r, g, b, 255]; 4])
}

fn golden(name: &str, bytes: Bytes, size: (u32, u32), shows: Shows, fidelity: Fidelity) -> Golden {
    Golden { file: Specimen::new(name, bytes), size, shows, fidelity, native: false }
}

/// One for each orientation of EXIF.
fn turned(kind: &str, ending: &str, fidelity: Fidelity, make: impl Fn(u8) -> Bytes) -> Vec<Golden> {
    let one = |orientation| {
        let name = format!("{kind}-orientation-{orientation}.{ending}");
        golden(&name, make(orientation), SIZE, USUAL, fidelity)
    };
    (1..=8).map(one).collect()
}

fn jpegs() -> Vec<Golden> {
    let (width, height) = SIZE;
    let one = |name: &str, bytes, shows, fidelity| golden(name, bytes, SIZE, shows, fidelity);
    let profiled = |profile: &[u8]| super::jpeg_with_profile(width, height, profile);
    let mut all = vec![
        one("jpeg.jpg", super::jpeg(width, height), USUAL, Subsampled),
        one("jpeg-progressive.jpg", super::progressive_jpeg(width, height), USUAL, Subsampled),
        one("jpeg-grey.jpg", super::grey_jpeg(width, height), GREY, Lossy),
        one("jpeg-cmyk.jpg", super::cmyk_jpeg(width, height), USUAL, Lossy),
        one("jpeg-ycck.jpg", super::ycck_jpeg(width, height), USUAL, Subsampled),
        one("jpeg-profile.jpg", profiled(&super::display_p3_profile()), SATURATED, Subsampled),
        one("jpeg-profile-exchanged.jpg", profiled(&super::swapped_profile()), SWAPPED, Subsampled),
        one("jpeg-profile-broken.jpg", profiled(&super::broken_profile()), USUAL, Subsampled),
    ];
    let samplings = ["4-4-4", "4-2-2", "4-4-0", "4-2-0", "4-1-1"];
    for (sampling, bytes) in samplings.iter().zip(super::subsampled_jpegs(width, height)) {
        all.push(one(&format!("jpeg-{sampling}.jpg"), bytes, USUAL, Subsampled));
    }
    all.extend(turned("jpeg", "jpg", Subsampled, |orientation| {
        super::jpeg_with_orientation(width, height, orientation)
    }));
    all
}

fn pngs() -> Vec<Golden> {
    let (width, height) = SIZE;
    let one = |name: &str, bytes, shows| golden(name, bytes, SIZE, shows, Exact);
    let swapped = super::png_with_profile(width, height, &super::swapped_profile());
    let mut all = vec![
        one("png.png", super::png(width, height), USUAL),
        one("png-grey.png", super::grey_png(width, height), GREY),
        one("png-grey-alpha.png", super::grey_alpha_png(width, height), sides([255; 4], [0; 4])),
        one("png-one-bit.png", super::black_png(width, height), plain([0; 3])),
        one("png-alpha.png", super::alpha_png(width, height), CLEAR_RIGHT),
        one("png-opaque-alpha.png", super::opaque_rgba_png(width, height), USUAL),
        one("png-palette.png", super::palette_png(width, height), USUAL),
        one("png-palette-alpha.png", super::clear_palette_png(width, height), CLEAR_RIGHT),
        one("png-16-bit.png", super::sixteen_bit_png(width, height), USUAL),
        one("png-interlaced.png", super::interlaced_png(width, height), USUAL),
        one("png-profile.png", swapped, SWAPPED),
        one("apng.png", super::animated_png(width, height), USUAL),
        one("apng-frames.png", super::animated_png_of(width, height, 5), plain(super::frame_color(0))),
    ];
    let kinds = [
        // The picture in front of the frames is there for those who show no animations.
        ("preview", ApngKind::Preview, plain([255; 3])),
        ("interlaced", ApngKind::Interlaced, USUAL),
        ("16-bit", ApngKind::SixteenBit, USUAL),
    ];
    for (name, kind, shows) in kinds {
        let bytes = super::moving_png(width, height, 0, kind, &[LETTERS, SECOND]);
        all.push(one(&format!("apng-{name}.png"), bytes, shows));
    }
    all.extend(turned("png", "png", Exact, |orientation| {
        super::png_with_orientation(width, height, orientation)
    }));
    all
}

const LETTERS: Part = Part::new((0, 0), &ROWS);
const ROWS: [&str; SIZE.1 as usize] = {
    let mut rows = ["RRRRRRRRRRRRRRRRRRRRRRRRGGGGGGGGGGGGGGGGGGGGGGGG"; SIZE.1 as usize];
    let mut row = rows.len() / 2;
    while row < rows.len() {
        rows[row] = "BBBBBBBBBBBBBBBBBBBBBBBBWWWWWWWWWWWWWWWWWWWWWWWW";
        row += 1;
    }
    rows
};
const SECOND: Part = Part::new((2, 2), &["W.", ".W"]);

fn gifs() -> Vec<Golden> {
    let (width, height) = SIZE;
    let one = |name, bytes, shows| golden(name, bytes, SIZE, shows, Exact);
    vec![
        one("gif.gif", super::gif(width, height), USUAL),
        one("gif-animated.gif", super::animated_gif(width, height, 5), plain(super::frame_color(0))),
        one("gif-parts.gif", super::moving_gif(48, 36, Some(0), &[LETTERS, SECOND]), USUAL),
    ]
}

fn webps() -> Vec<Golden> {
    const LOSSY_RED: [u8; 3] = [200, 30, 30];
    let (width, height) = SIZE;
    let one = |name, bytes, shows| golden(name, bytes, SIZE, shows, Exact);
    let letters = super::moving_webp(width, height, 0, &[LETTERS, SECOND]);
    let swapped = super::webp_with_profile(width, height, &super::swapped_profile());
    let places = [(0, 0), (16, 16)].map(|at| Part::new(at, &[]));
    let [red, right] = [[200, 30, 30, 255], [0; 4]];
    let mut all = vec![
        one("webp-lossless.webp", super::lossless_webp(width, height), USUAL),
        golden("webp-lossy.webp", super::lossy_webp(), (16, 16), plain(LOSSY_RED), Lossy),
        golden("webp-lossy-alpha.webp", super::lossy_alpha_webp(), (16, 16), sides(red, right), Lossy),
        one("webp-alpha.webp", super::alpha_webp(width, height), CLEAR_RIGHT),
        one("webp-profile.webp", swapped, SWAPPED),
        one("webp-animated.webp", super::animated_webp(width, height, 5), plain(super::frame_color(0))),
        one("webp-parts.webp", letters, USUAL),
        golden(
            "webp-animated-lossy.webp",
            super::moving_lossy_webp(32, 32, &places),
            (32, 32),
            Shows::Quarters([red, right, right, right]),
            Lossy,
        ),
    ];
    all.extend(turned("webp", "webp", Exact, |orientation| {
        super::webp_with_orientation(width, height, orientation)
    }));
    all
}

fn avifs() -> Vec<Golden> {
    let of = |name: &str, file: &Avif, shows| Golden {
        native: true,
        ..golden(name, file.file(), CODED, shows, Subsampled)
    };
    let (plain, grid) = (Avif::of(Av1::Yuv420), Avif::grid());
    let alpha = Avif { alpha: Some(Av1::Alpha), ..plain.clone() };
    let mut all = vec![
        of("avif.avif", &plain, USUAL),
        of("avif-4-4-4.avif", &Avif::of(Av1::Yuv444FullRange), USUAL),
        of("avif-10-bit.avif", &Avif::of(Av1::Yuv422TenBit), USUAL),
        of("avif-12-bit.avif", &Avif::of(Av1::Yuv420TwelveBit), USUAL),
        of("avif-rgb.avif", &Avif::of(Av1::Rgb), USUAL),
        of("avif-grey.avif", &Avif::of(Av1::Grey), GREY_CORNERS),
        of("avif-alpha.avif", &alpha, CLEAR_LEFT),
        of("avif-grid.avif", &grid, USUAL),
        of("avif-idat.avif", &Avif { in_idat: true, ..plain.clone() }, USUAL),
        of("avif-pieces.avif", &Avif { in_pieces: true, ..grid.clone() }, USUAL),
        Golden { size: Av1::Odd.size(), fidelity: Rough, ..of("avif-odd.avif", &Avif::of(Av1::Odd), USUAL) },
    ];
    for quarters in 0..4 {
        for (mirror, name) in [(None, "as-it-is"), (Some(0), "upside-down"), (Some(1), "mirrored")] {
            let file = Avif { quarters, mirror, ..plain.clone() };
            let shows = Shows::Quarters(turned_corners(quarters, mirror));
            let one = of(&format!("avif-turned-{quarters}-{name}.avif"), &file, shows);
            let size = if quarters % 2 == 1 { (CODED.1, CODED.0) } else { CODED };
            all.push(Golden { size, ..one });
        }
    }
    all
}

/// Of the colours' luma, as BT.601 weighs them.
const GREY_CORNERS: Shows = Shows::Quarters(opaque([[87; 3], [130; 3], [52; 3], [250; 3]]));
const CLEAR_LEFT: Shows = {
    let [_, right, _, below] = opaque(CORNERS);
    Shows::Quarters([[0; 4], right, [0; 4], below])
};

/// The corners after so many quarter turns against the clock, and with top and bottom (0) or left and right (1) exchanged.
fn turned_corners(quarters: u8, mirror: Option<u8>) -> [[u8; 4]; 4] {
    let mut corners = opaque(CORNERS);
    for _ in 0..quarters {
        let [a, b, c, d] = corners;
        corners = [b, d, a, c];
    }
    let [a, b, c, d] = corners;
    match mirror {
        None => corners,
        Some(0) => [c, d, a, b],
        Some(_) => [b, a, d, c],
    }
}

fn jxls() -> Vec<Golden> {
    let one = |name: &str, bytes, shows| golden(name, bytes, CODED, shows, Lossy);
    let mut all = vec![
        one("jxl.jxl", super::lossy_jxl(), USUAL),
        one("jxl-16-bit.jxl", super::sixteen_bit_jxl(), USUAL),
        one("jxl-grey.jxl", super::grey_jxl(), GREY_CORNERS),
        one("jxl-alpha.jxl", super::alpha_jxl(), CLEAR_LEFT),
        one("jxl-profile.jxl", super::jxl_with_profile(), USUAL),
        one("jxl-container.jxl", super::jxl_in_container(&super::lossy_jxl(), 1), USUAL),
        one("jxl-container-parts.jxl", super::jxl_in_container(&super::lossy_jxl(), 20), USUAL),
    ];
    all.extend(
        turned("jxl", "jxl", Lossy, super::jxl_with_orientation)
            .into_iter()
            .map(|golden| Golden { size: CODED, ..golden }),
    );
    all
}

fn bmps() -> Vec<Golden> {
    let (width, height) = SIZE;
    let one = |name, bytes, shows| golden(name, bytes, SIZE, shows, Exact);
    vec![
        one("bmp.bmp", super::bmp(width, height), USUAL),
        one("bmp-palette.bmp", super::palette_bmp(width, height), USUAL),
        one("bmp-runs.bmp", super::run_length_bmp(width, height), USUAL),
        // Five bits of each colour.
        Golden { fidelity: Lossy, ..one("bmp-16-bit.bmp", super::sixteen_bit_bmp(width, height), USUAL) },
        one("bmp-alpha.bmp", super::alpha_bmp(width, height), CLEAR_RIGHT),
    ]
}

fn tiffs() -> Vec<Golden> {
    let (width, height) = SIZE;
    let one = |name, tiff: &Tiff, shows| golden(name, tiff.file(), SIZE, shows, Exact);
    let rgb = Tiff::rgb(width, height);
    let mut all = vec![
        one("tiff.tiff", &rgb, USUAL),
        one("tiff-big-endian.tiff", &Tiff { big_endian: true, ..rgb.clone() }, USUAL),
        one("tiff-16-bit.tiff", &Tiff::rgb16(width, height), USUAL),
        one("tiff-alpha.tiff", &Tiff::rgba(width, height), CLEAR_RIGHT),
        one("tiff-grey.tiff", &Tiff::grey(width, height), GREY),
        one("tiff-cmyk.tiff", &Tiff::cmyk(width, height), USUAL),
        one("tiff-deflate.tiff", &Tiff::deflate(width, height), USUAL),
        one("tiff-pages.tiff", &Tiff { next: true, ..rgb }, USUAL),
    ];
    all.extend(turned("tiff", "tiff", Exact, |orientation| {
        Tiff::with_orientation(width, height, orientation).file()
    }));
    all
}

fn documents() -> Vec<Golden> {
    let (width, height) = SIZE;
    vec![
        golden("svg.svg", super::svg(width, height), SIZE, USUAL, Exact),
        golden("svg-packed.svgz", super::svgz(width, height), SIZE, USUAL, Exact),
        golden("pdf.pdf", super::pdf(width, height), SIZE, USUAL, Exact),
    ]
}

fn sounds() -> Vec<Golden> {
    const CANVAS: (u32, u32) = (768, 240);
    let one = |name, bytes, shows| golden(name, bytes, CANVAS, shows, Lossy);
    let cover = super::png(48, 36);
    vec![
        one("mp3.mp3", super::mp3(), Shows::QuietThenLoud),
        one("mp3-cover.mp3", super::mp3_with_cover(&cover), Shows::Cover),
        one("vorbis.ogg", super::vorbis(), Shows::QuietThenLoud),
        one("flac.flac", super::flac(None), Shows::QuietThenLoud),
        one("flac-cover.flac", super::flac(Some(&cover)), Shows::Cover),
        one("wav.wav", super::wav(4000), Shows::QuietThenLoud),
        one("aac.m4a", super::aac(), Shows::QuietThenLoud),
        one("aac-telephone.mp4", super::aac_of_telephone(), Shows::QuietThenLoud),
        one("alac.m4a", super::alac(), Shows::QuietThenLoud),
    ]
}
