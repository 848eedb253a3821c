//! Colour profiles, and pictures with them.

use bytes::Bytes;
use jpeg_encoder::ColorType;
use moxcms::ColorProfile;

use super::containers::{icc, riff_chunk, webp};
use super::{corners, encode_jpeg, lossless_webp, picture_chunk};

fn encoded(profile: &ColorProfile) -> Vec<u8> {
    profile.encode().expect("a profile of a matrix and curves can be written")
}

/// The profile of sRGB.
#[must_use]
pub fn srgb_profile() -> Vec<u8> {
    encoded(&ColorProfile::new_srgb())
}

/// The profile of Display P3, which phones use: more saturated primaries than sRGB has.
#[must_use]
pub fn display_p3_profile() -> Vec<u8> {
    encoded(&ColorProfile::new_display_p3())
}

/// sRGB with red and green exchanged.
#[must_use]
pub fn swapped_profile() -> Vec<u8> {
    let mut profile = ColorProfile::new_srgb();
    std::mem::swap(&mut profile.red_colorant, &mut profile.green_colorant);
    profile.cicp = None;
    encoded(&profile)
}

/// A profile for grey as bright as its numbers are large.
#[must_use]
pub fn linear_grey_profile() -> Vec<u8> {
    encoded(&ColorProfile::new_gray_with_gamma(1.0))
}

/// The header of a profile for RGB, and nothing else.
#[must_use]
pub fn broken_profile() -> Vec<u8> {
    icc("RGB ")
}

/// A JPEG with a colour profile.
#[must_use]
pub fn jpeg_with_profile(width: u32, height: u32, profile: &[u8]) -> Bytes {
    encode_jpeg(&corners(width, height), width, height, ColorType::Rgb, |jpeg| {
        jpeg.add_icc_profile(profile).expect("the profile fits 255 segments");
    })
}

/// A lossless WebP with a colour profile.
#[must_use]
pub fn webp_with_profile(width: u32, height: u32, profile: &[u8]) -> Bytes {
    const ICC: u8 = 0x20;
    let picture = picture_chunk(&lossless_webp(width, height));
    webp(ICC, width, height, &[riff_chunk("ICCP", profile), picture]).into()
}
