use std::io::Cursor;

use bytes::Bytes;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::LoopCount;
use image::{AnimationDecoder, RgbaImage};
use proptest::prelude::*;

use super::*;
use crate::testing::images::{self, ApngKind, Dispose, Part};
use crate::thumbnail::ThumbnailPolicy;
use crate::thumbnail::formats::still::{StillImages, Writers};
use crate::thumbnail::formats::{SAFE, animation_outputs, pictures};
use crate::thumbnail::geometry::Rect;
use crate::thumbnail::render::{Prepared, RenderTask, Renderer};
use crate::types::{Method, ThumbnailSpec, Variant};

fn spec(side: u32, variant: Variant) -> ThumbnailSpec {
    ThumbnailSpec { width: side, height: side, method: Method::Scale, variant }
}

fn task(source: Bytes, specs: Vec<ThumbnailSpec>, policy: ThumbnailPolicy) -> RenderTask {
    RenderTask { source, specs, policy: Arc::new(policy), cancelled: Cancelled::default() }
}

/// The thumbnails, made from frames drawn or taken over.
fn try_thumbnails(task: &RenderTask, new: NewOutput) -> Result<Vec<Rendered>, RenderError> {
    match StillImages::new(pictures(), Writers { moving: new, ..SAFE })
        .prepare(task)
        .expect("the format is known")?
    {
        Prepared::Seen(probed) => panic!("{probed:?}"),
        Prepared::Done(done) => Ok(done),
        Prepared::Work(work) => (work.run)(),
    }
}

/// The thumbnail of a box of 32 by 32 that may move.
fn thumbnail(source: Bytes, policy: ThumbnailPolicy, new: NewOutput) -> Result<Rendered, RenderError> {
    let task = task(source, vec![spec(32, Variant::Animated)], policy);
    try_thumbnails(&task, new).map(|mut all| all.remove(0))
}

fn content_type(rendered: &Rendered) -> &'static str {
    let (Rendered::Image { content_type, .. } | Rendered::Original { content_type, .. }) = rendered;
    content_type
}

/// The animation of a source as its header tells.
fn animation(source: &Bytes) -> Option<Animation> {
    let task = task(source.clone(), Vec::new(), ThumbnailPolicy::default());
    let format = pictures().into_iter().find(|format| format.is(source))?;
    format.open(&task).ok()?.animation
}

/// Frames of a source, as far as they can be drawn, and the delay of each.
fn frames(source: &Bytes) -> Vec<(Vec<u8>, u32)> {
    let Some(animation) = animation(source) else { return Vec::new() };
    let Ok(frames) = (animation.open)() else { return Vec::new() };
    frames.map_while(Result::ok).map(|frame| (frame.rgba, frame.delay)).collect()
}

#[track_caller]
fn assert_frames(source: &Bytes, expected: &[&[&str]]) {
    let drawn: Vec<_> = frames(source).into_iter().map(|(rgba, _)| rgba).collect();
    let expected: Vec<_> = expected.iter().map(|rows| images::pixels(rows)).collect();
    assert_eq!(drawn, expected);
}

/// Frames of a thumbnail, read by somebody else.
fn read(rendered: &Rendered) -> Vec<(RgbaImage, u32)> {
    let Rendered::Image { bytes, content_type, width, height } = rendered else {
        panic!("the original would be served");
    };
    let file = Cursor::new(bytes.clone());
    let frames = match *content_type {
        "image/apng" => PngDecoder::new(file).unwrap().apng().unwrap().into_frames(),
        "image/webp" => WebPDecoder::new(file).unwrap().into_frames(),
        other => panic!("{other} does not move"),
    };
    let read = frames.map(|frame| {
        let frame = frame.unwrap();
        let delay = frame.delay().numer_denom_ms().0;
        assert_eq!(frame.buffer().dimensions(), (*width, *height));
        (frame.into_buffer(), delay)
    });
    read.collect()
}

fn delays(rendered: &Rendered) -> Vec<u32> {
    read(rendered).into_iter().map(|(_, delay)| delay).collect()
}

