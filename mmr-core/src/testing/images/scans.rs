//! BMP and TIFF, as scanners and old programs write them.

use bytes::Bytes;
use image::ExtendedColorType;
use image::codecs::bmp::BmpEncoder;

use super::containers::icc;
use super::{CORNERS, cmyk_corners, corner, corners, paint, turned_corners};

/// A BMP of 24 bits.
#[must_use]
pub fn bmp(width: u32, height: u32) -> Bytes {
    let mut bytes = Vec::new();
    let mut encoder = BmpEncoder::new(&mut bytes);
    encoder
        .encode(&corners(width, height), width, height, ExtendedColorType::Rgb8)
        .expect("fixtures are small");
    bytes.into()
}

/// A BMP of 32 bits with opaque red on the left and fully transparent green on the right.
#[must_use]
pub fn alpha_bmp(width: u32, height: u32) -> Bytes {
    let pixels = paint(width, height, |x, _| if x < width / 2 { [255, 0, 0, 255] } else { [0, 255, 0, 0] });
    let mut bytes = Vec::new();
    let mut encoder = BmpEncoder::new(&mut bytes);
    encoder.encode(&pixels, width, height, ExtendedColorType::Rgba8).expect("fixtures are small");
    bytes.into()
}

/// A BMP header of these numbers, and what follows it: palette and pixels.
#[expect(clippy::too_many_arguments, reason = "as many as the header has")]
fn windows_bmp(
    width: i32,
    height: i32,
    bits: u16,
    compression: u32,
    palette: &[[u8; 3]],
    data: &[u8],
) -> Bytes {
    let at = u32::try_from(54 + 4 * palette.len()).unwrap_or(u32::MAX);
    let mut file = b"BM\0\0\0\0\0\0\0\0".to_vec();
    file.extend(at.to_le_bytes());
    file.extend(40_u32.to_le_bytes());
    file.extend(width.to_le_bytes());
    file.extend(height.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(compression.to_le_bytes());
    file.extend([0; 12]);
    file.extend(u32::try_from(palette.len()).unwrap_or(0).to_le_bytes());
    file.extend([0; 4]);
    file.extend(palette.iter().flat_map(|[r, g, b]| [*b, *g, *r, 0]));
    file.extend(data);
    file.into()
}

fn signed(side: u32) -> i32 {
    i32::try_from(side).unwrap_or(i32::MAX)
}

fn corner_index(width: u32, height: u32, x: u32, y: u32) -> u8 {
    u8::try_from(corner(width, height, x, y)).unwrap_or(0)
}

/// A BMP of 8 bits with a palette, from the top down. The width is a multiple of four.
#[must_use]
pub fn palette_bmp(width: u32, height: u32) -> Bytes {
    let data = paint(width, height, |x, y| [corner_index(width, height, x, y)]);
    windows_bmp(signed(width), -signed(height), 8, 0, &CORNERS, &data)
}

/// A BMP of 8 bits with a palette and runs. At most 255 pixels wide.
#[must_use]
pub fn run_length_bmp(width: u32, height: u32) -> Bytes {
    let half = u8::try_from(width / 2).unwrap_or(u8::MAX);
    let mut data = Vec::new();
    for y in (0..height).rev() {
        data.extend([
            half,
            corner_index(width, height, 0, y),
            half,
            corner_index(width, height, width - 1, y),
            0,
            0,
        ]);
    }
    data.extend([0, 1]);
    windows_bmp(signed(width), signed(height), 8, 1, &CORNERS, &data)
}

/// A BMP of 16 bits. The width is even.
#[must_use]
pub fn sixteen_bit_bmp(width: u32, height: u32) -> Bytes {
    let data = paint(width, height, |x, y| {
        let [r, g, b] = CORNERS[corner(width, height, x, height - 1 - y)].map(|value| u16::from(value >> 3));
        (r << 10 | g << 5 | b).to_le_bytes()
    });
    windows_bmp(signed(width), signed(height), 16, 0, &[], &data)
}

/// A BMP of 24 bits that has no pixels, only a header.
#[must_use]
pub fn bmp_header(width: u32, height: u32) -> Bytes {
    windows_bmp(signed(width), signed(height), 24, 0, &[], &[])
}

/// What to write as TIFF.
#[derive(Clone, Debug)]
pub struct Tiff {
    /// Width and height.
    pub size: (u32, u32),
    /// Samples, as they are in the file.
    pub data: Vec<u8>,
    /// How many of a pixel.
    pub samples: u16,
    /// Of a sample.
    pub bits: u16,
    /// 1 grey, 2 RGB, 5 CMYK.
    pub photometric: u16,
    /// 1 none, 5 LZW, 8 deflate.
    pub compression: u16,
    /// As in EXIF.
    pub orientation: Option<u16>,
    /// With an RGB colour profile.
    pub profile: bool,
    /// Fields to add, or to write instead: tag, type, count, and value or address.
    pub fields: Vec<(u16, u16, u32, u32)>,
    /// Numbers begin with their highest byte.
    pub big_endian: bool,
    /// Another picture after this one.
    pub next: bool,
}

impl Tiff {
    /// RGB of 8 bits.
    #[must_use]
    pub fn rgb(width: u32, height: u32) -> Self {
        Self {
            size: (width, height),
            data: corners(width, height),
            samples: 3,
            bits: 8,
            photometric: 2,
            compression: 1,
            orientation: None,
            profile: false,
            fields: Vec::new(),
            big_endian: false,
            next: false,
        }
    }

    /// RGB of 16 bits, highest byte first.
    #[must_use]
    pub fn rgb16(width: u32, height: u32) -> Self {
        let data = corners(width, height).into_iter().flat_map(|value| [value, value]).collect();
        Self { data, bits: 16, big_endian: true, ..Self::rgb(width, height) }
    }

    /// Opaque red on the left, fully transparent green on the right.
    #[must_use]
    pub fn rgba(width: u32, height: u32) -> Self {
        let field = |x, _| if x < width / 2 { [255, 0, 0, 255] } else { [0, 255, 0, 0] };
        let fields = vec![(338, 3, 1, 2)];
        Self { data: paint(width, height, field), samples: 4, fields, ..Self::rgb(width, height) }
    }

    /// Dark on the left and bright on the right.
    #[must_use]
    pub fn grey(width: u32, height: u32) -> Self {
        let data = paint(width, height, |x, _| [if x < width / 2 { 40 } else { 210 }]);
        Self { data, samples: 1, photometric: 1, ..Self::rgb(width, height) }
    }

    /// The corners for printing.
    #[must_use]
    pub fn cmyk(width: u32, height: u32) -> Self {
        Self { data: cmyk_corners(width, height), samples: 4, photometric: 5, ..Self::rgb(width, height) }
    }

    /// The corners compressed with deflate.
    #[must_use]
    pub fn deflate(width: u32, height: u32) -> Self {
        let data = super::containers::zlib_stored(&corners(width, height));
        Self { data, compression: 8, ..Self::rgb(width, height) }
    }

    /// The corners, upright once turned.
    #[must_use]
    pub fn with_orientation(width: u32, height: u32, orientation: u8) -> Self {
        let (data, width, height) = turned_corners(width, height, orientation);
        Self { data, orientation: Some(orientation.into()), ..Self::rgb(width, height) }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> Bytes {
        let short = |value: u16| if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let long = |value: u32| if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let address = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let mut file = if self.big_endian { b"MM".to_vec() } else { b"II".to_vec() };
        file.extend(short(42));
        file.extend([0; 4]);
        let strip = address(file.len());
        file.extend(&self.data);
        let bits = address(file.len());
        file.extend((0..self.samples).flat_map(|_| short(self.bits)));
        let (profile_at, profile) = (address(file.len()), icc("RGB "));
        if self.profile {
            file.extend(&profile);
        }
        let bits = if self.samples > 1 { bits } else { self.bits.into() };
        let (width, height) = self.size;
        let mut fields = vec![
            (256, 4, 1, width),
            (257, 4, 1, height),
            (258, 3, self.samples.into(), bits),
            (259, 3, 1, self.compression.into()),
            (262, 3, 1, self.photometric.into()),
            (273, 4, 1, strip),
            (277, 3, 1, self.samples.into()),
            (278, 4, 1, height),
            (279, 4, 1, address(self.data.len())),
        ];
        fields.extend(self.orientation.map(|orientation| (274, 3, 1, orientation.into())));
        if self.profile {
            fields.push((34_675, 7, address(profile.len()), profile_at));
        }
        for field in &self.fields {
            fields.retain(|(tag, ..)| *tag != field.0);
            fields.push(*field);
        }
        fields.sort_unstable();
        let directory = address(file.len());
        let pages = if self.next { 2 } else { 1 };
        for page in 0..pages {
            file.extend(short(u16::try_from(fields.len()).unwrap_or(0)));
            for &(tag, kind, count, value) in &fields {
                // A second page is smaller.
                let value = if page == 1 && tag == 256 { value / 2 } else { value };
                file.extend([&short(tag)[..], &short(kind), &long(count)].concat());
                if kind == 3 && count == 1 {
                    file.extend([short(u16::try_from(value).unwrap_or(0)), [0; 2]].concat());
                } else {
                    file.extend(long(value));
                }
            }
            let next = if page + 1 < pages { address(file.len()) + 4 } else { 0 };
            file.extend(long(next));
        }
        file[4..8].copy_from_slice(&long(directory));
        file.into()
    }
}
