//! What videos, Opus and HEIC are told by: any beginning of a file has an answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmr_core::testing::fuzz_pictures;

// What is like them and is none.
fuzz_target!(init: fuzz_pictures::write_seeds(&["avif", "aac"]), |head: &[u8]| {
    if let Some((content_type, _)) = fuzz_pictures::program(head) {
        let known = ["video/", "image/hei", "audio/ogg"];
        assert!(known.iter().any(|known| content_type.starts_with(known)), "{content_type}");
    }
});