fn close(pixel: [u8; 4], [r, g, b]: [u8; 3]) -> bool {
    pixel[3] == 255 && [r, g, b].iter().zip(pixel).all(|(&wanted, got)| wanted.abs_diff(got) <= 12)
}

// --- drawing ---

const RED: Part = Part::new((0, 0), &["RRRRRR", "RRRRRR"]);
const BLUE: Part = Part::new((2, 0), &["BB", "BB"]);
const GREEN: Part = Part::new((4, 0), &["GG", "GG"]);

fn disposing(dispose: Dispose) -> [Part; 3] {
    [RED, Part { dispose, ..BLUE }, GREEN]
}

#[track_caller]
fn assert_disposed(source: &Bytes, last: &str) {
    assert_frames(source, &[&["RRRRRR"; 2], &["RRBBRR"; 2], &[last; 2]]);
}

#[test]
fn a_frame_that_stays_is_drawn_upon() {
    let parts = disposing(Dispose::Keep);
    assert_disposed(&images::moving_gif(6, 2, None, &parts), "RRBBGG");
    assert_disposed(&images::moving_png(6, 2, 0, ApngKind::Usual, &parts), "RRBBGG");
    assert_disposed(&images::moving_webp(6, 2, 0, &parts), "RRBBGG");
}

#[test]
fn a_frame_disposed_of_to_the_background_leaves_a_hole() {
    let parts = disposing(Dispose::Background);
    assert_disposed(&images::moving_gif(6, 2, None, &parts), "RR..GG");
    assert_disposed(&images::moving_png(6, 2, 0, ApngKind::Usual, &parts), "RR..GG");
    assert_disposed(&images::moving_webp(6, 2, 0, &parts), "RR..GG");
}

#[test]
fn a_frame_disposed_of_to_the_previous_was_never_there() {
    let parts = disposing(Dispose::Previous);
    assert_disposed(&images::moving_gif(6, 2, None, &parts), "RRRRGG");
    assert_disposed(&images::moving_png(6, 2, 0, ApngKind::Usual, &parts), "RRRRGG");
}

#[test]
fn a_hole_under_a_frame_as_large_as_the_canvas_is_no_larger_than_the_frame_before() {
    let parts = [RED, Part { dispose: Dispose::Background, ..BLUE }, Part::new((0, 0), &["....GG"; 2])];
    for source in [
        images::moving_gif(6, 2, None, &parts),
        images::moving_png(6, 2, 0, ApngKind::Usual, &parts),
        images::moving_webp(6, 2, 0, &parts),
    ] {
        assert_disposed(&source, "RR..GG");
    }
}

#[test]
fn transparent_pixels_over_others_let_them_through() {
    let parts = [RED, Part::new((2, 0), &["B.", ".B"])];
    for source in [
        images::moving_gif(6, 2, None, &parts),
        images::moving_png(6, 2, 0, ApngKind::Usual, &parts),
        images::moving_webp(6, 2, 0, &parts),
    ] {
        assert_frames(&source, &[&["RRRRRR"; 2], &["RRBRRR", "RRRBRR"]]);
    }
}

#[test]
fn transparent_pixels_instead_of_others_are_holes() {
    let parts = [RED, Part { over: false, ..Part::new((2, 0), &["B.", "rB"]) }];
    for source in [images::moving_png(6, 2, 0, ApngKind::Usual, &parts), images::moving_webp(6, 2, 0, &parts)]
    {
        assert_frames(&source, &[&["RRRRRR"; 2], &["RRB.RR", "RRrBRR"]]);
    }
}

#[test]
fn half_transparent_pixels_over_others_mix_with_them() {
    let parts = [Part::new((0, 0), &["BBr."]), Part::new((0, 0), &["r.rr"])];
    for source in [images::moving_png(4, 1, 0, ApngKind::Usual, &parts), images::moving_webp(4, 1, 0, &parts)]
    {
        let last = frames(&source).pop().unwrap().0;
        let mixed = [125, 30, 125, 255, 30, 30, 220, 255, 220, 30, 30, 192, 220, 30, 30, 128];
        assert_eq!(last, mixed);
    }
}

