//! Thumbnails that move: each frame goes the way of a still picture until it is encoded.

use super::Header;
use super::colour::Colours;
use super::ladder::Area;
use super::shrink::{Shrinker, Source};
use super::steps::{self, Pixels};
use crate::thumbnail::formats::animated::{self, NewOutput};
use crate::thumbnail::geometry::{Placement, Rect};
use crate::thumbnail::render::{Cancelled, RenderError, Rendered};

/// A thumbnail for each placement, which count in upright pixels; `None` for one that had better be still.
pub(super) fn animate(
    header: &Header,
    placements: &[Placement],
    new: NewOutput,
    colours: &mut Colours,
    cancelled: &Cancelled,
) -> Result<Vec<Option<Rendered>>, RenderError> {
    let Some(animation) = &header.animation else { return Ok(vec![None; placements.len()]) };
    let mut shrinker = Shrinker::default();
    let mut resize = |rgba, placement: &Placement| {
        let mut frame = Pixels::rgba(rgba, header.size);
        let Placement { region, size } = header.as_stored(placement);
        let area = Area::of(region, Rect { left: 0, top: 0, size: header.size }, header.size);
        let mut shown = if area.is(header.size) && size == header.size {
            frame
        } else {
            let weighted = frame.weight_by_alpha()?;
            let mut shown = frame.shrink(&mut shrinker, area, size)?;
            if weighted {
                shown.unweight()?;
            }
            shown
        };
        colours.convert(&mut shown);
        steps::turn(shown, header.orientation).map(Pixels::into_data)
    };
    animated::render(animation, placements, new, &mut resize, cancelled)
}
