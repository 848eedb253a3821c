//! `/.well-known/matrix/server`: any body has an answer, and a server that was named can be named again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmr_core::testing::fuzz;

fuzz_target!(|body: &[u8]| {
    if let Some(server) = fuzz::delegate(body) {
        assert!(!server.host().is_empty());
        let again = serde_json::json!({ "m.server": server }).to_string();
        assert_eq!(fuzz::delegate(again.as_bytes()), Some(server));
    }
});
