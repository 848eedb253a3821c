//! Multipart answers of other servers: however one is cut into chunks, the same is read.
//!
//! Input: a line that says how to cut (each byte's lower five bits are the length of a chunk, over and over), a line with
//! the `Content-Type`, and the answer.
#![no_main]

use std::iter;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mmr_core::testing::fuzz;

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(3, |&byte| byte == b'\n');
    let (Some(cuts), Some(content_type), Some(answer)) = (lines.next(), lines.next(), lines.next()) else {
        return;
    };
    let Some(boundary) = fuzz::boundary(content_type) else { return };
    let answer = Bytes::copy_from_slice(answer);
    for framed in [true, false] {
        let whole = fuzz::multipart(&boundary, framed, iter::once(answer.clone()));
        let cut = fuzz::multipart(&boundary, framed, cut(answer.clone(), cuts).into_iter());
        assert_eq!(whole, cut);
    }
});

fn cut(mut answer: Bytes, cuts: &[u8]) -> Vec<Bytes> {
    let lengths: Vec<_> = cuts.iter().map(|byte| usize::from(byte & 31)).collect();
    let mut chunks = Vec::new();
    if lengths.iter().any(|&length| length > 0) {
        for length in lengths.into_iter().cycle() {
            if answer.is_empty() {
                break;
            }
            chunks.push(answer.split_to(length.min(answer.len())));
        }
    }
    chunks.push(answer);
    chunks
}
