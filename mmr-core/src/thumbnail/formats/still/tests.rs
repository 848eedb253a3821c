mod sizes;

use std::sync::Arc;

use bytes::Bytes;
use image::{ImageDecoder, ImageFormat, RgbaImage};

use crate::testing::images::{self, CORNERS};
use crate::thumbnail::render::{Cancelled, Prepared, RenderError, RenderTask, Rendered, Renderer, Work};
use crate::thumbnail::{RenderLimits, RenderPool, ThumbnailPolicy};
use crate::types::{Method, Size, ThumbnailSpec, Variant};

fn policy() -> ThumbnailPolicy {
    let types = ["image/jpeg", "image/png", "image/gif", "image/webp"].map(str::to_owned).to_vec();
    ThumbnailPolicy { types, ..ThumbnailPolicy::default() }
}

fn still(width: u32, height: u32, method: Method) -> ThumbnailSpec {
    ThumbnailSpec { width, height, method, variant: Variant::Still }
}

/// A set of renderers of this build.
#[derive(Clone)]
struct Set(Vec<Arc<dyn Renderer>>);

/// All sets: tests of pictures hold for each.
fn sets() -> impl Iterator<Item = Set> {
    super::super::sets().into_iter().map(Set)
}

impl Set {
    fn pool(&self) -> RenderPool {
        RenderPool::with_renderers(RenderLimits::default(), self.0.clone())
    }

    async fn try_render(
        &self,
        source: Bytes,
        spec: ThumbnailSpec,
        policy: ThumbnailPolicy,
    ) -> Result<Rendered, RenderError> {
        self.pool().render(source, spec, Arc::new(policy)).await
    }

    async fn render(&self, source: Bytes, spec: ThumbnailSpec) -> Rendered {
        self.try_render(source, spec, policy()).await.unwrap()
    }

    /// The picture of a 32x32 scale.
    async fn small(&self, source: Bytes) -> (RgbaImage, &'static str) {
        picture(&self.render(source, still(32, 32, Method::Scale)).await)
    }

    fn prepare(&self, task: &RenderTask) -> Option<Result<Prepared, RenderError>> {
        self.0.iter().find_map(|renderer| renderer.prepare(task))
    }
}

/// The picture inside, after checking that it is what is said about it.
fn picture(rendered: &Rendered) -> (RgbaImage, &'static str) {
    let Rendered::Image { bytes, content_type, width, height } = rendered else {
        panic!("the original would be served");
    };
    let format = image::guess_format(bytes).unwrap();
    assert_eq!(format.to_mime_type(), *content_type);
    let picture = image::load_from_memory_with_format(bytes, format).unwrap().into_rgba8();
    assert_eq!(picture.dimensions(), (*width, *height));
    (picture, content_type)
}

fn close(pixel: [u8; 4], [r, g, b]: [u8; 3]) -> bool {
    pixel[3] == 255 && [r, g, b].iter().zip(pixel).all(|(&wanted, got)| wanted.abs_diff(got) <= 24)
}

#[track_caller]
fn assert_corners(picture: &RgbaImage) {
    let (right, bottom) = (picture.width() - 3, picture.height() - 3);
    for (place, color) in [(2, 2), (right, 2), (2, bottom), (right, bottom)].into_iter().zip(CORNERS) {
        let pixel = picture.get_pixel(place.0, place.1).0;
        assert!(close(pixel, color), "{pixel:?} at {place:?} instead of {color:?}");
    }
}

#[track_caller]
fn assert_color(picture: &RgbaImage, color: [u8; 3]) {
    let pixel = picture.get_pixel(picture.width() / 2, picture.height() / 2).0;
    assert!(close(pixel, color), "{pixel:?} instead of {color:?}");
}

fn decoder_of(rendered: &Rendered) -> impl ImageDecoder {
    let Rendered::Image { bytes, .. } = rendered else { panic!("the original would be served") };
    image::ImageReader::new(std::io::Cursor::new(bytes.clone()))
        .with_guessed_format()
        .unwrap()
        .into_decoder()
        .unwrap()
}

// --- orientation ---

#[tokio::test]
async fn every_orientation_of_a_jpeg_is_shown_upright() {
    for with in sets() {
        for orientation in 1..=8 {
            let source = images::jpeg_with_orientation(128, 96, orientation);
            let (picture, _) = with.small(source).await;
            assert_eq!(picture.dimensions(), (32, 24), "orientation {orientation}");
            assert_corners(&picture);
        }
    }
}

