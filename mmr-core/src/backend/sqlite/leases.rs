use std::time::Duration;

use async_trait::async_trait;
use rusqlite::params;

use super::{
    SqliteStore,
    row::{millis, run},
};
use crate::{
    store::{LeaseIndex, StoreError},
    types::Timestamp,
};

pub(super) const TAKE: &str = "INSERT INTO leases (name, holder, held_until) VALUES (?1, ?2, ?3)
    ON CONFLICT DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
    WHERE holder = excluded.holder OR held_until <= ?4";
pub(super) const RELEASE: &str = "DELETE FROM leases WHERE name = ?1 AND holder = ?2";

#[async_trait]
impl LeaseIndex for SqliteStore {
    async fn try_lease(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        let until = millis(now.plus(ttl));
        self.write(move |conn| Ok(run(conn, TAKE, params![name, holder, until, millis(now)])? > 0)).await
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.write(move |conn| run(conn, RELEASE, params![name, holder]).map(drop)).await
    }
}