#[test]
fn a_first_frame_restored_to_what_was_before_leaves_nothing() {
    let parts = [Part { dispose: Dispose::Previous, ..RED }, GREEN];
    for source in
        [images::moving_gif(6, 2, None, &parts), images::moving_png(6, 2, 0, ApngKind::Usual, &parts)]
    {
        assert_frames(&source, &[&["RRRRRR"; 2], &["....GG"; 2]]);
    }
}

#[test]
fn unusual_pngs_are_drawn_like_usual_ones() {
    for kind in [ApngKind::Preview, ApngKind::Interlaced, ApngKind::SixteenBit] {
        let source = images::moving_png(6, 2, 0, kind, &disposing(Dispose::Background));
        assert_disposed(&source, "RR..GG");
    }
}

#[test]
fn a_lossy_frame_after_one_that_is_disposed_of_leaves_its_hole() {
    let parts = [Part { dispose: Dispose::Background, ..Part::new((0, 0), &[]) }, Part::new((16, 0), &[])];
    let drawn = frames(&images::moving_lossy_webp(32, 16, &parts));
    let [(first, _), (second, _)] = &drawn[..] else { panic!("{} frames", drawn.len()) };
    let pixel = |frame: &[u8], x: usize| <[u8; 4]>::try_from(&frame[4 * x..4 * x + 4]).unwrap();
    assert!(close(pixel(first, 8), [200, 30, 30]) && close(pixel(second, 24), [200, 30, 30]));
    assert_eq!((pixel(first, 24), pixel(second, 8)), ([0; 4], [0; 4]));
}

#[test]
fn frames_outside_of_the_canvas_end_the_animation() {
    let parts = [RED, Part::new((4, 0), &["BBBB"])];
    for source in [images::moving_png(6, 2, 0, ApngKind::Usual, &parts), images::moving_webp(6, 2, 0, &parts)]
    {
        assert_frames(&source, &[&["RRRRRR"; 2]]);
    }
}

// --- writing ---

/// Frames written as changes, and read by somebody else. Those like the one before are left out.
fn written(frames: &[Vec<u8>], size: Size, new: NewOutput) -> Option<Vec<RgbaImage>> {
    let header = OutputHeader { size, frames: u32::try_from(frames.len()).unwrap(), plays: 0 };
    let mut changes = Changes::new(new(header).unwrap(), size);
    for frame in frames {
        changes.add(frame.clone(), 50).unwrap();
    }
    let (bytes, content_type) = changes.finish().unwrap()?;
    let Size { width, height } = size;
    let rendered = Rendered::Image { bytes: bytes.into(), content_type, width, height };
    Some(read(&rendered).into_iter().map(|(frame, _)| frame).collect())
}

/// Pictures of blocks of 16 by 16 pixels, two by three of them.
fn blocks() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let block = prop_oneof![3 => Just(b'R'), 1 => Just(b'G'), 1 => Just(b'B'), 1 => Just(b'.')];
    let picture = proptest::collection::vec(block, 6).prop_map(|blocks| {
        let pixel = |x: usize, y: usize| images::color(blocks[y / 16 * 2 + x / 16]);
        (0..48).flat_map(|y| (0..32).flat_map(move |x| pixel(x, y))).collect()
    });
    proptest::collection::vec(picture, 2..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_read_from_changes_is_what_the_frames_were(frames in blocks()) {
        let mut different = frames.clone();
        different.dedup();
        for (new, content_type) in animation_outputs() {
            let Some(read) = written(&frames, Size::new(32, 48), new) else {
                prop_assert_eq!(different.len(), 1);
                continue;
            };
            prop_assert_eq!(read.len(), different.len());
            // Colours of lossy pictures run into each other where they meet.
            let (tolerance, edge) = if content_type == "image/apng" { (0, 0) } else { (16, 3) };
            let inside = |at: u32| (edge..16 - edge).contains(&(at % 16));
            for (read, wanted) in read.iter().zip(&different) {
                for ((x, y, read), wanted) in read.enumerate_pixels().zip(wanted.chunks_exact(4)) {
                    let near = read.0.iter().zip(wanted).all(|(a, b)| a.abs_diff(*b) <= tolerance);
                    let invisible = read.0[3] == 0 && wanted[3] == 0;
                    let same = near || invisible || !inside(x) || !inside(y);
                    prop_assert!(same, "{:?} instead of {:?} in {}", read, wanted, content_type);
                }
            }
        }
    }
}

