//! The JPEG decoder: any data has an end, and is a picture at every scale or at none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmr_core::testing::fuzz_pictures;

fuzz_target!(init: fuzz_pictures::write_seeds(&["jpeg"]), |source: &[u8]| fuzz_pictures::jpeg(source));
