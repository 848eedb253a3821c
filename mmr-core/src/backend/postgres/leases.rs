use std::time::Duration;

use async_trait::async_trait;

use super::{PostgresStore, row::values};
use crate::{
    store::{LeaseIndex, StoreError},
    types::Timestamp,
};

const TAKE: &str = "INSERT INTO mmr.leases AS l (name, holder, held_until) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
    WHERE l.holder = excluded.holder OR l.held_until <= $4 RETURNING 1";
const RELEASE: &str = "DELETE FROM mmr.leases WHERE name = $1 AND holder = $2";

#[async_trait]
impl LeaseIndex for PostgresStore {
    async fn try_lease(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let rows = self.pool().write(TAKE, &values![name, holder, now.plus(ttl), now]).await?;
        Ok(!rows.is_empty())
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        self.pool().write(RELEASE, &values![name, holder]).await.map(drop)
    }
}
