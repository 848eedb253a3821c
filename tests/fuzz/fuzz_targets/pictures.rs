//! Headers of pictures, and everything that is looked at before they are decoded: any bytes have an answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmr_core::testing::fuzz_pictures;

const TYPES: [&str; 9] = [
    "image/jpeg",
    "image/png",
    "image/apng",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/jxl",
    "image/bmp",
    "image/tiff",
];

fuzz_target!(init: fuzz_pictures::write_seeds(&["jpeg", "png", "apng", "gif", "webp", "avif", "jxl", "bmp", "tiff"]), |source: &[u8]| {
    fuzz_pictures::header(source, &TYPES);
});