#[tokio::test]
async fn every_orientation_of_a_png_is_shown_upright() {
    for with in sets() {
        for orientation in 1..=8 {
            let (picture, _) = with.small(images::png_with_orientation(128, 96, orientation)).await;
            assert_eq!(picture.dimensions(), (32, 24), "orientation {orientation}");
            assert_corners(&picture);
        }
    }
}

#[tokio::test]
async fn every_orientation_of_a_webp_is_shown_upright() {
    for with in sets() {
        for orientation in 1..=8 {
            let (picture, _) = with.small(images::webp_with_orientation(128, 96, orientation)).await;
            assert_eq!(picture.dimensions(), (32, 24), "orientation {orientation}");
            assert_corners(&picture);
        }
    }
}

#[tokio::test]
async fn cropping_a_turned_picture_takes_its_upright_middle() {
    for with in sets() {
        for orientation in 1..=8 {
            let source = images::jpeg_with_orientation(192, 64, orientation);
            let (picture, _) = picture(&with.render(source, still(32, 32, Method::Crop)).await);
            assert_eq!(picture.dimensions(), (32, 32), "orientation {orientation}");
            assert_corners(&picture);
        }
    }
}

#[tokio::test]
async fn a_box_that_is_not_square_holds_for_a_turned_picture() {
    for with in sets() {
        let source = images::jpeg_with_orientation(64, 256, 6);
        let (picture, _) = picture(&with.render(source, still(64, 32, Method::Scale)).await);
        assert_eq!(picture.dimensions(), (8, 32));
    }
}

// --- sizes and originals ---

#[tokio::test]
async fn a_crop_has_the_aspect_ratio_of_the_box_even_where_the_picture_is_smaller() {
    for with in sets() {
        let rendered = with.render(images::png(20, 200), still(40, 40, Method::Crop)).await;
        assert_eq!(picture(&rendered).0.dimensions(), (20, 20));
    }
}

#[tokio::test]
async fn a_picture_no_larger_than_asked_is_served_as_it_is_under_its_real_type() {
    for with in sets() {
        let sources = [
            (images::jpeg(32, 24), "image/jpeg"),
            (images::png(32, 24), "image/png"),
            (images::gif(32, 24), "image/gif"),
            (images::lossless_webp(32, 24), "image/webp"),
            (images::jpeg_with_orientation(32, 24, 1), "image/jpeg"),
        ];
        for (source, content_type) in sources {
            for method in [Method::Scale, Method::Crop] {
                let rendered = with.render(source.clone(), still(32, 32, method)).await;
                assert_eq!(rendered, Rendered::Original { content_type, width: 32, height: 24 });
            }
        }
    }
}

#[tokio::test]
async fn a_small_picture_that_is_stored_turned_is_made_upright() {
    for with in sets() {
        let (picture, _) = with.small(images::jpeg_with_orientation(24, 32, 6)).await;
        assert_eq!(picture.dimensions(), (24, 32));
        assert_corners(&picture);
    }
}

#[tokio::test]
async fn a_small_animation_becomes_still_unless_an_animation_is_wanted() {
    for with in sets() {
        let animations = [
            (images::animated_gif(16, 16, 3), "image/gif"),
            (images::animated_webp(16, 16, 3), "image/webp"),
            (images::animated_png(16, 16), "image/apng"),
        ];
        for (source, content_type) in animations {
            let (picture, _) = with.small(source.clone()).await;
            assert_eq!(picture.dimensions(), (16, 16), "{content_type}");
            let moving = ThumbnailSpec { variant: Variant::Animated, ..still(32, 32, Method::Scale) };
            let original = Rendered::Original { content_type, width: 16, height: 16 };
            assert_eq!(with.render(source, moving).await, original);
        }
    }
}

#[tokio::test]
async fn an_animation_of_too_many_bytes_becomes_still() {
    for with in sets() {
        let source = images::animated_gif(16, 16, 3);
        let moving = ThumbnailSpec { variant: Variant::Animated, ..still(32, 32, Method::Scale) };
        let policy = ThumbnailPolicy { max_animate_bytes: source.len() as u64 - 1, ..policy() };
        let rendered = with.try_render(source, moving, policy).await.unwrap();
        assert_eq!(picture(&rendered).1, "image/png");
    }
}

// --- kinds of pixels ---

