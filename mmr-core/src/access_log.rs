//! When media was last read, noted in memory and written in batches.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    store::{MediaIndex, StoreError},
    types::{ContentHash, Timestamp},
};

/// Entries kept between two flushes; what comes on top is not noted, since a lost note costs little.
const MAX_ENTRIES: usize = 100_000;

/// Collects readings. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    media: Arc<dyn MediaIndex>,
    seen: Mutex<HashMap<ContentHash, Timestamp>>,
}

impl AccessLog {
    pub(crate) fn new(media: Arc<dyn MediaIndex>) -> Self {
        Self(Arc::new(Inner { media, seen: Mutex::default() }))
    }

    pub(crate) fn note(&self, hash: ContentHash, now: Timestamp) {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < MAX_ENTRIES || seen.contains_key(&hash) {
            seen.insert(hash, now);
        }
    }

    /// Writes what was noted. What could not be written is noted again.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        let noted = std::mem::take(&mut *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let noted: Vec<_> = noted.into_iter().collect();
        for (index, batch) in noted.chunks(1000).enumerate() {
            if let Err(error) = self.0.media.touch(batch).await {
                noted[index * 1000..].iter().for_each(|&(hash, at)| self.note(hash, at));
                return Err(error);
            }
        }
        Ok(())
    }
}
