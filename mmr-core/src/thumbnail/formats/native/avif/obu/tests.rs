use proptest::prelude::*;

use super::*;
use crate::testing::images::Av1;

fn sequence(coded: Av1) -> Sequence {
    Stream::of(coded.data()).unwrap().sequence
}

#[test]
fn the_sequence_header_tells_how_samples_are_coded() {
    let shared = |columns, rows| Chroma::Shared { columns, rows };
    for (coded, bits, chroma, matrix, full_range) in [
        (Av1::Yuv420, 8, shared(1, 1), 6, false),
        (Av1::Yuv444FullRange, 8, shared(0, 0), 1, true),
        (Av1::Yuv422TenBit, 10, shared(1, 0), 9, false),
        (Av1::Yuv420TwelveBit, 12, shared(1, 1), 1, false),
        (Av1::Rgb, 8, shared(0, 0), 0, true),
        (Av1::Grey, 8, Chroma::None, 2, true),
    ] {
        assert_eq!(sequence(coded), Sequence { bits, chroma, matrix, full_range }, "{coded:?}");
    }
}

#[test]
fn sequence_headers_that_contradict_each_other_are_an_error() {
    let both = [Av1::Yuv420.data(), Av1::Rgb.data()].concat();
    assert_eq!(Stream::of(&both), Err("sequence headers contradict each other"));
}

#[test]
fn more_frames_than_layers_are_an_error() {
    let frames = |count| Stream::of(&Av1::Yuv420.data().repeat(count)).map(|stream| stream.frames);
    assert_eq!(frames(4), Ok(4));
    assert_eq!(frames(5), Err("codestream has no frame, or too many"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Stream::of(&bytes);
    }
}
