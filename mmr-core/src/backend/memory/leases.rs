use std::time::Duration;

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    store::{LeaseIndex, StoreError},
    types::Timestamp,
};

pub(super) struct Lease {
    holder: String,
    until: Timestamp,
}

#[async_trait]
impl LeaseIndex for MemoryStore {
    async fn try_lease(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let is_held = |lease: &Lease| lease.holder != holder && now < lease.until;
        if state.leases.get(name).is_some_and(is_held) {
            return Ok(false);
        }
        let lease = Lease { holder: holder.to_owned(), until: now.plus(ttl) };
        state.leases.insert(name.to_owned(), lease);
        Ok(true)
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.leases.get(name).is_some_and(|lease| lease.holder == holder) {
            state.leases.remove(name);
        }
        Ok(())
    }
}
