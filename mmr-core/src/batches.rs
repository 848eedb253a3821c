//! Going through media in steps that are short, whatever the size of the whole.

use crate::{
    Result,
    store::{MediaFilter, MediaIndex, Page},
    types::Mxc,
};

/// Media handled in one transaction.
pub(crate) const BATCH: u32 = 500;

/// The names of the next [`BATCH`] that match, the oldest first; fewer are the last ones. The filter goes on behind them,
/// so that nobody comes past the same media twice, be it changed or spared.
pub(crate) async fn next_names(media: &dyn MediaIndex, filter: &mut MediaFilter) -> Result<Vec<Mxc>> {
    let records = media.list(filter, &Page { limit: BATCH, ..Page::default() }).await?;
    if let Some(last) = records.last() {
        filter.after = Some((last.created, last.mxc.clone()));
    }
    Ok(records.into_iter().map(|record| record.mxc).collect())
}
