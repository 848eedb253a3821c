use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::SqliteStore;
use crate::store::{Signal, Signals, StoreError};

/// Inside this process only: SQLite notifies nobody.
#[async_trait]
impl Signals for SqliteStore {
    async fn publish(&self, signal: &Signal) -> Result<(), StoreError> {
        self.0.board.publish(signal);
        Ok(())
    }

    fn subscribe(&self) -> BoxStream<'static, Signal> {
        self.0.board.subscribe()
    }
}
