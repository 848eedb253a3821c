use proptest::prelude::*;

use super::*;
use crate::testing::images::{Av1, Avif};

#[test]
fn a_picture_is_where_the_container_says() {
    let source = Avif::of(Av1::Yuv420).file();
    let container = parse(&source).unwrap();
    let [extents] = &container.color.tiles[..] else { panic!("{container:?}") };
    let [range] = &extents[..] else { panic!("{container:?}") };
    assert_eq!(&source[range.clone()], Av1::Yuv420.data());
}

#[test]
fn pieces_are_in_their_order() {
    let source = Avif { in_pieces: true, ..Avif::of(Av1::Yuv420) }.file();
    let container = parse(&source).unwrap();
    let joined: Vec<u8> =
        container.color.tiles[0].iter().flat_map(|range| source[range.clone()].to_vec()).collect();
    assert_eq!(joined, Av1::Yuv420.data());
}

#[test]
fn a_grid_has_as_many_tiles_as_it_says() {
    let missing = Avif { grid: Some((2, 3)), ..Avif::grid() }.file();
    assert_eq!(parse(&missing), Err("grid has too many or too few tiles"));
}

#[test]
fn tiles_cover_their_picture_and_all_of_them_show() {
    for stated in [(65, 48), (64, 49), (32, 48), (64, 24)] {
        let source = Avif { stated: Some(stated), ..Avif::grid() }.file();
        assert_eq!(parse(&source), Err("tiles do not cover their picture"), "{stated:?}");
    }
}

#[test]
fn tiles_of_different_sizes_are_an_error() {
    let source = Avif { tiles: vec![Av1::Tile(0), Av1::Yuv420], grid: Some((1, 2)), ..Avif::grid() }.file();
    assert_eq!(parse(&source), Err("tiles are of different sizes"));
}

#[test]
fn colours_and_premultiplied_alpha_are_read() {
    let file =
        Avif { alpha: Some(Av1::Alpha), premultiplied: true, nclx: Some((9, true)), ..Avif::of(Av1::Rgb) };
    let container = parse(&file.file()).unwrap();
    assert_eq!(container.coding, Some(Coding { matrix: 9, full_range: true }));
    assert!(container.premultiplied);
}

fn assert_ranges_lie_inside(source: &[u8], container: &Container) {
    let pictures = [Some(&container.color), container.alpha.as_ref()];
    let tiles = pictures.into_iter().flatten().flat_map(|picture| &picture.tiles);
    for range in tiles.flatten().chain(&container.icc) {
        assert!(range.start <= range.end && range.end <= source.len());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn changed_files_have_an_answer(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<proptest::sample::Index>(),
        grid in any::<bool>(),
    ) {
        let file = if grid { Avif::grid() } else { Avif { alpha: Some(Av1::Alpha), ..Avif::of(Av1::Yuv420) } };
        let mut bytes = file.file().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(container) = parse(&bytes) {
            assert_ranges_lie_inside(&bytes, &container);
        }
        bytes.truncate(cut.index(bytes.len()));
        let _ = parse(&bytes);
    }
}
