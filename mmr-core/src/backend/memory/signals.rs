use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::MemoryStore;
use crate::store::{Signal, Signals, StoreError};

#[async_trait]
impl Signals for MemoryStore {
    async fn publish(&self, signal: &Signal) -> Result<(), StoreError> {
        self.board.publish(signal);
        Ok(())
    }

    fn subscribe(&self) -> BoxStream<'static, Signal> {
        self.board.subscribe()
    }
}