#[test]
fn a_change_of_one_pixel_costs_little() {
    let size = Size::new(64, 64);
    let clip = images::clip(64, 64, 1).remove(0);
    let mut dotted = clip.clone();
    dotted[4 * (32 * 64 + 32)] ^= 0xFF;
    for (new, content_type) in animation_outputs() {
        let len = |frames: &[&Vec<u8>]| {
            let header = OutputHeader { size, frames: 9, plays: 0 };
            let mut changes = Changes::new(new(header).unwrap(), size);
            for frame in frames {
                changes.add((*frame).clone(), 50).unwrap();
            }
            changes.finish().unwrap().unwrap().0.len()
        };
        let (short, long) = (len(&[&clip, &dotted]), len(&[&clip, &dotted, &clip, &dotted, &clip]));
        assert!(long < short + 3 * 200, "{content_type}: {short} and {long}");
    }
}

// --- thumbnails ---

fn moving_sources() -> [Bytes; 3] {
    [images::animated_gif(64, 48, 5), images::animated_png_of(64, 48, 5), images::animated_webp(64, 48, 5)]
}

#[test]
fn a_large_animation_becomes_a_small_one() {
    for source in moving_sources() {
        for (new, expected) in animation_outputs() {
            let rendered = thumbnail(source.clone(), ThumbnailPolicy::default(), new).unwrap();
            assert_eq!(content_type(&rendered), expected);
            let frames = read(&rendered);
            assert_eq!(frames.len(), 5);
            for (index, (frame, delay)) in (0..).zip(frames) {
                assert_eq!((frame.dimensions(), delay), ((32, 24), 100));
                let pixel = frame.get_pixel(16, 12).0;
                assert!(close(pixel, images::frame_color(index)), "{pixel:?} in frame {index} of {expected}");
            }
        }
    }
}

/// A GIF of frames too large for a thumbnail as they are, with these delays.
fn gif_with_delays(repeats: Option<u16>, delays: &[u16]) -> Bytes {
    let parts: Vec<_> = (0..)
        .zip(delays)
        .map(|(index, &delay)| Part {
            delay,
            ..Part::new((0, 0), if index % 2 == 0 { &["R"] } else { &["B"] })
        })
        .collect();
    images::moving_gif(64, 64, repeats, &parts)
}

#[test]
fn delays_are_kept_and_none_is_what_browsers_make_of_it() {
    let source = gif_with_delays(None, &[0, 10, 20, 70, 5000]);
    for (new, _) in animation_outputs() {
        let rendered = thumbnail(source.clone(), ThumbnailPolicy::default(), new).unwrap();
        assert_eq!(delays(&rendered), [100, 100, 20, 70, 5000]);
    }
}

/// How often it is played, as somebody else reads it; 0 for ever.
fn plays(rendered: &Rendered) -> u32 {
    let Rendered::Image { bytes, content_type, .. } = rendered else { panic!("nothing was rendered") };
    if *content_type == "image/webp" {
        return match WebPDecoder::new(Cursor::new(bytes)).unwrap().loop_count() {
            LoopCount::Infinite => 0,
            LoopCount::Finite(plays) => plays.get(),
        };
    }
    let reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
    reader.info().animation_control().unwrap().num_plays
}

