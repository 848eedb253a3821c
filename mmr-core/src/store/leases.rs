//! Leases: at most one holder at a time, gone by themselves when the holder is.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use super::StoreError;
use crate::types::Timestamp;

/// Named leases.
#[async_trait]
pub trait LeaseIndex: fmt::Debug + Send + Sync + 'static {
    /// Takes or renews a lease until `now + ttl`, when others may take it. False when another holder has it at `now`.
    async fn try_lease(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Gives a lease back. Nothing happens when another holder has it.
    async fn release(&self, name: &str, holder: &str) -> Result<(), StoreError>;
}
