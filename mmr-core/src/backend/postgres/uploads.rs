use async_trait::async_trait;
use ruma::UserId;

use super::{
    PostgresStore,
    blobs::only,
    error::corrupt,
    row::{Columns, values},
};
use crate::{
    store::{Reserved, StoreError, UploadIndex},
    types::{Reservation, Timestamp},
};

#[async_trait]
impl UploadIndex for PostgresStore {
    async fn reserve(
        &self,
        reservation: &Reservation,
        max_pending: Option<u32>,
    ) -> Result<Reserved, StoreError> {
        let Reservation { mxc, owner, created, expires } = reservation;
        let params = values![
            mxc.origin().as_str(),
            mxc.media_id().as_str(),
            owner.as_str(),
            *created,
            *expires,
            max_pending.map(i64::from),
        ];
        let rows = self.pool().write(RESERVE, &params).await?;
        let outcome: &str = Columns::of("reservations", only(&rows, "reservations")?).get()?;
        Ok(match outcome {
            "reserved" => Reserved::Reserved,
            "too_many" => Reserved::TooManyPending,
            "taken" => Reserved::Taken,
            other => return Err(corrupt("reservations", &format_args!("{other} is no outcome"))),
        })
    }

    async fn pending(&self, owner: &UserId, now: Timestamp) -> Result<u32, StoreError> {
        let rows = self.pool().read(PENDING, &values![owner.as_str(), now]).await?;
        Columns::of("reservations", only(&rows, "reservations")?).u32()
    }

    async fn expire(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let rows = self.pool().write(EXPIRE, &values![now, limit]).await?;
        Columns::of("reservations", only(&rows, "reservations")?).u32()
    }
}

const RESERVE: &str = "SELECT mmr.reserve($1, $2, $3, $4, $5, $6)";

const PENDING: &str = "SELECT count(*) FROM mmr.reservations WHERE owner = $1 AND expires >= $2";

const EXPIRE: &str = "WITH gone AS (
        DELETE FROM mmr.reservations WHERE (origin, media_id) IN (
            SELECT origin, media_id FROM mmr.reservations WHERE expires < $1
            ORDER BY expires, origin, media_id LIMIT $2
        ) AND expires < $1 RETURNING 1
    ) SELECT count(*) FROM gone";
