//! PNG pictures.

use bytes::Bytes;
use image::{ExtendedColorType, ImageEncoder};

use super::containers::{
    PNG_SIGNATURE, PngColor, exif, png_chunk, png_data, png_header, zlib_stored, zlib_zeros,
};
use super::{CORNERS, corner, corners, frame_color, paint, scenery, turned_corners};

fn encode_png(header: Vec<u8>, chunks: &[(&str, Vec<u8>)]) -> Bytes {
    let mut file = PNG_SIGNATURE.to_vec();
    file.extend(header);
    for (name, data) in chunks {
        file.extend(png_chunk(name, data));
    }
    file.extend(png_chunk("IEND", &[]));
    file.into()
}

fn rgb_png(pixels: &[u8], width: u32, height: u32, before: Option<(&str, Vec<u8>)>) -> Bytes {
    let mut chunks = Vec::from_iter(before);
    chunks.push(("IDAT", png_data(pixels, 3 * width as usize)));
    encode_png(png_header(width, height, 8, PngColor::Rgb), &chunks)
}

/// An opaque PNG.
#[must_use]
pub fn png(width: u32, height: u32) -> Bytes {
    rgb_png(&corners(width, height), width, height, None)
}

/// An opaque PNG of gradients and noise, compressed as usual.
#[must_use]
pub fn photo_png(width: u32, height: u32) -> Bytes {
    let mut bytes = Vec::new();
    let pixels = scenery(width, height);
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.write_image(&pixels, width, height, ExtendedColorType::Rgb8).expect("memory takes all bytes");
    bytes.into()
}

/// A PNG with a colour profile.
#[must_use]
pub fn png_with_profile(width: u32, height: u32, profile: &[u8]) -> Bytes {
    let profile = [b"fixture\0\0".to_vec(), zlib_stored(profile)].concat();
    rgb_png(&corners(width, height), width, height, Some(("iCCP", profile)))
}

/// A PNG whose colour profile is `len` zeros, compressed a thousand times.
#[must_use]
pub fn png_with_profile_bomb(width: u32, height: u32, len: u32) -> Bytes {
    let profile = [b"bomb\0\0".to_vec(), zlib_zeros(len)].concat();
    rgb_png(&corners(width, height), width, height, Some(("iCCP", profile)))
}

/// A PNG with the EXIF `orientation`; see [`jpeg_with_orientation`](super::jpeg_with_orientation).
#[must_use]
pub fn png_with_orientation(width: u32, height: u32, orientation: u8) -> Bytes {
    let (pixels, stored_width, stored_height) = turned_corners(width, height, orientation);
    rgb_png(&pixels, stored_width, stored_height, Some(("eXIf", exif(orientation))))
}

/// A PNG with opaque red on the left and fully transparent green on the right.
#[must_use]
pub fn alpha_png(width: u32, height: u32) -> Bytes {
    let pixels = paint(width, height, |x, _| if x < width / 2 { [255, 0, 0, 255] } else { [0, 255, 0, 0] });
    let data = png_data(&pixels, 4 * width as usize);
    encode_png(png_header(width, height, 8, PngColor::Rgba), &[("IDAT", data)])
}

/// A PNG with an alpha channel in which every pixel is opaque.
#[must_use]
pub fn opaque_rgba_png(width: u32, height: u32) -> Bytes {
    let pixels = paint(width, height, |x, y| {
        let [r, g, b] = CORNERS[corner(width, height, x, y)];
        [r, g, b, 255]
    });
    let data = png_data(&pixels, 4 * width as usize);
    encode_png(png_header(width, height, 8, PngColor::Rgba), &[("IDAT", data)])
}

/// A PNG with a palette.
#[must_use]
pub fn palette_png(width: u32, height: u32) -> Bytes {
    let pixels = paint(width, height, |x, y| [u8::try_from(corner(width, height, x, y)).unwrap_or(0)]);
    let data = png_data(&pixels, width as usize);
    let chunks = [("PLTE", CORNERS.concat()), ("IDAT", data)];
    encode_png(png_header(width, height, 8, PngColor::Palette), &chunks)
}

/// A PNG with 16 bits per channel.
#[must_use]
pub fn sixteen_bit_png(width: u32, height: u32) -> Bytes {
    let pixels = paint(width, height, |x, y| {
        let [r, g, b] = CORNERS[corner(width, height, x, y)];
        [r, r, g, g, b, b]
    });
    let data = png_data(&pixels, 6 * width as usize);
    encode_png(png_header(width, height, 16, PngColor::Rgb), &[("IDAT", data)])
}

/// A greyscale PNG, dark on the left and bright on the right.
#[must_use]
pub fn grey_png(width: u32, height: u32) -> Bytes {
    let pixels = paint(width, height, |x, _| [if x < width / 2 { 40 } else { 210 }]);
    let data = png_data(&pixels, width as usize);
    encode_png(png_header(width, height, 8, PngColor::Grey), &[("IDAT", data)])
}

/// An animated PNG of two frames, the first of which is the default picture.
#[must_use]
pub fn animated_png(width: u32, height: u32) -> Bytes {
    let first = png_data(&corners(width, height), 3 * width as usize);
    let second = png_data(&vec![0; 3 * width as usize * height as usize], 3 * width as usize);
    let control = |sequence: u32| {
        let numbers = [sequence, width, height, 0, 0].map(u32::to_be_bytes).concat();
        [numbers, vec![0, 1, 0, 10, 0, 0]].concat()
    };
    let chunks = [
        ("acTL", [2_u32, 0].map(u32::to_be_bytes).concat()),
        ("fcTL", control(0)),
        ("IDAT", first),
        ("fcTL", control(1)),
        ("fdAT", [2_u32.to_be_bytes().to_vec(), second].concat()),
    ];
    encode_png(png_header(width, height, 8, PngColor::Rgb), &chunks)
}

/// An animated PNG, each frame of one colour: see [`frame_color`].
#[must_use]
pub fn animated_png_of(width: u32, height: u32, frames: u32) -> Bytes {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_animated(frames, 0).expect("there are frames");
    encoder.set_frame_delay(1, 10).expect("it is animated");
    let mut writer = encoder.write_header().expect("memory takes all bytes");
    for index in 0..frames {
        let pixels = paint(width, height, |_, _| frame_color(index));
        writer.write_image_data(&pixels).expect("the pixels fill the frame");
    }
    writer.finish().expect("memory takes all bytes");
    bytes.into()
}

/// A valid black PNG of one bit per pixel, compressed as far as possible.
#[must_use]
pub fn black_png(width: u32, height: u32) -> Bytes {
    let data = zlib_zeros(height * (1 + width.div_ceil(8)));
    encode_png(png_header(width, height, 1, PngColor::Grey), &[("IDAT", data)])
}

/// A decompression bomb: a valid PNG of 30000 by 30000 pixels in 109 kB, which takes 900 MB decoded.
#[must_use]
pub fn png_bomb() -> Bytes {
    black_png(30_000, 30_000)
}

/// A PNG whose header claims `width` by `height` while it holds a single row of eight pixels.
#[must_use]
pub fn lying_png(width: u32, height: u32) -> Bytes {
    let data = png_data(&[0; 24], 24);
    encode_png(png_header(width, height, 8, PngColor::Rgb), &[("IDAT", data)])
}
