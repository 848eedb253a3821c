use async_trait::async_trait;
use ruma::{ServerName, UserId};
use rusqlite::{Connection, Params, params};

use super::{
    SqliteStore,
    row::{Columns, all, first},
};
use crate::store::{MediaUsage, StoreError, UsageIndex, UserUsage};

#[async_trait]
impl UsageIndex for SqliteStore {
    async fn usage_of_user(&self, user: &UserId) -> Result<MediaUsage, StoreError> {
        let user = user.to_owned();
        self.read(move |conn| usage_of_user(conn, &user)).await
    }

    async fn usage_of_server(&self, origin: &ServerName) -> Result<MediaUsage, StoreError> {
        let origin = origin.to_owned();
        self.read(move |conn| sum(conn, OF_ORIGIN, [origin.as_str()])).await
    }

    async fn usage_by_user(
        &self,
        origin: &ServerName,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Vec<UserUsage>, StoreError> {
        let (origin, after) = (origin.to_owned(), after.map(ToOwned::to_owned));
        self.read(move |conn| usage_by_user(conn, &origin, after.as_deref(), limit)).await
    }
}

pub(super) const OF_USER: &str = "SELECT files, bytes FROM user_usage WHERE server = ?1 AND user = ?2";
pub(super) const OF_ORIGIN: &str = "SELECT files, bytes FROM origin_usage WHERE origin = ?1";

pub(super) fn usage_of_user(conn: &Connection, user: &UserId) -> Result<MediaUsage, StoreError> {
    sum(conn, OF_USER, [user.server_name().as_str(), user.as_str()])
}

fn sum(conn: &Connection, sql: &str, params: impl Params) -> Result<MediaUsage, StoreError> {
    let sum = first(conn, sql, params, |row| read(&mut Columns::of("usage", row)))?;
    Ok(sum.unwrap_or_default())
}

fn read(columns: &mut Columns<'_>) -> Result<MediaUsage, StoreError> {
    Ok(MediaUsage { files: columns.u64()?, bytes: columns.u64()? })
}

pub(super) const BY_USER: &str =
    "SELECT files, bytes, user FROM user_usage WHERE server = ?1 AND user > ?2 ORDER BY user LIMIT ?3";

fn usage_by_user(
    conn: &Connection,
    origin: &ServerName,
    after: Option<&UserId>,
    limit: u32,
) -> Result<Vec<UserUsage>, StoreError> {
    let after = after.map_or("", |user| user.as_str());
    all(conn, BY_USER, params![origin.as_str(), after, limit], |row| {
        let mut columns = Columns::of("user_usage", row);
        let usage = read(&mut columns)?;
        Ok(UserUsage { usage, user: columns.user()? })
    })
}