#[test]
fn an_animation_is_played_as_often_as_its_source() {
    let gif = |repeats| gif_with_delays(repeats, &[50, 50]);
    let parts = [Part::new((0, 0), &["R"; 64]), Part::new((0, 0), &["B"; 64])];
    let sources = [
        (gif(None), 1),
        (gif(Some(0)), 0),
        // The first time is not a repetition.
        (gif(Some(2)), 3),
        (gif(Some(u16::MAX)), 65_536),
        (images::moving_png(1, 64, 0, ApngKind::Usual, &parts), 0),
        (images::moving_png(1, 64, 7, ApngKind::Usual, &parts), 7),
        (images::moving_webp(1, 64, 0, &parts), 0),
        (images::moving_webp(1, 64, 7, &parts), 7),
    ];
    for (source, expected) in sources {
        for (new, content_type) in animation_outputs() {
            let rendered = thumbnail(source.clone(), ThumbnailPolicy::default(), new).unwrap();
            let most = if content_type == "image/webp" { u16::MAX.into() } else { u32::MAX };
            assert_eq!(plays(&rendered), expected.min(most), "{content_type}");
        }
    }
}

#[test]
fn what_is_transparent_stays_transparent() {
    let parts = [
        Part { dispose: Dispose::Background, ..Part::new((0, 0), &["R"; 64]) },
        Part::new((2, 0), &["B"; 64]),
    ];
    for (new, content_type) in animation_outputs() {
        let source = images::moving_gif(3, 64, None, &parts);
        let task = task(
            source,
            vec![ThumbnailSpec { width: 3, height: 63, ..spec(1, Variant::Animated) }],
            ThumbnailPolicy::default(),
        );
        let rendered = try_thumbnails(&task, new).unwrap().remove(0);
        let frames = read(&rendered);
        let alpha: Vec<_> =
            frames.iter().map(|(frame, _)| [0, 2].map(|x| frame.get_pixel(x, 30).0[3])).collect();
        assert_eq!(alpha, [[255, 0], [0, 255]], "{content_type}");
    }
}

#[test]
fn one_source_gives_still_and_moving_thumbnails_at_once() {
    for source in moving_sources() {
        let specs = vec![
            spec(32, Variant::Still),
            spec(32, Variant::Animated),
            spec(64, Variant::Animated),
            spec(16, Variant::Animated),
        ];
        let task = task(source, specs, ThumbnailPolicy::default());
        let rendered = try_thumbnails(&task, Apng::new).unwrap();
        assert!(["image/png", "image/jpeg"].contains(&content_type(&rendered[0])));
        assert!(matches!(rendered[2], Rendered::Original { width: 64, height: 48, .. }));
        assert_eq!(read(&rendered[1]).len(), 5);
        assert_eq!(read(&rendered[3])[0].0.dimensions(), (16, 12));
    }
}

#[test]
fn a_moving_crop_shows_the_middle() {
    let rows = ["RRRRRRRRBBBBBBBBRRRRRRRR"; 8];
    let other = ["RRRRRRRRGGGGGGGGRRRRRRRR"; 8];
    let (rows, other): (&'static [_], &'static [_]) = (Box::leak(Box::new(rows)), Box::leak(Box::new(other)));
    let source = images::moving_webp(24, 8, 0, &[Part::new((0, 0), rows), Part::new((0, 0), other)]);
    let spec = ThumbnailSpec { method: Method::Crop, ..spec(8, Variant::Animated) };
    let rendered = try_thumbnails(&task(source, vec![spec], ThumbnailPolicy::default()), Apng::new).unwrap();
    let corners = read(&rendered[0]).into_iter().map(|(frame, _)| frame.get_pixel(0, 0).0);
    assert_eq!(corners.collect::<Vec<_>>(), [images::color(b'B'), images::color(b'G')]);
}

#[test]
fn an_animation_in_which_nothing_moves_becomes_still() {
    let parts = [Part::new((0, 0), &["R"]), Part::new((0, 0), &["R"])];
    let source = images::moving_gif(64, 64, None, &parts);
    let rendered = thumbnail(source, ThumbnailPolicy::default(), Apng::new).unwrap();
    assert_eq!(content_type(&rendered), "image/png");
}

