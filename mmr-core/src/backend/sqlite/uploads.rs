use async_trait::async_trait;
use ruma::UserId;
use rusqlite::{Connection, params};

use super::{
    SqliteStore,
    media::has_media,
    row::{Columns, first, millis, run},
};
use crate::{
    store::{Reserved, StoreError, UploadIndex},
    types::{Mxc, Reservation, Timestamp},
};

#[async_trait]
impl UploadIndex for SqliteStore {
    async fn reserve(
        &self,
        reservation: &Reservation,
        max_pending: Option<u32>,
    ) -> Result<Reserved, StoreError> {
        let reservation = reservation.clone();
        self.write(move |conn| reserve(conn, &reservation, max_pending)).await
    }

    async fn pending(&self, owner: &UserId, now: Timestamp) -> Result<u32, StoreError> {
        let owner = owner.to_owned();
        self.read(move |conn| pending(conn, &owner, now)).await
    }

    async fn expire(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.write(move |conn| expire(conn, now, limit)).await
    }
}

pub(super) const RESERVATION: &str =
    "SELECT origin, media_id, owner, created, expires FROM reservations WHERE origin = ?1 AND media_id = ?2";

pub(super) fn reservation(conn: &Connection, mxc: &Mxc) -> Result<Option<Reservation>, StoreError> {
    first(conn, RESERVATION, [mxc.origin().as_str(), mxc.media_id().as_str()], |row| {
        let mut columns = Columns::of("reservations", row);
        Ok(Reservation {
            mxc: columns.mxc()?,
            owner: columns.user()?,
            created: columns.time()?,
            expires: columns.time()?,
        })
    })
}

pub(super) const USE_UP: &str = "DELETE FROM reservations WHERE origin = ?1 AND media_id = ?2";

pub(super) fn use_up(conn: &Connection, mxc: &Mxc) -> Result<(), StoreError> {
    run(conn, USE_UP, [mxc.origin().as_str(), mxc.media_id().as_str()]).map(drop)
}

const RESERVE: &str =
    "INSERT INTO reservations (origin, media_id, owner, created, expires) VALUES (?1, ?2, ?3, ?4, ?5)";

fn reserve(
    conn: &Connection,
    reservation: &Reservation,
    max_pending: Option<u32>,
) -> Result<Reserved, StoreError> {
    let Reservation { mxc, owner, created, expires } = reservation;
    if has_media(conn, mxc)? || self::reservation(conn, mxc)?.is_some() {
        return Ok(Reserved::Taken);
    }
    if let Some(max) = max_pending
        && pending(conn, owner, *created)? >= max
    {
        return Ok(Reserved::TooManyPending);
    }
    let (origin, media_id) = (mxc.origin().as_str(), mxc.media_id().as_str());
    run(conn, RESERVE, params![origin, media_id, owner.as_str(), millis(*created), millis(*expires)])?;
    Ok(Reserved::Reserved)
}

pub(super) const PENDING: &str = "SELECT count(*) FROM reservations WHERE owner = ?1 AND expires >= ?2";

fn pending(conn: &Connection, owner: &UserId, now: Timestamp) -> Result<u32, StoreError> {
    let count = first(conn, PENDING, params![owner.as_str(), millis(now)], |row| {
        Columns::of("reservations", row).get()
    })?;
    Ok(count.unwrap_or_default())
}

pub(super) const EXPIRE: &str = "DELETE FROM reservations WHERE (origin, media_id) IN
    (SELECT origin, media_id FROM reservations WHERE expires < ?1 ORDER BY expires, origin, media_id LIMIT ?2)";

fn expire(conn: &Connection, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
    let expired = run(conn, EXPIRE, params![millis(now), limit])?;
    Ok(u32::try_from(expired).unwrap_or(u32::MAX))
}
