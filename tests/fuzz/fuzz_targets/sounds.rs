//! Headers of sounds, with their covers and tables: any bytes have an answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmr_core::testing::fuzz_pictures;

const TYPES: [&str; 5] = ["audio/mpeg", "audio/ogg", "audio/flac", "audio/wav", "audio/mp4"];

fuzz_target!(init: fuzz_pictures::write_seeds(&["mp3", "vorbis", "flac", "wav", "aac", "alac"]), |source: &[u8]| {
    fuzz_pictures::header(source, &TYPES);
});