// --- policy and caps ---

#[test]
fn an_animation_of_exactly_the_most_bytes_moves() {
    for source in moving_sources() {
        for (most, moves) in [(source.len() as u64, true), (source.len() as u64 - 1, false)] {
            let policy = ThumbnailPolicy { max_animate_bytes: most, ..ThumbnailPolicy::default() };
            let rendered = thumbnail(source.clone(), policy, Apng::new).unwrap();
            assert_eq!(content_type(&rendered) == "image/apng", moves, "{most}");
        }
    }
}

#[test]
fn nothing_moves_where_it_is_not_allowed_however_small() {
    let small = [
        images::animated_gif(16, 16, 3),
        images::animated_png_of(16, 16, 3),
        images::animated_webp(16, 16, 3),
    ];
    for source in moving_sources().into_iter().chain(small) {
        let policy = ThumbnailPolicy { allow_animated: false, ..ThumbnailPolicy::default() };
        let rendered = thumbnail(source, policy, Apng::new).unwrap();
        assert!(["image/png", "image/jpeg"].contains(&content_type(&rendered)), "{rendered:?}");
    }
}

fn unopened(frames: u64, frame_pixels: u64, drawing_bytes: u64) -> Animation {
    let open = || Err(RenderError::decode("nobody should draw this"));
    Animation {
        frames,
        plays: 0,
        duration: Duration::ZERO,
        frame_pixels,
        drawing_bytes,
        open: Arc::new(open),
    }
}

#[test]
fn animations_up_to_the_caps_move() {
    assert!(unopened(MOST_FRAMES, DRAWN_PIXELS / MOST_FRAMES, DRAWING_BYTES).may_move());
    assert!(!unopened(MOST_FRAMES + 1, 1, 1).may_move());
    assert!(!unopened(2, DRAWN_PIXELS / 2 + 1, 1).may_move());
    assert!(!unopened(2, 1, DRAWING_BYTES + 1).may_move());
    assert!(!unopened(u64::MAX, u64::MAX, 1).may_move());
    assert!(!unopened(1, 1, 1).may_move(), "one picture");
}

#[test]
fn thumbnails_share_the_pixels_that_may_be_written() {
    let mut room = OutputRoom::default();
    let placement = |side| Placement {
        region: Rect { left: 0, top: 0, size: Size::new(5000, 5000) },
        size: Size::new(side, side),
    };
    let animation = unopened(100, 1, 1);
    let fits: Vec<_> = [600, 400, 10].map(|side| animation.fits(&placement(side), &mut room)).to_vec();
    assert_eq!(fits, [true, false, true]);
}

#[test]
fn an_animation_of_too_many_frames_becomes_still() {
    let parts = [Part::new((0, 0), &["R"]), Part::new((0, 0), &["B"])].repeat(501);
    for (frames, expected) in [(1000, "image/apng"), (1001, "image/png")] {
        let source = images::moving_gif(4, 4, None, &parts[..frames]);
        let task = task(source, vec![spec(2, Variant::Animated)], ThumbnailPolicy::default());
        let rendered = try_thumbnails(&task, Apng::new).unwrap();
        assert_eq!(content_type(&rendered[0]), expected, "{frames}");
    }
}

/// A file that is always too long.
struct TooLong;

impl Output for TooLong {
    fn form(&self) -> OutputForm {
        OutputForm { grid: 1, over: false, longest_delay: 1000, content_type: "image/apng" }
    }

    fn add(&mut self, _: &Patch) -> Result<(), RenderError> {
        Ok(())
    }

