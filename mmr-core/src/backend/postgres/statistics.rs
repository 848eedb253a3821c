//! Seeing to it that the planner knows of a table that has grown from nothing.

use std::sync::atomic::{AtomicU32, Ordering};

use super::pool::{Pool, in_background};

/// How many rows are added between two looks: about as many as make a table too large to be read as a whole.
const EVERY: u32 = 1024;

const ANALYZE: &str = "SELECT mmr.analyze_grown()";

/// The rows that this node has added.
#[derive(Debug, Default)]
pub(super) struct Statistics(AtomicU32);

impl Statistics {
    /// Counts one, and at times has the tables analyzed that seem empty to the planner and are not. Nobody waits for that.
    pub(super) fn added(&self, pool: &Pool) {
        if !(self.0.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(EVERY) {
            return;
        }
        let pool = pool.clone();
        in_background(async move {
            if let Err(error) = pool.write(ANALYZE, &[]).await {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "the database was not analyzed: its autovacuum will do so");
            }
        });
    }
}
