//! Pictures for tests and benches, made on the spot and always the same.
//!
//! Unless said otherwise a picture has a corner of each colour of [`CORNERS`], so that turning, mirroring
//! and cropping show.

#![expect(clippy::missing_panics_doc, reason = "fixtures panic only where they are wrong themselves")]

mod animations;
mod audio;
mod avif;
mod colour;
mod containers;
mod documents;
pub mod golden;
pub mod hostile;
mod jxl;
mod kinds;
mod ordinary;
mod png;
mod scans;
mod subsampled;

use bytes::Bytes;
use image::codecs::gif::GifEncoder;
use image::codecs::webp::WebPEncoder;
use image::{Delay, ExtendedColorType, Frame, RgbaImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

pub use self::animations::{
    ApngKind, Dispose, Part, clip, color, endless_gif, moving_gif, moving_lossy_webp, moving_png,
    moving_webp, moving_webp_turned, pixels,
};
pub use self::audio::{aac, aac_of_telephone, alac, flac, mp3, mp3_with_cover, opus, vorbis, wav, wav_with};
pub use self::avif::{Av1, Avif};
pub use self::colour::{
    broken_profile, display_p3_profile, jpeg_with_profile, linear_grey_profile, srgb_profile,
    swapped_profile, webp_with_profile,
};
use self::containers::{exif, icc, riff_chunk, webp};
pub use self::documents::{encrypted_pdf, pdf, pdf_from, pdf_of, svg};
pub use self::jxl::{
    alpha_jxl, grey_jxl, jxl_in_container, jxl_with_orientation, jxl_with_profile, lossy_jxl, sixteen_bit_jxl,
};
pub use self::kinds::{clear_palette_png, grey_alpha_png, interlaced_png, lossy_alpha_webp, svgz};
pub use self::png::{
    alpha_png, animated_png, animated_png_of, black_png, grey_png, lying_png, opaque_rgba_png, palette_png,
    photo_png, png, png_bomb, png_with_orientation, png_with_profile, png_with_profile_bomb, sixteen_bit_png,
};
pub use self::scans::{Tiff, alpha_bmp, bmp, bmp_header, palette_bmp, run_length_bmp, sixteen_bit_bmp};

pub use self::ordinary::{restarting_jpeg, unusual_jpegs, wavy_grey_jpeg, wavy_jpegs};
pub use self::subsampled::subsampled_jpegs;

/// Red, green, blue, white: top left, top right, bottom left, bottom right.
pub const CORNERS: [[u8; 3]; 4] = [[220, 30, 30], [30, 200, 30], [30, 30, 220], [250, 250, 250]];

/// The value of `field` in `width` by `height` pixels, row by row.
fn paint<const N: usize>(width: u32, height: u32, field: impl Fn(u32, u32) -> [u8; N]) -> Vec<u8> {
    let field = &field;
    (0..height).flat_map(|y| (0..width).flat_map(move |x| field(x, y))).collect()
}

fn corner(width: u32, height: u32, x: u32, y: u32) -> usize {
    usize::from(x >= width / 2) + 2 * usize::from(y >= height / 2)
}

fn corners(width: u32, height: u32) -> Vec<u8> {
    paint(width, height, |x, y| CORNERS[corner(width, height, x, y)])
}

/// Gradients and noise, about as hard to compress as a photograph.
fn scenery(width: u32, height: u32) -> Vec<u8> {
    let mut noise = 0x2545_F491_u32;
    let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        for x in 0..width {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let waves = (x / 16 * (y / 24)) % 96;
            for base in [x * 120 / width, y * 120 / height, (x + y) * 120 / (width + height)] {
                pixels.push(u8::try_from(base + waves + noise % 12).unwrap_or(u8::MAX));
            }
        }
    }
    pixels
}

// --- JPEG ---

fn encode_jpeg(
    pixels: &[u8],
    width: u32,
    height: u32,
    color: ColorType,
    setup: impl FnOnce(&mut Encoder<&mut Vec<u8>>),
) -> Bytes {
    let side = |side: u32| u16::try_from(side).expect("a JPEG fixture has at most 65535 pixels a side");
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 90);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    setup(&mut encoder);
    encoder.encode(pixels, side(width), side(height), color).expect("fixture pixels fill the picture");
    bytes.into()
}

/// A JPEG, 4:2:0.
#[must_use]
pub fn jpeg(width: u32, height: u32) -> Bytes {
    encode_jpeg(&corners(width, height), width, height, ColorType::Rgb, |_| {})
}

/// A progressive JPEG.
#[must_use]
pub fn progressive_jpeg(width: u32, height: u32) -> Bytes {
    encode_jpeg(&corners(width, height), width, height, ColorType::Rgb, |jpeg| jpeg.set_progressive(true))
}