    fn bytes(&self) -> u64 {
        OUTPUT_BYTES + 1
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, RenderError> {
        panic!("it was given up");
    }
}

#[test]
fn a_thumbnail_of_too_many_bytes_becomes_still() {
    let rendered =
        thumbnail(moving_sources()[0].clone(), ThumbnailPolicy::default(), |_| Ok(Box::new(TooLong)));
    assert_eq!(content_type(&rendered.unwrap()), "image/png");
}

#[test]
fn an_animation_without_end_costs_few_frames() {
    let source = images::endless_gif(400, 1_000_000);
    let endless = animation(&source).unwrap();
    assert_eq!(endless.frames, 1_000_000);
    assert!(endless.still_frame(1.0) * endless.frame_pixels <= STILL_FRAME_PIXELS);
    let policy =
        ThumbnailPolicy { max_animate_bytes: u64::MAX, still_frame: 0.000_05, ..ThumbnailPolicy::default() };
    let rendered = thumbnail(source, policy, Apng::new).unwrap();
    assert_eq!(content_type(&rendered), "image/png");
}

#[test]
fn the_still_frame_lies_where_the_policy_says() {
    let animation = unopened(30, 1, 1);
    let chosen = [0.0, 0.5, 0.99, 1.0, 7.0, -1.0, f32::NAN].map(|at| animation.still_frame(at));
    assert_eq!(chosen, [0, 15, 29, 29, 29, 0, 0]);
}

#[test]
fn reaching_the_still_frame_is_bounded() {
    assert_eq!(unopened(1_000_000, 2_000_000, 1).still_frame(1.0), 32);
    assert_eq!(unopened(1_000_000, u64::MAX, 1).still_frame(1.0), 0);
    assert_eq!(unopened(1_000_000, 1, DRAWING_BYTES + 1).still_frame(1.0), 0);
    assert_eq!(unopened(0, 0, 0).still_frame(1.0), 0);
}

#[test]
fn what_a_moving_thumbnail_takes_is_booked() {
    let booked = |variant| {
        let source = images::animated_gif(64, 64, 5);
        let policy = ThumbnailPolicy { still_frame: 0.0, ..ThumbnailPolicy::default() };
        match StillImages::new(pictures(), SAFE).prepare(&task(source, vec![spec(32, variant)], policy)) {
            Some(Ok(Prepared::Work(work))) => work.required_bytes,
            other => panic!("{other:?}"),
        }
    };
    let all_frames = 5 * 32 * 32 * 4;
    assert!(booked(Variant::Animated) > booked(Variant::Still) + 3 * 64 * 64 * 4 + all_frames);
}

// --- damage ---

#[test]
fn a_cut_animation_has_the_first_frames_of_the_whole() {
    let parts = disposing(Dispose::Background);
    let sources = [
        images::moving_gif(6, 2, None, &parts),
        images::moving_png(6, 2, 0, ApngKind::Usual, &parts),
        images::moving_png(6, 2, 0, ApngKind::Preview, &parts),
        images::moving_webp(6, 2, 0, &parts),
    ];
    for source in sources {
        let whole = frames(&source);
        let mut most = 0;
        for len in 0..=source.len() {
            let cut = frames(&source.slice(..len));
            assert_eq!(cut, whole[..cut.len()], "{len} of {} bytes of {:?}", source.len(), &source[..4]);
            assert!(cut.len() >= most, "{len} of {} bytes of {:?}", source.len(), &source[..4]);
            most = cut.len();
        }
        assert_eq!(most, 3);
    }
}

#[test]
fn an_animation_that_breaks_in_the_middle_moves_until_there() {
    for source in moving_sources() {
        let broken = source.slice(..source.len() - source.len() / 4);
        let rendered = thumbnail(broken, ThumbnailPolicy::default(), Apng::new).unwrap();
        assert_eq!(read(&rendered).len(), 3);
    }
}

#[test]
fn an_animation_whose_first_frame_is_broken_is_a_damaged_source() {
    let broken = moving_sources().map(|source| {
        let mut bytes = source.to_vec();
        let data = bytes.windows(4).position(|name| name == b"IDAT" || name == b"VP8L");
        // The first codes of a GIF come behind its palette and the header of its first frame.
        let at = data.map_or(bytes.len() / 5, |name| name + 8);
        bytes[at - 4..at + 20].fill(0xFF);
        Bytes::from(bytes)
    });
    for source in broken {
        for variant in [Variant::Animated, Variant::Still] {
            let task = task(source.clone(), vec![spec(32, variant)], ThumbnailPolicy::default());
            let result = try_thumbnails(&task, Apng::new);
            assert!(matches!(result, Err(RenderError::Decode(_))), "{:?} {result:?}", &source[..4]);
        }
    }
}

#[test]
fn drawing_ends_once_nobody_waits() {
    for source in moving_sources() {
        for variant in [Variant::Animated, Variant::Still] {
            let task = task(source.clone(), vec![spec(32, variant)], ThumbnailPolicy::default());
            let prepared = StillImages::new(pictures(), SAFE).prepare(&task);
            let Some(Ok(Prepared::Work(work))) = prepared else { panic!("no work") };
            task.cancelled.set();
            assert!((work.run)().is_err());
        }
    }
}

/// Damages a file in a way that only depends on `seed`.
fn damaged(source: &Bytes, mut seed: u32) -> Bytes {
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below.max(1)
    };
    let mut bytes = source.to_vec();
    for _ in 0..=next(6) {
        // Behind the signature.
        let at = 12 + next(bytes.len() - 12);
        bytes[at] = [0, 0xFF, 0x7F, 0x80, u8::try_from(next(256)).unwrap()][next(5)];
    }
    bytes.into()
}

