use super::*;

fn colors(coding: Coding, bits: u8, samples: [i16; 3]) -> [u8; 3] {
    let [mut red, mut green, mut blue] = [[0]; 3];
    let [luma, first, second] = samples.map(|sample| [sample]);
    Matrix::new(coding, bits).apply([&luma, &first, &second], [&mut red, &mut green, &mut blue]);
    [red[0], green[0], blue[0]]
}

#[test]
fn black_and_white_are_where_the_range_says() {
    for (full_range, bits, black, white, middle) in [
        (false, 8, 16, 235, 128),
        (true, 8, 0, 255, 128),
        (false, 10, 64, 940, 512),
        (true, 10, 0, 1023, 512),
        (false, 12, 256, 3760, 2048),
        (true, 12, 0, 4095, 2048),
    ] {
        for matrix in [1, 2, 5, 6, 9] {
            let coding = Coding { matrix, full_range };
            assert_eq!(colors(coding, bits, [black, middle, middle]), [0; 3]);
            assert_eq!(colors(coding, bits, [white, middle, middle]), [255; 3]);
        }
    }
}

#[test]
fn red_is_red_in_every_matrix() {
    for (matrix, samples) in [(6, [81, 90, 240]), (1, [63, 102, 240]), (9, [74, 97, 240])] {
        let [red, green, blue] = colors(Coding { matrix, full_range: false }, 8, samples);
        assert!(red >= 253 && green <= 3 && blue <= 3, "{matrix}: {:?}", [red, green, blue]);
    }
}

#[test]
fn without_a_matrix_samples_are_green_blue_and_red() {
    assert_eq!(colors(Coding { matrix: 0, full_range: true }, 8, [10, 20, 30]), [30, 10, 20]);
}

#[test]
fn samples_beyond_the_range_are_the_end_of_it() {
    assert_eq!(colors(Coding { matrix: 6, full_range: false }, 8, [255, 255, 255])[0], 255);
    assert_eq!(colors(Coding { matrix: 6, full_range: false }, 8, [0, 0, 0])[2], 0);
}

fn gathered(bytes: &[u8], side: usize, out: usize, y: usize, (shrink, shared): (u32, u32)) -> Vec<i16> {
    let mut row = Row::new(out);
    let plane = Plane { bytes, stride: side };
    let samples = Samples { plane, width: side, height: side, shared: (shared, shared), wide: false };
    row.gather(&samples, y, shrink);
    row.samples
}

#[test]
fn shared_samples_are_repeated() {
    assert_eq!(gathered(&[1, 2, 3, 4], 2, 3, 0, (0, 1)), [1, 1, 2]);
    assert_eq!(gathered(&[1, 2, 3, 4], 2, 3, 1, (0, 1)), [1, 1, 2]);
    assert_eq!(gathered(&[1, 2, 3, 4], 2, 3, 2, (0, 1)), [3, 3, 4]);
}

#[test]
fn squares_of_samples_are_averaged_and_the_last_count_more() {
    assert_eq!(gathered(&[1, 3, 10, 5, 7, 20, 9, 9, 30], 3, 2, 0, (1, 0)), [4, 15]);
    assert_eq!(gathered(&[1, 3, 10, 5, 7, 20, 9, 9, 30], 3, 2, 1, (1, 0)), [9, 30]);
    assert_eq!(gathered(&[1, 3, 10, 5, 7, 20, 9, 9, 30], 3, 1, 0, (2, 0)), [13]);
}

#[test]
fn what_is_shared_already_is_not_averaged_again() {
    assert_eq!(gathered(&[1, 2, 3, 4], 2, 2, 1, (1, 1)), [3, 4]);
}