/// A JPEG of gradients and noise, as hard to decode as a photograph.
#[must_use]
pub fn photo_jpeg(width: u32, height: u32) -> Bytes {
    encode_jpeg(&scenery(width, height), width, height, ColorType::Rgb, |_| {})
}

/// A greyscale JPEG, dark on the left and bright on the right.
#[must_use]
pub fn grey_jpeg(width: u32, height: u32) -> Bytes {
    let pixels = paint(width, height, |x, _| [if x < width / 2 { 40 } else { 210 }]);
    encode_jpeg(&pixels, width, height, ColorType::Luma, |_| {})
}

/// The corners for printing, with as much black as possible.
fn cmyk_corners(width: u32, height: u32) -> Vec<u8> {
    paint(width, height, |x, y| {
        let color = CORNERS[corner(width, height, x, y)];
        let brightest = color.into_iter().max().unwrap_or(0).max(1);
        let [c, m, y] = color.map(|value| {
            let share = u16::from(value) * 255 / u16::from(brightest);
            255 - u8::try_from(share).unwrap_or(u8::MAX)
        });
        [c, m, y, 255 - brightest]
    })
}

/// A CMYK JPEG as Adobe's programs write it (inverted), with a profile for CMYK.
#[must_use]
pub fn cmyk_jpeg(width: u32, height: u32) -> Bytes {
    encode_jpeg(&cmyk_corners(width, height), width, height, ColorType::Cmyk, |jpeg| {
        jpeg.set_sampling_factor(SamplingFactor::F_1_1);
        jpeg.add_icc_profile(&icc("CMYK")).expect("the profile is small");
    })
}

/// A CMYK JPEG stored as luma, chroma and black, with subsampled chroma.
#[must_use]
pub fn ycck_jpeg(width: u32, height: u32) -> Bytes {
    encode_jpeg(&cmyk_corners(width, height), width, height, ColorType::CmykAsYcck, |_| {})
}

/// A JPEG that is `width` by `height` with the usual corners once it is turned as its EXIF `orientation`
/// (1 to 8) says.
#[must_use]
pub fn jpeg_with_orientation(width: u32, height: u32, orientation: u8) -> Bytes {
    let (pixels, stored_width, stored_height) = turned_corners(width, height, orientation);
    encode_jpeg(&pixels, stored_width, stored_height, ColorType::Rgb, |jpeg| {
        jpeg.add_exif_metadata(&exif(orientation)).expect("the metadata is small");
    })
}

/// The first half of a JPEG.
#[must_use]
pub fn truncated_jpeg(width: u32, height: u32) -> Bytes {
    let whole = photo_jpeg(width, height);
    whole.slice(..whole.len() / 2)
}

/// The pixels to store, and their width and height, so that they are upright with `orientation` applied.
fn turned_corners(width: u32, height: u32, orientation: u8) -> (Vec<u8>, u32, u32) {
    let (right, bottom) = (width - 1, height - 1);
    let (stored_width, stored_height) = if orientation >= 5 { (height, width) } else { (width, height) };
    let pixels = paint(stored_width, stored_height, |x, y| {
        // Which side of the upright picture the first row and column are: table of the EXIF standard.
        let (x, y) = match orientation {
            2 => (right - x, y),
            3 => (right - x, bottom - y),
            4 => (x, bottom - y),
            5 => (y, x),
            6 => (right - y, x),
            7 => (right - y, bottom - x),
            8 => (y, bottom - x),
            _ => (x, y),
        };
        CORNERS[corner(width, height, x, y)]
    });
    (pixels, stored_width, stored_height)
}

// --- GIF ---

/// The colour of frame `index` of [`animated_gif`], [`animated_webp`] and [`animated_png_of`].
#[must_use]
pub fn frame_color(index: u32) -> [u8; 3] {
    let step = u8::try_from(index % 6 * 50).unwrap_or(0);
    [250 - step, step, 60]
}

fn encode_gif(frames: impl Iterator<Item = RgbaImage>) -> Bytes {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, 30);
    for frame in frames {
        let frame = Frame::from_parts(frame, 0, 0, Delay::from_numer_denom_ms(100, 1));
        encoder.encode_frame(frame).expect("memory takes all bytes");
    }
    drop(encoder);
    bytes.into()
}

fn rgba_image(width: u32, height: u32, field: impl Fn(u32, u32) -> [u8; 3]) -> RgbaImage {
    RgbaImage::from_fn(width, height, |x, y| {
        let [r, g, b] = field(x, y);
        image::Rgba([r, g, b, 255])
    })
}

/// A GIF of one frame.
#[must_use]
pub fn gif(width: u32, height: u32) -> Bytes {
    let frame = rgba_image(width, height, |x, y| CORNERS[corner(width, height, x, y)]);
    encode_gif(std::iter::once(frame))
}

