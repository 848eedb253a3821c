//! What tests of picture formats have in common.

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use image::RgbaImage;

use super::super::SAFE;
use super::super::still::{Format, Header, StillImages};
use crate::testing::images::CORNERS;
use crate::thumbnail::ThumbnailPolicy;
use crate::thumbnail::render::{Cancelled, Prepared, RenderError, RenderTask, Rendered, Renderer, Work};
use crate::types::{Method, ThumbnailSpec, Variant};

/// A box of 32 by 32 pixels, for any type.
pub(in crate::thumbnail::formats) fn task(source: Bytes) -> RenderTask {
    let types = ["jpeg", "bmp", "tiff", "jxl", "avif"].map(|name| format!("image/{name}")).to_vec();
    let spec = ThumbnailSpec { width: 32, height: 32, method: Method::Scale, variant: Variant::Still };
    let policy = ThumbnailPolicy { types, ..ThumbnailPolicy::default() };
    RenderTask { source, specs: vec![spec], policy: Arc::new(policy), cancelled: Cancelled::default() }
}

#[expect(clippy::needless_pass_by_value, reason = "as the others")]
pub(in crate::thumbnail::formats) fn header(
    format: impl Format,
    source: Bytes,
) -> Result<Header, RenderError> {
    format.open(&task(source))
}

/// Renders; `None` when the source is not of the format.
pub(in crate::thumbnail::formats) fn try_render(
    format: impl Format,
    task: &RenderTask,
) -> Option<Result<Rendered, RenderError>> {
    let prepared = StillImages::new(vec![Box::new(format)], SAFE).prepare(task)?;
    Some(prepared.and_then(|prepared| match prepared {
        Prepared::Seen(probed) => panic!("{probed:?}"),
        Prepared::Done(mut done) => Ok(done.remove(0)),
        Prepared::Work(Work { run, .. }) => run().map(|mut done| done.remove(0)),
    }))
}

/// The thumbnail as pixels.
#[track_caller]
pub(in crate::thumbnail::formats) fn small(format: impl Format, source: Bytes) -> RgbaImage {
    match try_render(format, &task(source)).expect("the format is recognised") {
        Ok(Rendered::Image { bytes, .. }) => {
            image::load_from_memory(&bytes).expect("thumbnails are pictures").into_rgba8()
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(in crate::thumbnail::formats) fn assert_near(pixel: [u8; 4], wanted: [u8; 4]) {
    let near = pixel.iter().zip(wanted).all(|(got, wanted)| got.abs_diff(wanted) <= 24);
    assert!(near, "{pixel:?} instead of {wanted:?}");
}

#[track_caller]
pub(in crate::thumbnail::formats) fn assert_corners(picture: &RgbaImage) {
    let (right, bottom) = (picture.width() - 3, picture.height() - 3);
    for ((x, y), [r, g, b]) in [(2, 2), (right, 2), (2, bottom), (right, bottom)].into_iter().zip(CORNERS) {
        assert_near(picture.get_pixel(x, y).0, [r, g, b, 255]);
    }
}

#[track_caller]
fn assert_harmless(format: impl Format, task: &RenderTask, variant: impl Display) {
    match try_render(format, task) {
        None
        | Some(
            Ok(_)
            | Err(RenderError::Decode(_) | RenderError::Unsupported(_) | RenderError::TooManyPixels { .. }),
        ) => {}
        Some(Err(error)) => panic!("{variant}: {error:?}"),
    }
}

/// Cuts a file everywhere: there is an error or a picture, and work that was booked.
#[track_caller]
pub(in crate::thumbnail::formats) fn assert_cuts_are_harmless(format: impl Format + Copy, source: &Bytes) {
    for len in 0..source.len() {
        let task = task(source.slice(..len));
        assert_harmless(format, &task, len);
    }
}

/// Changes bytes, a few at a time, in ways that only depend on `seeds`; as [`assert_cuts_are_harmless`].
#[track_caller]
pub(in crate::thumbnail::formats) fn assert_damage_is_harmless(
    format: impl Format + Copy,
    source: &Bytes,
    seeds: u32,
) {
    for seed in 0..seeds {
        let mut state = seed;
        let mut next = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below.max(1)
        };
        let mut bytes = source.to_vec();
        for _ in 0..=next(4) {
            let at = next(bytes.len());
            bytes[at] = [0, 0xFF, 0x7F, 0x80, u8::try_from(next(256)).unwrap_or(0)][next(5)];
        }
        let mut task = task(bytes.into());
        task.policy = Arc::new(ThumbnailPolicy { max_pixels: 1_000_000, ..(*task.policy).clone() });
        assert_harmless(format, &task, seed);
    }
}

#[track_caller]
pub(in crate::thumbnail::formats) fn assert_too_many_pixels(format: impl Format, source: Bytes, wanted: u64) {
    match try_render(format, &task(source)) {
        Some(Err(RenderError::TooManyPixels { pixels, .. })) => assert_eq!(pixels, wanted),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(in crate::thumbnail::formats) fn assert_decoding_ends_once_nobody_waits(
    format: impl Format,
    source: Bytes,
) {
    let task = task(source);
    let prepared = StillImages::new(vec![Box::new(format)], SAFE).prepare(&task);
    let Some(Ok(Prepared::Work(Work { run, .. }))) = prepared else { panic!("no work") };
    task.cancelled.set();
    assert!(run().is_err());
}