#[tokio::test]
async fn every_kind_of_picture_keeps_its_colours() {
    for with in sets() {
        let sources = [
            images::jpeg(128, 96),
            images::progressive_jpeg(128, 96),
            images::cmyk_jpeg(128, 96),
            images::ycck_jpeg(128, 96),
            images::png(128, 96),
            images::palette_png(128, 96),
            images::sixteen_bit_png(128, 96),
            images::opaque_rgba_png(128, 96),
            images::gif(128, 96),
            images::lossless_webp(128, 96),
        ];
        for source in sources {
            assert_corners(&with.small(source).await.0);
        }
    }
}

#[tokio::test]
async fn output_is_jpeg_for_jpeg_and_opaque_webp_and_png_for_the_rest() {
    for with in sets() {
        let sources = [
            (images::jpeg(64, 64), "image/jpeg"),
            (images::grey_jpeg(64, 64), "image/jpeg"),
            (images::lossless_webp(64, 64), "image/jpeg"),
            (images::animated_webp(64, 64, 2), "image/jpeg"),
            (images::alpha_webp(64, 64), "image/png"),
            (images::png(64, 64), "image/png"),
            (images::alpha_png(64, 64), "image/png"),
            (images::gif(64, 64), "image/png"),
            (images::animated_gif(64, 64, 2), "image/png"),
        ];
        for (source, content_type) in sources {
            assert_eq!(with.small(source).await.1, content_type);
        }
    }
}

#[tokio::test]
async fn lossy_webp_is_decoded() {
    for with in sets() {
        let rendered = with.render(images::lossy_webp(), still(8, 8, Method::Scale)).await;
        assert_color(&picture(&rendered).0, [200, 30, 30]);
    }
}

#[tokio::test]
async fn grey_pictures_stay_grey() {
    for with in sets() {
        for source in [images::grey_jpeg(64, 64), images::grey_png(64, 64)] {
            let rendered = with.render(source, still(32, 32, Method::Scale)).await;
            assert_eq!(decoder_of(&rendered).color_type(), image::ColorType::L8);
            let (picture, _) = picture(&rendered);
            assert!(close(picture.get_pixel(4, 16).0, [40; 3]), "{:?}", picture.get_pixel(4, 16));
            assert!(close(picture.get_pixel(28, 16).0, [210; 3]), "{:?}", picture.get_pixel(28, 16));
        }
    }
}

#[tokio::test]
async fn an_alpha_channel_without_transparency_is_left_out() {
    for with in sets() {
        let rendered = with.render(images::opaque_rgba_png(64, 64), still(32, 32, Method::Scale)).await;
        assert_eq!(decoder_of(&rendered).color_type(), image::ColorType::Rgb8);
    }
}

#[tokio::test]
async fn the_colour_of_transparent_pixels_does_not_bleed_into_their_neighbours() {
    for with in sets() {
        for source in [images::alpha_png(66, 66), images::alpha_webp(66, 66)] {
            let (picture, _) = with.small(source).await;
            let mut partly = 0;
            for pixel in picture.pixels().filter(|pixel| pixel.0[3] > 0) {
                assert!(pixel.0[1] <= 8, "green shines through in {pixel:?}");
                partly += usize::from(pixel.0[3] < 255);
            }
            assert!(partly > 0, "the edge is not sharp, else this would show nothing");
        }
    }
}

// --- colour profiles ---

fn pictures_with_profile(profile: &[u8]) -> [Bytes; 3] {
    [
        images::jpeg_with_profile(64, 64, profile),
        images::png_with_profile(64, 64, profile),
        images::webp_with_profile(64, 64, profile),
    ]
}

