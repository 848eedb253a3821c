//! Several thumbnails from one decoding, and decodings that are smaller than the picture.

use std::sync::Mutex;

use image::metadata::Orientation;
use proptest::prelude::*;

use super::super::super::SAFE;
use super::super::{Format, Header, Layout, Pixels, StillImages};
use super::*;

const DEFAULT: [(u32, u32, Method); 5] = [
    (32, 32, Method::Crop),
    (96, 96, Method::Crop),
    (320, 240, Method::Scale),
    (640, 480, Method::Scale),
    (800, 600, Method::Scale),
];

/// Faster to check.
const HALVES: [(u32, u32, Method); 5] = [
    (16, 16, Method::Crop),
    (48, 48, Method::Crop),
    (160, 120, Method::Scale),
    (320, 240, Method::Scale),
    (400, 300, Method::Scale),
];

fn specs(sizes: &[(u32, u32, Method)]) -> Vec<ThumbnailSpec> {
    sizes.iter().map(|&(width, height, method)| still(width, height, method)).collect()
}

fn work(with: &Set, source: &Bytes, specs: &[ThumbnailSpec]) -> Work {
    let task = RenderTask { specs: specs.to_vec(), ..task(source.clone()) };
    match with.prepare(&task) {
        Some(Ok(Prepared::Work(work))) => work,
        other => panic!("{other:?}"),
    }
}

fn rendered(with: &Set, source: &Bytes, specs: &[ThumbnailSpec]) -> Vec<RgbaImage> {
    let all = (work(with, source, specs).run)().unwrap();
    all.iter().map(|rendered| picture(rendered).0).collect()
}

