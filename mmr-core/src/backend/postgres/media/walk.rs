//! Going through media from the oldest on, where no index knows what a filter spares.
//!
//! What is spared may be nearly everything: media of this homeserver, media that is read. So it goes in windows, each of
//! which is a statement that comes past a bounded number of rows, lest one takes longer than a statement may.

use std::borrow::Cow;

use super::{super::row::Columns, Conditions, Order, Page, PostgresStore, select};
use crate::{
    store::{MediaFilter, StoreError},
    types::{MediaRecord, Mxc, Timestamp},
};

/// How many rows a statement comes past at most.
const WINDOW: u32 = 2000;
/// How many it comes past at first for each that is wanted: often most of them match.
const FIRST: u32 = 4;

/// Whether nothing but the age of media leads to what the filter selects.
pub(super) fn is_walk(filter: &MediaFilter, page: &Page) -> bool {
    let MediaFilter { mxcs, origin, uploader, hash, expired_at, quarantined, .. } = filter;
    let leads = mxcs.is_some()
        || origin.is_some()
        || uploader.is_some()
        || hash.is_some()
        || expired_at.is_some()
        || *quarantined == Some(true);
    !leads && page.order == Order::Created && !page.descending && page.offset == 0 && page.limit < WINDOW
}

/// The oldest that match.
pub(super) async fn list(
    store: &PostgresStore,
    filter: &MediaFilter,
    limit: u32,
) -> Result<Vec<MediaRecord>, StoreError> {
    let mut found = Vec::new();
    let mut filter = Cow::Borrowed(filter);
    let mut window = limit.saturating_mul(FIRST).clamp(1, WINDOW);
    loop {
        let end = end_of_window(store, &filter, window).await?;
        let mut conditions = Conditions::of(&filter);
        if let Some(end) = &end {
            conditions.up_to(end);
        }
        let missing = limit - u32::try_from(found.len()).unwrap_or(limit);
        let page = Page { limit: missing, ..Page::default() };
        found.extend(select(store, conditions, &page).await?);
        match end {
            Some(end) if found.len() < limit as usize => {
                filter.to_mut().after = Some(end);
                window = WINDOW;
            }
            _ => return Ok(found),
        }
    }
}

/// The last media of the next window; `None` when all that is left is less than one.
async fn end_of_window(
    store: &PostgresStore,
    filter: &MediaFilter,
    window: u32,
) -> Result<Option<(Timestamp, Mxc)>, StoreError> {
    let MediaFilter { after, created_before, unused_since, .. } = filter;
    // What the index on age knows of the filter.
    let range = MediaFilter {
        after: after.clone(),
        created_before: [*created_before, *unused_since].into_iter().flatten().min(),
        ..MediaFilter::default()
    };
    let mut conditions = Conditions::of(&range);
    let place = conditions.param(window - 1);
    let sql = format!(
        "SELECT m.created, m.origin, m.media_id FROM mmr.media m WHERE {} \
         ORDER BY m.created, m.origin, m.media_id LIMIT 1 OFFSET {place}",
        conditions.sql(),
    );
    let rows = store.pool().read_composed(&sql, conditions.params()).await?;
    let read = |row| {
        let mut columns = Columns::of("media", row);
        Ok((columns.time()?, columns.mxc()?))
    };
    rows.first().map(read).transpose()
}
