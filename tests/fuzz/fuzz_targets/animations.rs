//! Animations, drawn frame by frame and written again: any bytes have an answer, which is no larger than asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmr_core::testing::fuzz_pictures;

const TYPES: [&str; 3] = ["image/png", "image/gif", "image/webp"];

fuzz_target!(init: fuzz_pictures::write_seeds(&["apng", "gif", "webp"]), |source: &[u8]| {
    fuzz_pictures::animation(source, &TYPES);
});