#[test]
fn damaged_animations_are_rendered_or_refused_but_never_panic() {
    let rows: &'static [&'static str] = Box::leak(Box::new(["RRGGBB.WRRGGBB.W"; 20]));
    let parts = [
        Part::new((0, 0), rows),
        Part { dispose: Dispose::Background, ..BLUE },
        Part { over: false, ..GREEN },
    ];
    let sources = [
        images::moving_gif(16, 20, Some(0), &parts),
        images::moving_png(16, 20, 0, ApngKind::Usual, &parts),
        images::moving_png(16, 20, 0, ApngKind::Interlaced, &parts),
        images::moving_webp(16, 20, 0, &parts),
        images::moving_lossy_webp(32, 32, &parts),
    ];
    for (number, source) in sources.iter().enumerate() {
        for seed in 0..300 {
            let policy = ThumbnailPolicy { max_pixels: 1_000_000, ..ThumbnailPolicy::default() };
            let specs = vec![spec(9, Variant::Animated), spec(9, Variant::Still)];
            match try_thumbnails(&task(damaged(source, seed), specs, policy), Apng::new) {
                Ok(rendered) => assert_eq!(rendered.len(), 2),
                Err(error) => {
                    let refusal = matches!(
                        error,
                        RenderError::Unsupported(_)
                            | RenderError::TooManyPixels { .. }
                            | RenderError::TooMuchMemory { .. }
                            | RenderError::Decode(_)
                    );
                    assert!(refusal, "animation {number}, seed {seed}: {error:?}");
                }
            }
        }
    }
}

#[test]
fn a_moving_picture_that_is_stored_turned_is_made_upright() {
    let parts = [Part::new((0, 0), &["RRRR", "BBBB"]), Part::new((0, 0), &["GGGG", "BBBB"])];
    let source = images::moving_webp_turned(4, 2, 6, &parts);
    // A quarter to the right: what is above comes to the right.
    let spec = spec(4, Variant::Animated);
    let rendered = try_thumbnails(&task(source, vec![spec], ThumbnailPolicy::default()), Apng::new).unwrap();
    let tops: Vec<_> = read(&rendered[0])
        .into_iter()
        .map(|(frame, _)| {
            assert_eq!(frame.dimensions(), (2, 4));
            [0, 1].map(|x| frame.get_pixel(x, 0).0)
        })
        .collect();
    let [red, green, blue] = [b'R', b'G', b'B'].map(images::color);
    assert_eq!(tops, [[blue, red], [blue, green]]);
}
