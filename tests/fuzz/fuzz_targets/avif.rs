//! The container of AVIF, and the codestreams in it as far as they are looked through before they are decoded: any bytes
//! have an answer, and a picture is of as many tiles as are ever taken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmr_core::testing::fuzz_pictures;

fuzz_target!(|source: &[u8]| {
    if let Some((width, height, tiles)) = fuzz_pictures::avif(source) {
        assert!(width > 0 && height > 0);
        assert!((1..=2048).contains(&tiles));
    }
});