/// An animated GIF, each frame of one colour: see [`frame_color`].
#[must_use]
pub fn animated_gif(width: u32, height: u32, frames: u32) -> Bytes {
    encode_gif((0..frames).map(|index| rgba_image(width, height, |_, _| frame_color(index))))
}

/// A GIF with a canvas of eight by eight pixels and a frame of `side` by `side`, of which there is no data.
#[must_use]
pub fn gif_with_frame_larger_than_canvas(side: u16) -> Bytes {
    let mut file = b"GIF89a\x08\0\x08\0\x80\0\0\0\0\0\xFF\xFF\xFF,\0\0\0\0".to_vec();
    file.extend(side.to_le_bytes());
    file.extend(side.to_le_bytes());
    file.extend(b"\0\x02\x02\x4C\x01\0;");
    file.into()
}

// --- WebP ---

fn lossless(pixels: &[u8], width: u32, height: u32, color: ExtendedColorType) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = WebPEncoder::new_lossless(&mut bytes);
    encoder.encode(pixels, width, height, color).expect("a WebP fixture has at most 16384 pixels a side");
    bytes
}

/// The picture chunk of a simple WebP file.
fn picture_chunk(file: &[u8]) -> Vec<u8> {
    file.get(12..).unwrap_or_default().to_vec()
}

/// A lossless WebP without alpha.
#[must_use]
pub fn lossless_webp(width: u32, height: u32) -> Bytes {
    lossless(&corners(width, height), width, height, ExtendedColorType::Rgb8).into()
}

/// A lossless WebP of gradients and noise.
#[must_use]
pub fn photo_webp(width: u32, height: u32) -> Bytes {
    lossless(&scenery(width, height), width, height, ExtendedColorType::Rgb8).into()
}

/// A lossless WebP with opaque red on the left and fully transparent green on the right.
#[must_use]
pub fn alpha_webp(width: u32, height: u32) -> Bytes {
    let pixels = paint(width, height, |x, _| if x < width / 2 { [255, 0, 0, 255] } else { [0, 255, 0, 0] });
    lossless(&pixels, width, height, ExtendedColorType::Rgba8).into()
}

/// A lossy WebP, 16 by 16 pixels of about (200, 30, 30).
#[must_use]
pub fn lossy_webp() -> Bytes {
    Bytes::from_static(
        b"RIFF\x36\0\0\0WEBPVP8 \x2a\0\0\0\x90\x01\0\x9d\x01\x2a\x10\0\x10\0\x02\xc0\x4c\x25\xa0\x02\x74\xba\0\x03\x98\0\
          \xfe\xed\x90\x3f\x88\x5d\xec\x6d\xbf\xfc\xf4\xcf\xeb\x6f\xe3\xff\x19\0\0\0",
    )
}

/// A lossless WebP with the EXIF `orientation`; see [`jpeg_with_orientation`].
#[must_use]
pub fn webp_with_orientation(width: u32, height: u32, orientation: u8) -> Bytes {
    const EXIF: u8 = 0x08;
    let (pixels, width, height) = turned_corners(width, height, orientation);
    let picture = picture_chunk(&lossless(&pixels, width, height, ExtendedColorType::Rgb8));
    webp(EXIF, width, height, &[picture, riff_chunk("EXIF", &exif(orientation))]).into()
}

/// An animated WebP, each frame of one colour: see [`frame_color`].
#[must_use]
pub fn animated_webp(width: u32, height: u32, frames: u32) -> Bytes {
    const ANIMATION: u8 = 0x02;
    let mut chunks = vec![riff_chunk("ANIM", &[0; 6])];
    for index in 0..frames {
        let pixels = paint(width, height, |_, _| frame_color(index));
        let mut frame = vec![0; 6];
        frame.extend(&(width - 1).to_le_bytes()[..3]);
        frame.extend(&(height - 1).to_le_bytes()[..3]);
        frame.extend([100, 0, 0, 0]);
        frame.extend(picture_chunk(&lossless(&pixels, width, height, ExtendedColorType::Rgb8)));
        chunks.push(riff_chunk("ANMF", &frame));
    }
    webp(ANIMATION, width, height, &chunks).into()
}

/// A WebP with a canvas of eight by eight pixels and a lossy frame of 16383 by 16383.
#[must_use]
pub fn webp_with_frame_larger_than_canvas() -> Bytes {
    let mut picture = lossy_webp().slice(20..).to_vec();
    picture[6..10].copy_from_slice(&[0xFF, 0x3F, 0xFF, 0x3F]);
    webp(0, 8, 8, &[riff_chunk("VP8 ", &picture)]).into()
}
