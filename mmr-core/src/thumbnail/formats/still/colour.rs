//! Colour profiles: thumbnails are sRGB and carry none.

use std::fmt;
use std::sync::Arc;

use moxcms::{ColorProfile, ParsingOptions, TransformExecutor, TransformOptions};

use super::steps::{Layout, Pixels};

/// Larger profiles are left out. Displays and cameras have a few kilobytes, scanners some hundred.
const MAX_PROFILE_BYTES: usize = 1024 * 1024;

/// Profiles that move no colour further than this are taken for sRGB: what rounding does.
const UNSEEN: u8 = 2;

/// The embedded profile of a source.
///
/// One that is broken, too large, or for other colours than the pixels have is as if there were none.
pub(super) struct Colours {
    profile: Option<Vec<u8>>,
    /// Made once for each layout that comes.
    known: Vec<(Layout, Option<Transform>)>,
}

type Transform = Arc<dyn TransformExecutor<u8> + Send + Sync>;

impl Colours {
    pub(super) fn new(profile: Option<Vec<u8>>) -> Self {
        Self { profile: profile.filter(|profile| profile.len() <= MAX_PROFILE_BYTES), known: Vec::new() }
    }

    /// Brings pixels to sRGB.
    pub(super) fn convert(&mut self, pixels: &mut Pixels) {
        let layout = pixels.layout();
        let known = self.known.iter().find(|(known, _)| *known == layout);
        let transform = match (known, &self.profile) {
            (Some((_, transform)), _) => transform.clone(),
            (None, Some(profile)) => {
                let transform = transform(profile, layout);
                self.known.push((layout, transform.clone()));
                transform
            }
            (None, None) => None,
        };
        if let Some(transform) = transform {
            let mut converted = vec![0; pixels.bytes().len()];
            if transform.transform(pixels.bytes(), &mut converted).is_ok() {
                pixels.replace(converted);
            }
        }
    }

    /// What reading a profile and converting with it takes at most, thumbnails excluded.
    pub(super) fn bytes(profile: Option<&[u8]>) -> u64 {
        /// Tables of floats, several of which may be read from the same bytes.
        const TIMES: u64 = 32;
        /// Tables that are made whatever the profile has.
        const TABLES: u64 = 4 * 1024 * 1024;
        let len = profile.map_or(0, <[u8]>::len);
        if (1..=MAX_PROFILE_BYTES).contains(&len) { len as u64 * TIMES + TABLES } else { 0 }
    }
}

impl fmt::Debug for Colours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Colours")
            .field("profile", &self.profile.as_ref().map(Vec::len))
            .finish_non_exhaustive()
    }
}

/// None where there is nothing to do, or nothing can be done.
fn transform(profile: &[u8], layout: Layout) -> Option<Transform> {
    let options = ParsingOptions {
        max_profile_size: MAX_PROFILE_BYTES + 1,
        max_allowed_clut_size: MAX_PROFILE_BYTES,
        ..ParsingOptions::default()
    };
    let from = ColorProfile::new_from_slice_with_options(profile, options).ok()?;
    let srgb = ColorProfile::new_srgb();
    let (to, kind) = match layout {
        Layout::Grey => (grey(srgb), moxcms::Layout::Gray),
        Layout::GreyAlpha => (grey(srgb), moxcms::Layout::GrayAlpha),
        Layout::Rgb => (srgb, moxcms::Layout::Rgb),
        Layout::Rgba => (srgb, moxcms::Layout::Rgba),
    };
    if from.color_space != to.color_space {
        return None;
    }
    let transform = from.create_transform_8bit(kind, &to, kind, TransformOptions::default()).ok()?;
    let sample = sample(layout);
    let mut converted = vec![0; sample.len()];
    transform.transform(&sample, &mut converted).ok()?;
    let moved = sample.iter().zip(&converted).any(|(from, to)| from.abs_diff(*to) > UNSEEN);
    moved.then_some(transform)
}

/// Grey as sRGB shows it.
fn grey(srgb: ColorProfile) -> ColorProfile {
    let mut grey = ColorProfile::new_gray_with_gamma(2.2);
    grey.gray_trc = srgb.red_trc;
    grey
}

/// Colours from everywhere, opaque.
fn sample(layout: Layout) -> Vec<u8> {
    const STEPS: [u8; 6] = [0, 51, 102, 153, 204, 255];
    let greys = 0..=255_u8;
    let colours =
        || STEPS.into_iter().flat_map(|r| STEPS.into_iter().flat_map(move |g| STEPS.map(move |b| [r, g, b])));
    match layout {
        Layout::Grey => greys.collect(),
        Layout::GreyAlpha => greys.flat_map(|grey| [grey, u8::MAX]).collect(),
        Layout::Rgb => colours().flatten().collect(),
        Layout::Rgba => colours().flat_map(|[r, g, b]| [r, g, b, u8::MAX]).collect(),
    }
}
