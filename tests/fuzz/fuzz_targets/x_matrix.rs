//! The `Authorization: X-Matrix` header: any bytes have an answer, and what was read is written such that it is read
//! again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmr_core::backend::net::XMatrix;

fuzz_target!(|value: &[u8]| {
    if let Ok(x) = XMatrix::parse(value) {
        assert_eq!(XMatrix::parse(x.to_header().as_bytes()), Ok(x));
    }
});
