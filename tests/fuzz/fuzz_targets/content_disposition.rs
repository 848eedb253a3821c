//! The file names that other servers state: any value has an answer, which is fit to be kept and shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmr_core::{testing::fuzz, types::FileName};

fuzz_target!(|value: &[u8]| {
    if let Some(name) = fuzz::file_name(value) {
        assert!(name.as_str().len() <= 1024 && !name.as_str().contains(char::is_control));
        assert_eq!(FileName::new(name.as_str()), Some(name));
    }
});
