use async_trait::async_trait;
use ruma::{ServerName, UserId};
use tokio_postgres::Row;

use super::{
    PostgresStore,
    blobs::only,
    row::{Columns, values},
};
use crate::store::{MediaUsage, StoreError, UsageIndex, UserUsage};

#[async_trait]
impl UsageIndex for PostgresStore {
    async fn usage_of_user(&self, user: &UserId) -> Result<MediaUsage, StoreError> {
        let params = values![user.server_name().as_str(), user.as_str()];
        sum(&self.pool().read(OF_USER, &params).await?)
    }

    async fn usage_of_server(&self, origin: &ServerName) -> Result<MediaUsage, StoreError> {
        sum(&self.pool().read(OF_ORIGIN, &values![origin.as_str()]).await?)
    }

    async fn usage_by_user(
        &self,
        origin: &ServerName,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Vec<UserUsage>, StoreError> {
        let after = after.map_or("", |user| user.as_str());
        let rows = self.pool().read(BY_USER, &values![origin.as_str(), after, limit]).await?;
        let read = |row: &Row| {
            let mut columns = Columns::of("user_usage", row);
            let usage = MediaUsage { files: columns.u64()?, bytes: columns.u64()? };
            Ok(UserUsage { usage, user: columns.user()? })
        };
        rows.iter().map(read).collect()
    }
}

const OF_USER: &str = "SELECT coalesce(sum(files), 0)::bigint, coalesce(sum(bytes), 0)::bigint
    FROM mmr.user_usage WHERE server = $1 AND user_id = $2";

const OF_ORIGIN: &str = "SELECT coalesce(sum(files), 0)::bigint, coalesce(sum(bytes), 0)::bigint
    FROM mmr.origin_usage WHERE origin = $1";

const BY_USER: &str = "SELECT sum(files)::bigint, sum(bytes)::bigint, user_id FROM mmr.user_usage
    WHERE server = $1 AND user_id > $2 GROUP BY user_id HAVING sum(files) <> 0 ORDER BY user_id LIMIT $3";

fn sum(rows: &[Row]) -> Result<MediaUsage, StoreError> {
    let mut columns = Columns::of("user_usage", only(rows, "user_usage")?);
    Ok(MediaUsage { files: columns.u64()?, bytes: columns.u64()? })
}
