//! Every kind of file, rendered, next to what it shows as another program would resize it.
//!
//! Pictures are compared in CIE L\*a\*b\*, by the distance of 1976: 2.3 is what an eye can just see.

mod look;

use std::sync::Arc;

use image::RgbaImage;

use self::look::{Difference, difference, expected, opened};
use super::super::sets;
use crate::testing::images::golden::{self, Fidelity, Golden, Shows};
use crate::thumbnail::render::{RenderError, Rendered};
use crate::thumbnail::{RenderLimits, RenderPool, ThumbnailPolicy};
use crate::types::{Method, ThumbnailSpec, Variant};

const SPECS: [ThumbnailSpec; 2] = [of(32, 32, Method::Crop), of(40, 30, Method::Scale)];

const fn of(width: u32, height: u32, method: Method) -> ThumbnailSpec {
    ThumbnailSpec { width, height, method, variant: Variant::Still }
}

/// Every type, and the first frames of animations.
fn policy() -> Arc<ThumbnailPolicy> {
    let types = ThumbnailPolicy::known_types().map(str::to_owned).collect();
    Arc::new(ThumbnailPolicy { types, still_frame: 0.0, ..ThumbnailPolicy::default() })
}

/// The thumbnails of a file, by each set of renderers in turn.
async fn shown(golden: &Golden) -> Vec<Result<Vec<Rendered>, RenderError>> {
    let mut all = Vec::new();
    for renderers in sets() {
        let pool = RenderPool::with_renderers(RenderLimits::default(), renderers);
        all.push(pool.render_all(golden.file.bytes.clone(), SPECS.to_vec(), policy()).await);
    }
    all
}

fn picture(golden: &Golden, rendered: &Rendered) -> RgbaImage {
    match rendered {
        Rendered::Image { bytes, .. } => opened(bytes),
        Rendered::Original { .. } => opened(&golden.file.bytes),
    }
}

/// The most that all pixels on average, and all but a hundredth of those away from edges, may differ. A thumbnail that is a
/// JPEG has soft edges of its own, and the edges are a seventh of these pictures.
fn tolerance(fidelity: Fidelity, thumbnail: &Rendered) -> Difference {
    let jpeg = matches!(thumbnail, Rendered::Image { content_type, .. } if *content_type == "image/jpeg");
    match fidelity {
        Fidelity::Rough => Difference { mean: 8.0, most: 50.0 },
        _ if jpeg => Difference { mean: 8.0, most: 13.0 },
        Fidelity::Exact => Difference { mean: 2.5, most: 4.5 },
        Fidelity::Lossy | Fidelity::Subsampled => Difference { mean: 3.5, most: 4.5 },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_file_is_shown_as_it_is() {
    let mut wrong = Vec::new();
    for golden in golden::all() {
        for (set, result) in shown(&golden).await.into_iter().enumerate() {
            let name = &golden.file.name;
            let rendered = match result {
                Ok(rendered) => rendered,
                Err(RenderError::Unsupported(_)) if golden.native && set == 0 => continue,
                Err(error) => {
                    wrong.push(format!("{name}, renderers {set}: {error:?}"));
                    continue;
                }
            };
            for (rendered, spec) in rendered.iter().zip(SPECS) {
                let got = picture(&golden, rendered);
                let complaint = match golden.shows {
                    Shows::Quarters(quarters) => {
                        let wanted = expected(quarters, golden.size, spec, got.dimensions());
                        let (found, limit) =
                            (difference(&got, &wanted), tolerance(golden.fidelity, rendered));
                        (found.mean > limit.mean || found.most > limit.most).then(|| format!("{found:?}"))
                    }
                    // The middle of a sound says little.
                    _ if spec.method == Method::Crop => None,
                    sound => look::complaint_about_sound(&got, sound),
                };
                wrong.extend(complaint.map(|what| format!("{name}, renderers {set}, {spec}: {what}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Not a test: one picture of all thumbnails, to be looked at. `CONTACT_SHEET` says where it is written.
#[tokio::test]
#[ignore = "writes a picture for people"]
async fn contact_sheet() {
    const CELL: u32 = 44;
    const COLUMNS: u32 = 20;
    let mut cells = Vec::new();
    for golden in golden::all() {
        for (set, result) in shown(&golden).await.into_iter().enumerate() {
            for (rendered, spec) in result.iter().flatten().zip(SPECS) {
                println!("{:4} {}, renderers {set}, {spec}", cells.len(), golden.file.name);
                cells.push(picture(&golden, rendered));
            }
        }
    }
    let rows = u32::try_from(cells.len()).unwrap().div_ceil(COLUMNS);
    // Squares of two greys, so that transparency shows.
    let mut sheet = RgbaImage::from_fn(COLUMNS * CELL, rows * CELL, |x, y| {
        let grey = if x % CELL == 0 || y % CELL == 0 { 0 } else { [150, 190][(x / 4 + y / 4) as usize % 2] };
        image::Rgba([grey, grey, grey, u8::MAX])
    });
    for (number, cell) in (0_u32..).zip(&cells) {
        let at = (number % COLUMNS * CELL + 3, number / COLUMNS * CELL + 3);
        image::imageops::overlay(&mut sheet, cell, at.0.into(), at.1.into());
    }
    let path = std::env::var_os("CONTACT_SHEET").expect("CONTACT_SHEET is the name of a PNG to write");
    sheet.save(path).unwrap();
}