/// By how much the channels of two pictures differ on average.
fn difference(one: &RgbaImage, other: &RgbaImage) -> f64 {
    assert_eq!(one.dimensions(), other.dimensions());
    let total: f64 = one.iter().zip(other.iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    total / f64::from(one.width() * one.height() * 4)
}

#[test]
fn sizes_made_together_look_like_those_made_alone() {
    for with in sets() {
        for source in [images::photo_jpeg(850, 650), images::photo_png(850, 650)] {
            let specs = specs(&HALVES);
            for (spec, together) in specs.iter().zip(rendered(&with, &source, &specs)) {
                let alone = rendered(&with, &source, &[*spec]);
                let difference = difference(&together, &alone[0]);
                assert!(difference < 4.0, "{spec:?} differs by {difference}");
            }
        }
    }
}

#[test]
fn thumbnails_come_in_the_order_in_which_they_were_asked_for() {
    for with in sets() {
        for source in [images::png(900, 700), images::jpeg_with_orientation(900, 700, 6)] {
            let sizes = [(32, 32, Method::Crop), (800, 600, Method::Scale), (64, 64, Method::Scale)];
            let pictures = rendered(&with, &source, &specs(&sizes));
            let dimensions: Vec<_> = pictures.iter().map(RgbaImage::dimensions).collect();
            assert_eq!(dimensions, [(32, 32), (771, 600), (64, 50)]);
            pictures.iter().for_each(assert_corners);
        }
    }
}

#[test]
fn transparency_survives_being_made_from_a_larger_thumbnail() {
    for with in sets() {
        let sizes = specs(&[(600, 600, Method::Scale), (200, 200, Method::Scale), (40, 40, Method::Crop)]);
        for picture in rendered(&with, &images::alpha_png(1200, 1200), &sizes) {
            let (left, right) = (picture.get_pixel(2, 20), picture.get_pixel(picture.width() - 3, 20));
            assert_eq!((left.0, right.0[3]), ([255, 0, 0, 255], 0));
            assert!(picture.pixels().all(|pixel| pixel.0[3] == 0 || pixel.0[1] <= 8), "green shines through");
        }
    }
}

#[test]
fn every_subsampling_keeps_its_colours() {
    for with in sets() {
        for source in images::subsampled_jpegs(400, 300) {
            for spec in specs(&[(32, 32, Method::Crop), (180, 150, Method::Scale), (400, 250, Method::Scale)])
            {
                rendered(&with, &source, &[spec]).iter().for_each(assert_corners);
            }
        }
    }
}

#[test]
fn all_sets_of_renderers_make_the_same_thumbnails() {
    let source = images::photo_jpeg(803, 601);
    let specs = specs(&HALVES);
    let sets: Vec<_> = sets().map(|with| rendered(&with, &source, &specs)).collect();
    for (spec, (one, other)) in specs.iter().zip(sets[0].iter().zip(sets.last().unwrap())) {
        assert!(difference(one, other) < 2.5, "{spec:?} differs by {}", difference(one, other));
    }
}

/// A format whose decoder scales, and tells at what size it was asked to.
#[derive(Debug)]
struct Scaling {
    size: Size,
    asked: Arc<Mutex<Option<Size>>>,
}

impl Format for Scaling {
    fn is(&self, _: &[u8]) -> bool {
        true
    }

    fn open(&self, _: &RenderTask) -> Result<Header, RenderError> {
        let asked = Arc::clone(&self.asked);
        Ok(Header {
            content_type: "image/tiff",
            size: self.size,
            pixels: self.size.area(),
            orientation: Orientation::NoTransforms,
            icc: None,
            animated: false,
            animation: None,
            jpeg_if_opaque: false,
            decode_bytes: self.size.area() * 3,
            at_worst_bytes: 0,
            decode: Box::new(move |needed| {
                *asked.lock().unwrap() = Some(needed);
                let source = images::png(needed.width, needed.height);
                let picture = image::load_from_memory(&source).unwrap().into_rgb8();
                Ok(Pixels::new(picture.into_raw(), needed, Layout::Rgb).boxed())
            }),
        })
    }
}

fn scaling_work(size: Size, specs: &[ThumbnailSpec], asked: &Arc<Mutex<Option<Size>>>) -> Work {
    let format = Scaling { size, asked: Arc::clone(asked) };
    let with = Set(vec![Arc::new(StillImages::new(vec![Box::new(format)], SAFE))]);
    let types = vec!["image/tiff".to_owned()];
    let policy = Arc::new(ThumbnailPolicy { types, ..policy() });
    let task = RenderTask { specs: specs.to_vec(), policy, ..task(Bytes::new()) };
    match with.prepare(&task) {
        Some(Ok(Prepared::Work(work))) => work,
        other => panic!("{other:?}"),
    }
}

fn scaling(size: Size, specs: &[ThumbnailSpec]) -> (Vec<RgbaImage>, Size) {
    let asked = Arc::new(Mutex::new(None));
    let all = (scaling_work(size, specs, &asked).run)().unwrap();
    let asked = asked.lock().unwrap().expect("the decoder was asked");
    (all.iter().map(|rendered| picture(rendered).0).collect(), asked)
}

#[test]
fn many_sizes_are_booked_with_little_more_than_the_largest() {
    let booked = |sizes| scaling_work(Size::new(4000, 3000), &specs(sizes), &Arc::default()).required_bytes;
    let (largest, all) = (booked(&DEFAULT[4..]), booked(&DEFAULT));
    assert!(all < largest + largest / 4, "{all} of {largest}");
}

#[test]
fn a_decoder_is_asked_for_no_more_than_the_thumbnails_need() {
    let (pictures, asked) = scaling(Size::new(3000, 1000), &specs(&[(300, 300, Method::Scale)]));
    assert_eq!(asked, Size::new(300, 100));
    assert_eq!(pictures[0].dimensions(), (300, 100));
    let (_, asked) = scaling(Size::new(3000, 1000), &specs(&DEFAULT));
    assert_eq!(asked, Size::new(800, 267));
}

#[test]
fn what_is_shown_does_not_depend_on_the_size_that_was_decoded() {
    let specs = specs(&[(90, 30, Method::Crop), (60, 60, Method::Crop), (400, 400, Method::Scale)]);
    scaling(Size::new(3000, 1000), &specs).0.iter().for_each(assert_corners);
}

#[test]
fn a_small_picture_of_a_type_that_no_thumbnail_may_have_is_rendered_at_its_own_size() {
    let (pictures, asked) = scaling(Size::new(24, 18), &specs(&[(32, 32, Method::Scale)]));
    assert_eq!((pictures[0].dimensions(), asked), ((24, 18), Size::new(24, 18)));
}

// --- WebP ---

#[tokio::test]
async fn webp_is_written_where_it_is_asked_for_and_the_build_can() {
    let native = sets().last().unwrap();
    let spec = ThumbnailSpec { variant: Variant::WebP, ..still(32, 32, Method::Scale) };
    let can = sets().count() > 1;
    for source in [images::jpeg(128, 96), images::png(128, 96), images::lossless_webp(128, 96)] {
        let (picture, content_type) = picture(&native.render(source, spec).await);
        assert_corners(&picture);
        assert_eq!(content_type == "image/webp", can, "{content_type}");
    }
}

#[tokio::test]
async fn without_an_encoder_a_webp_is_what_a_still_one_is() {
    let safely = sets().next().unwrap();
    let webp = |spec| ThumbnailSpec { variant: Variant::WebP, ..spec };
    for source in [images::jpeg(64, 64), images::alpha_png(64, 64)] {
        let spec = still(32, 32, Method::Scale);
        let (one, other) =
            (safely.render(source.clone(), webp(spec)).await, safely.render(source, spec).await);
        assert_eq!(one, other);
    }
}

#[tokio::test]
async fn transparency_is_kept_whatever_is_asked_for() {
    for with in sets() {
        for variant in [Variant::Still, Variant::WebP, Variant::Animated] {
            let spec = ThumbnailSpec { variant, ..still(32, 32, Method::Scale) };
            for source in [images::alpha_png(64, 64), images::alpha_webp(64, 64)] {
                let (picture, _) = picture(&with.render(source, spec).await);
                assert_eq!(picture.get_pixel(28, 16).0[3], 0);
                assert!(close(picture.get_pixel(4, 16).0, [255, 0, 0]), "{:?}", picture.get_pixel(4, 16));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_turned_picture_of_any_size_is_shown_upright_inside_any_box(
        side in (64_u32..160, 64_u32..160), bounds in (40_u32..100, 40_u32..100),
        orientation in 1_u8..=8,
    ) {
        let source = images::jpeg_with_orientation(side.0, side.1, orientation);
        let spec = still(bounds.0, bounds.1, Method::Scale);
        let task = RenderTask { specs: vec![spec], ..task(source) };
        for with in sets() {
            let Some(Ok(Prepared::Work(work))) = with.prepare(&task) else { continue };
            let (picture, _) = picture(&(work.run)().unwrap()[0]);
            prop_assert!(picture.width() <= bounds.0 && picture.height() <= bounds.1);
            assert_corners(&picture);
        }
    }
}