#[tokio::test]
async fn colours_are_converted_and_no_profile_is_kept() {
    let profiles = [
        // Exchanging the primaries exchanges the channels.
        (images::swapped_profile(), [[30, 220, 30], [200, 30, 30], [30, 30, 220], [250; 3]]),
        // By the matrices of the two standards, cut off where sRGB has no such colour.
        (images::display_p3_profile(), [[240, 0, 0], [0, 204, 0], [24, 29, 229], [250; 3]]),
    ];
    for with in sets() {
        for (profile, colors) in &profiles {
            for source in pictures_with_profile(profile) {
                let rendered = with.render(source, still(32, 32, Method::Scale)).await;
                assert_eq!(decoder_of(&rendered).icc_profile().unwrap(), None);
                let (picture, _) = picture(&rendered);
                for ((x, y), color) in [(4, 4), (27, 4), (4, 27), (27, 27)].into_iter().zip(colors) {
                    let [r, g, b, _] = picture.get_pixel(x, y).0;
                    let near = [r, g, b].iter().zip(color).all(|(got, wanted)| got.abs_diff(*wanted) <= 8);
                    assert!(near, "{:?} instead of {color:?}", [r, g, b]);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_profile_that_changes_nothing_or_cannot_be_used_does_no_harm() {
    let profiles = [
        images::srgb_profile(),
        images::broken_profile(),
        images::linear_grey_profile(),
        vec![0xA5; 3000],
        [images::swapped_profile(), vec![0; 2_000_000]].concat(),
    ];
    for with in sets() {
        let plain = pictures_with_profile(&[]);
        for profile in &profiles {
            for (source, plain) in pictures_with_profile(profile).into_iter().zip(&plain) {
                let spec = still(32, 32, Method::Scale);
                assert_eq!(with.render(source, spec).await, with.render(plain.clone(), spec).await);
            }
        }
    }
}

#[tokio::test]
async fn the_profile_of_a_cmyk_picture_is_left_out() {
    for with in sets() {
        let rendered = with.render(images::cmyk_jpeg(64, 64), still(32, 32, Method::Scale)).await;
        assert_eq!(decoder_of(&rendered).icc_profile().unwrap(), None);
    }
}

#[tokio::test]
async fn a_profile_that_explodes_is_left_out() {
    for with in sets() {
        let source = images::png_with_profile_bomb(64, 64, 500_000_000);
        let rendered = with.render(source, still(32, 32, Method::Scale)).await;
        assert_eq!(decoder_of(&rendered).icc_profile().unwrap(), None);
    }
}

// --- frames ---

#[tokio::test]
async fn the_frame_of_an_animation_is_the_one_the_policy_says() {
    for with in sets() {
        for source in [
            images::animated_gif(64, 64, 5),
            images::animated_webp(64, 64, 5),
            images::animated_png_of(64, 64, 5),
        ] {
            for (position, index) in [(0.0, 0), (0.5, 2), (1.0, 4)] {
                let policy = ThumbnailPolicy { still_frame: position, ..policy() };
                let rendered =
                    with.try_render(source.clone(), still(32, 32, Method::Scale), policy).await.unwrap();
                assert_color(&picture(&rendered).0, images::frame_color(index));
            }
        }
    }
}

#[tokio::test]
async fn a_gif_that_ends_early_shows_its_last_whole_frame() {
    for with in sets() {
        let policy = ThumbnailPolicy { still_frame: 1.0, ..policy() };
        let source = images::animated_gif(64, 64, 5);
        let cut = source.slice(..source.len() - 20);
        let rendered = with.try_render(cut, still(32, 32, Method::Scale), policy).await.unwrap();
        assert_color(&picture(&rendered).0, images::frame_color(3));
    }
}

// --- limits ---

#[tokio::test]
async fn a_type_that_is_not_enabled_is_unsupported_whatever_its_size() {
    for with in sets() {
        for source in [images::jpeg(8, 8), images::jpeg(64, 64)] {
            let policy = ThumbnailPolicy { types: vec!["image/png".to_owned()], ..policy() };
            let result = with.try_render(source, still(32, 32, Method::Scale), policy).await;
            assert!(matches!(result, Err(RenderError::Unsupported(_))), "{result:?}");
        }
    }
}

#[tokio::test]
async fn a_picture_of_exactly_the_most_pixels_is_rendered() {
    for with in sets() {
        let policy = ThumbnailPolicy { max_pixels: 64 * 64, ..policy() };
        with.try_render(images::png(64, 64), still(32, 32, Method::Scale), policy).await.unwrap();
    }
}

#[tokio::test]
async fn a_picture_of_one_pixel_row_too_many_is_refused() {
    for with in sets() {
        let policy = ThumbnailPolicy { max_pixels: 64 * 64, ..policy() };
        let result = with.try_render(images::png(64, 65), still(32, 32, Method::Scale), policy).await;
        assert!(
            matches!(result, Err(RenderError::TooManyPixels { pixels: 4160, limit: 4096 })),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn a_bomb_is_refused_by_the_pixel_limit() {
    for with in sets() {
        let bomb = images::png_bomb();
        assert!(bomb.len() < 110_000, "{} bytes are no bomb", bomb.len());
        let result = with.try_render(bomb, still(32, 32, Method::Scale), policy()).await;
        let Err(RenderError::TooManyPixels { pixels: 900_000_000, limit: 32_000_000 }) = result else {
            panic!("{result:?}");
        };
    }
}

#[tokio::test]
async fn the_bomb_is_a_valid_picture() {
    for with in sets() {
        let spec = still(32, 32, Method::Scale);
        assert_color(&picture(&with.render(images::black_png(600, 600), spec).await).0, [0; 3]);
    }
}

/// Most memory that this process ever had, in bytes.
#[cfg(target_os = "linux")]
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_bomb_that_the_policy_would_allow_is_refused_by_the_memory_budget_before_it_takes_memory() {
    for with in sets() {
        let policy = ThumbnailPolicy { max_pixels: u64::MAX, ..policy() };
        let before = peak_memory();
        let result = with.try_render(images::png_bomb(), still(32, 32, Method::Scale), policy).await;
        assert!(matches!(result, Err(RenderError::TooMuchMemory { pixels: 900_000_000, .. })), "{result:?}");
        let grown = peak_memory().saturating_sub(before);
        // Other tests run meanwhile; decoding would take 900 MB.
        assert!(grown < 300_000_000, "{grown} bytes were taken");
    }
}

#[tokio::test]
async fn a_picture_so_long_that_its_filter_weights_would_not_fit_is_refused() {
    for with in sets() {
        let policy = ThumbnailPolicy { max_pixels: u64::MAX, ..policy() };
        let result =
            with.try_render(images::black_png(1, 15_000_000), still(800, 600, Method::Scale), policy).await;
        assert!(matches!(result, Err(RenderError::TooMuchMemory { .. })), "{result:?}");
    }
}

#[tokio::test]
async fn frames_larger_than_their_canvas_count_as_the_pixels_they_are() {
    for with in sets() {
        let sources =
            [images::gif_with_frame_larger_than_canvas(20_000), images::webp_with_frame_larger_than_canvas()];
        for source in sources {
            for max_pixels in [policy().max_pixels, u64::MAX] {
                let policy = ThumbnailPolicy { max_pixels, ..policy() };
                let result = with.try_render(source.clone(), still(4, 4, Method::Scale), policy).await;
                let refused = matches!(
                    result,
                    Err(RenderError::TooManyPixels { .. } | RenderError::TooMuchMemory { .. })
                );
                assert!(refused, "{result:?}");
            }
        }
    }
}

#[test]
fn a_frame_larger_than_its_canvas_is_booked_in_full() {
    for with in sets() {
        let mut task = task(images::gif_with_frame_larger_than_canvas(200));
        task.specs = vec![still(4, 4, Method::Scale)];
        let Some(Ok(Prepared::Work(work))) = with.prepare(&task) else { panic!("no work") };
        assert!(work.required_bytes >= 200 * 200 * 4, "{work:?}");
    }
}

#[test]
fn a_progressive_jpeg_is_booked_with_its_coefficients() {
    for with in sets() {
        let booked = |source| match with.prepare(&task(source)) {
            Some(Ok(Prepared::Work(work))) => work.required_bytes,
            other => panic!("{other:?}"),
        };
        let (width, height) = (600, 400);
        let row_by_row = booked(images::jpeg(width, height));
        let at_once = booked(images::progressive_jpeg(width, height));
        assert!(at_once > row_by_row + u64::from(width * height) * 2 * 3);
    }
}

#[tokio::test]
async fn a_header_that_lies_about_its_size_is_a_damaged_source() {
    for with in sets() {
        let result =
            with.try_render(images::lying_png(4000, 4000), still(32, 32, Method::Scale), policy()).await;
        assert!(matches!(result, Err(RenderError::Decode(_))), "{result:?}");
    }
}

#[tokio::test]
async fn a_jpeg_cut_in_half_shows_what_there_is() {
    for with in sets() {
        let source = images::truncated_jpeg(256, 256);
        assert_eq!(with.small(source).await.0.dimensions(), (32, 32));
    }
}

#[tokio::test]
async fn a_png_cut_in_half_is_a_damaged_source() {
    for with in sets() {
        let whole = images::photo_png(256, 256);
        let half = whole.slice(..whole.len() / 2);
        let result = with.try_render(half, still(32, 32, Method::Scale), policy()).await;
        assert!(matches!(result, Err(RenderError::Decode(_))), "{result:?}");
    }
}

#[tokio::test]
async fn bytes_without_a_known_signature_are_unsupported() {
    for with in sets() {
        for source in [&b""[..], b"\xFF\xD8", b"<svg/>", b"BM", b"RIFF\0\0\0\0WAVE"] {
            let source = Bytes::from_static(source);
            let result = with.try_render(source, still(32, 32, Method::Scale), policy()).await;
            assert!(matches!(result, Err(RenderError::Unsupported(_))), "{result:?}");
        }
    }
}

fn task(source: Bytes) -> RenderTask {
    let specs = vec![still(32, 32, Method::Scale)];
    RenderTask { source, specs, policy: Arc::new(policy()), cancelled: Cancelled::default() }
}

#[test]
fn decoding_ends_once_nobody_waits() {
    for with in sets() {
        let sources = [
            images::photo_png(300, 300),
            images::animated_gif(64, 64, 5),
            images::animated_webp(64, 64, 2),
            images::jpeg(64, 64),
        ];
        for source in sources {
            let task = task(source);
            let Some(Ok(Prepared::Work(Work { run, .. }))) = with.prepare(&task) else {
                panic!("no work");
            };
            task.cancelled.set();
            assert!(run().is_err());
        }
    }
}

// --- damage ---

/// Damages a picture in a way that only depends on `seed`.
fn damaged(source: &Bytes, mut seed: u32) -> Bytes {
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below.max(1)
    };
    let mut bytes = source.to_vec();
    for _ in 0..=next(6) {
        // Headers are where damage matters most.
        let reach = if next(2) == 0 { bytes.len() } else { bytes.len().min(64) };
        let at = next(reach);
        bytes[at] = [0, 0xFF, 0x7F, 0x80, u8::try_from(next(256)).unwrap()][next(5)];
    }
    if next(4) == 0 {
        let len = next(bytes.len());
        bytes.truncate(len);
    }
    bytes.into()
}

#[tokio::test]
async fn damaged_pictures_are_rendered_inside_the_box_or_refused_but_never_panic() {
    for with in sets() {
        let whole = [
            images::jpeg(40, 30),
            images::progressive_jpeg(40, 30),
            images::cmyk_jpeg(40, 30),
            images::ycck_jpeg(40, 30),
            images::jpeg_with_orientation(40, 30, 6),
            images::palette_png(40, 30),
            images::sixteen_bit_png(40, 30),
            images::animated_png(40, 30),
            images::png_with_profile(40, 30, &images::display_p3_profile()),
            images::animated_gif(40, 30, 3),
            images::lossless_webp(40, 30),
            images::alpha_webp(40, 30),
            images::lossy_webp(),
            images::animated_webp(40, 30, 2),
            images::webp_with_orientation(40, 30, 6),
        ];
        let policy = Arc::new(ThumbnailPolicy { max_pixels: 1_000_000, ..policy() });
        let pool = with.pool();
        let bounds = Size::new(12, 9);
        for (number, source) in whole.iter().enumerate() {
            for seed in 0..150 {
                let source = damaged(source, seed);
                let method = if seed % 2 == 0 { Method::Scale } else { Method::Crop };
                let spec = still(bounds.width, bounds.height, method);
                match pool.render(source, spec, Arc::clone(&policy)).await {
                    Ok(Rendered::Image { width, height, .. } | Rendered::Original { width, height, .. }) => {
                        assert!(bounds.contains(Size::new(width, height)), "picture {number}, seed {seed}");
                    }
                    Err(error) => {
                        let refusal = matches!(
                            error,
                            RenderError::Unsupported(_)
                                | RenderError::TooManyPixels { .. }
                                | RenderError::TooMuchMemory { .. }
                                | RenderError::Decode(_)
                        );
                        assert!(refusal, "picture {number}, seed {seed}: {error:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_sniffed_type_is_one_that_the_encoder_of_the_fixture_meant() {
    for with in sets() {
        for (source, format) in [
            (images::jpeg(8, 8), ImageFormat::Jpeg),
            (images::png(8, 8), ImageFormat::Png),
            (images::gif(8, 8), ImageFormat::Gif),
            (images::lossy_webp(), ImageFormat::WebP),
        ] {
            assert_eq!(image::guess_format(&source).unwrap(), format);
            let Some(Ok(Prepared::Done(done))) = with.prepare(&task(source)) else {
                panic!("{format:?} is not recognised");
            };
            let [Rendered::Original { content_type, .. }] = done[..] else { panic!("{done:?}") };
            assert_eq!(content_type, format.to_mime_type());
        }
    }
}
