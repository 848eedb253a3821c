//! Every hostile file, through a pool: there is an answer, it comes in time, and no code of ours panics.

use std::collections::BTreeMap;
use std::panic;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use tokio::runtime::Runtime;

use super::super::sets;
use crate::testing::images::golden;
use crate::testing::images::hostile::{self, Specimen};
use crate::thumbnail::render::{RenderError, Rendered};
use crate::thumbnail::{RenderLimits, RenderPool, ThumbnailPolicy};
use crate::types::{Method, ThumbnailSpec, Variant};

const SPEC: ThumbnailSpec =
    ThumbnailSpec { width: 40, height: 30, method: Method::Scale, variant: Variant::Animated };

/// Decoders that panic on damaged files, which [`RenderPool`] and the workers contain, and why that has to be lived with.
const KNOWN_TO_PANIC: [(&str, &str); 0] = [];

/// The name of the threads on which files are rendered here.
const THREAD: &str = "storm";

/// Where those threads panicked, and how often.
static PANICS: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());

/// Panics of other threads are reported as before.
fn record_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() != Some(THREAD) {
                return report(panic);
            }
            let place = panic.location().map_or_else(String::new, ToString::to_string);
            *PANICS.lock().unwrap().entry(place).or_default() += 1;
        }));
    });
}

/// Renders all of the files with each set of renderers, and complains about answers that are not `right`.
#[track_caller]
fn storm(specimens: &[Specimen], right: impl Fn(&Result<Rendered, RenderError>) -> bool) {
    record_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(THREAD)
        .enable_all()
        .build();
    let mut wrong = render_all(&runtime.unwrap(), specimens, right);
    for (place, times) in &*PANICS.lock().unwrap() {
        let known = KNOWN_TO_PANIC.iter().any(|(name, _)| place.contains(name));
        wrong.extend((!known).then(|| format!("{times} panics at {place}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The complaints about answers.
fn render_all(
    runtime: &Runtime,
    specimens: &[Specimen],
    right: impl Fn(&Result<Rendered, RenderError>) -> bool,
) -> Vec<String> {
    const AT_ONCE: usize = 4;
    let types = ThumbnailPolicy::known_types().map(str::to_owned).collect();
    let policy = Arc::new(ThumbnailPolicy { types, ..ThumbnailPolicy::default() });
    let limits = RenderLimits {
        workers: 2,
        queue: 64,
        memory_budget_bytes: 512 * 1024 * 1024,
        deadline: Duration::from_mins(2),
    };
    let mut wrong = Vec::new();
    for (set, renderers) in sets().into_iter().enumerate() {
        let pool = RenderPool::with_renderers(limits, renderers);
        for some in specimens.chunks(AT_ONCE) {
            let renderings: Vec<_> = some
                .iter()
                .map(|specimen| {
                    let (pool, source, policy) = (pool.clone(), specimen.bytes.clone(), Arc::clone(&policy));
                    runtime.spawn(async move { pool.render(source, SPEC, policy).await })
                })
                .collect();
            for (specimen, rendering) in some.iter().zip(renderings) {
                let result = runtime.block_on(rendering).unwrap();
                if !right(&result) {
                    wrong.push(format!("{}, renderers {set}: {result:?}", specimen.name));
                }
            }
        }
    }
    wrong
}

/// Whether this is an answer to a file that may be broken.
fn clear(result: &Result<Rendered, RenderError>) -> bool {
    let Ok(rendered) = result else { return refused(result) };
    let (Rendered::Image { width, height, .. } | Rendered::Original { width, height, .. }) = *rendered;
    width <= SPEC.width && height <= SPEC.height && width > 0 && height > 0
}

fn refused(result: &Result<Rendered, RenderError>) -> bool {
    matches!(
        result,
        Err(RenderError::Unsupported(_)
            | RenderError::TooManyPixels { .. }
            | RenderError::Decode(_)
            // Whether that may be is up to where it panicked.
            | RenderError::Crashed)
    )
}

#[test]
fn bombs_have_no_thumbnail() {
    storm(&hostile::bombs(), refused);
}

#[test]
fn files_that_are_several_things_have_no_thumbnail() {
    storm(&hostile::polyglots(), refused);
}

#[test]
fn files_without_end_have_an_answer() {
    storm(&hostile::endless(), clear);
}

#[test]
fn hostile_files_are_small() {
    const MOST: usize = 2_000_000;
    let all = [hostile::bombs(), hostile::polyglots(), hostile::endless(), golden::specimens()].concat();
    let large: Vec<_> = all.iter().filter(|file| file.bytes.len() > MOST).map(|file| &file.name).collect();
    assert!(large.is_empty(), "{large:?}");
}

#[test]
fn cut_files_have_an_answer() {
    let cut: Vec<Specimen> = golden::specimens().iter().flat_map(hostile::truncated).collect();
    storm(&cut, clear);
}

#[test]
fn files_with_turned_bits_have_an_answer() {
    const EACH: u32 = 24;
    let flip = |(seed, whole)| hostile::flipped(whole, EACH, seed);
    let flipped: Vec<Specimen> = (1..).zip(&golden::specimens()).flat_map(flip).collect();
    storm(&flipped, clear);
}
