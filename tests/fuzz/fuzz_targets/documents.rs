//! Drawings and documents, as far as they are read before they are drawn: any bytes have an answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmr_core::testing::fuzz_pictures;

const TYPES: [&str; 2] = ["image/svg+xml", "application/pdf"];

fuzz_target!(init: fuzz_pictures::write_seeds(&["svg", "pdf"]), |source: &[u8]| {
    fuzz_pictures::header(source, &TYPES);
});
