//! JPEGs whose chroma has fewer samples than their luma.

use bytes::Bytes;
use jpeg_encoder::{ColorType, SamplingFactor};

use super::{corners, encode_jpeg};

/// One JPEG for each usual subsampling: 4:4:4, 4:2:2, 4:4:0, 4:2:0 and 4:1:1.
#[must_use]
pub fn subsampled_jpegs(width: u32, height: u32) -> Vec<Bytes> {
    use SamplingFactor::{F_1_1, F_1_2, F_2_1, F_2_2, F_4_1};
    let pixels = corners(width, height);
    let sampled =
        |factor| encode_jpeg(&pixels, width, height, ColorType::Rgb, |jpeg| jpeg.set_sampling_factor(factor));
    [F_1_1, F_2_1, F_1_2, F_2_2, F_4_1].map(sampled).to_vec()
}
