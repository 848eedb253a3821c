use async_trait::async_trait;
use tokio_postgres::Row;

use super::{
    PostgresStore,
    error::corrupt,
    row::{Columns, Value, blob_columns, int, texts, values},
};
use crate::{
    store::{BlobIndex, DatastoreUsage, Inserted, NewBlob, Refusal, StoreError, StoredBlob},
    types::{BlobKey, BlobLocation, ContentHash, DatastoreId, Timestamp},
};

#[async_trait]
impl BlobIndex for PostgresStore {
    async fn garbage(&self, limit: u32, before: Timestamp) -> Result<Vec<BlobLocation>, StoreError> {
        let rows = self.pool().read(GARBAGE, &values![before, limit]).await?;
        rows.iter().map(|row| Columns::of("garbage", row).location()).collect()
    }

    async fn forget(&self, garbage: &[BlobLocation]) -> Result<(), StoreError> {
        let datastores = texts(garbage.iter().map(|location| location.datastore.as_str()));
        let keys = texts(garbage.iter().map(|location| location.key.as_str()));
        self.pool().write(FORGET, &[datastores, keys]).await.map(drop)
    }

    async fn unreferenced(
        &self,
        datastore: &DatastoreId,
        keys: &[BlobKey],
    ) -> Result<Vec<BlobKey>, StoreError> {
        let params = [datastore.as_str().into(), texts(keys.iter().map(BlobKey::as_str))];
        let rows = self.pool().read(UNREFERENCED, &params).await?;
        rows.iter().map(|row| Columns::of("blobs", row).parse(BlobKey::parse)).collect()
    }

    async fn relocate(
        &self,
        blob: &ContentHash,
        from: &BlobLocation,
        to: &BlobLocation,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let params = values![
            blob,
            from.datastore.as_str(),
            from.key.as_str(),
            to.datastore.as_str(),
            to.key.as_str(),
            now,
        ];
        let rows = self.pool().write(RELOCATE, &params).await?;
        Columns::of("blobs", only(&rows, "blobs")?).get()
    }

    async fn blobs_in(
        &self,
        datastore: &DatastoreId,
        after: Option<&BlobKey>,
        limit: u32,
    ) -> Result<Vec<StoredBlob>, StoreError> {
        // Every key is longer than nothing.
        let after = after.map_or("", BlobKey::as_str);
        let rows = self.pool().read(IN_DATASTORE, &values![datastore.as_str(), after, limit]).await?;
        let stored = |row| {
            let mut columns = Columns::of("blobs", row);
            Ok(StoredBlob {
                blob: columns.blob()?,
                last_used: columns.time()?,
                media: columns.u64()?,
                thumbnails: columns.u64()?,
            })
        };
        rows.iter().map(stored).collect()
    }

    async fn datastore_usage(&self, datastore: &DatastoreId) -> Result<DatastoreUsage, StoreError> {
        let rows = self.pool().read(USAGE, &values![datastore.as_str()]).await?;
        let mut columns = Columns::of("datastore_usage", only(&rows, "datastore_usage")?);
        Ok(DatastoreUsage { blobs: columns.u64()?, bytes: columns.u64()? })
    }

    async fn datastores(&self) -> Result<Vec<DatastoreId>, StoreError> {
        let rows = self.pool().read(DATASTORES, &[]).await?;
        rows.iter().map(|row| Columns::of("datastore_usage", row).parse(DatastoreId::parse)).collect()
    }
}

const GARBAGE: &str =
    "SELECT datastore, key FROM mmr.garbage WHERE since < $1 ORDER BY since, datastore, key LIMIT $2";

const FORGET: &str = "DELETE FROM mmr.garbage g USING unnest($1::text[], $2::text[]) AS gone (datastore, key)
    WHERE g.datastore = gone.datastore AND g.key = gone.key";

/// Subqueries that cannot become joins, which would read all of a table at once when many keys are asked about.
const UNREFERENCED: &str = "SELECT asked.key FROM unnest($2::text[]) WITH ORDINALITY AS asked (key, number)
    WHERE (SELECT true FROM mmr.blobs b WHERE b.datastore = $1 AND b.key = asked.key) IS NULL
    AND (SELECT true FROM mmr.garbage g WHERE g.datastore = $1 AND g.key = asked.key) IS NULL
    ORDER BY asked.number";

const RELOCATE: &str = "SELECT mmr.relocate($1, $2, $3, $4, $5, $6)";

const IN_DATASTORE: &str = concat!(
    "SELECT ",
    blob_columns!("b"),
    ", greatest(b.last_read,
        (SELECT max(m.created) FROM mmr.media m WHERE m.blob = b.id),
        (SELECT max(t.created) FROM mmr.thumbnails t WHERE t.blob = b.id)),
    (SELECT count(*) FROM mmr.media m WHERE m.blob = b.id),
    (SELECT count(*) FROM mmr.thumbnails t WHERE t.blob = b.id)
    FROM mmr.blobs b WHERE b.datastore = $1 AND b.key > $2 ORDER BY b.key LIMIT $3",
);

const USAGE: &str = "SELECT coalesce(sum(blobs), 0)::bigint, coalesce(sum(bytes), 0)::bigint
    FROM mmr.datastore_usage WHERE datastore = $1";

/// A few rows for each datastore, however many blobs there are.
const DATASTORES: &str =
    "SELECT datastore FROM mmr.datastore_usage GROUP BY datastore HAVING sum(blobs) > 0 ORDER BY datastore";

/// The row that a statement always answers.
pub(super) fn only<'a>(rows: &'a [Row], table: &'static str) -> Result<&'a Row, StoreError> {
    rows.first().ok_or_else(|| corrupt(table, &"no answer"))
}

/// Six parameters: hash, whether to store, checksum, size, datastore, key.
pub(super) fn admitted(blob: &NewBlob) -> [Value<'_>; 6] {
    match blob {
        NewBlob::Store(record) => values![
            &record.hash,
            true,
            record.checksum.as_ref(),
            int(record.size),
            record.location.datastore.as_str(),
            record.location.key.as_str(),
        ],
        NewBlob::Link(hash) => [
            hash.into(),
            false.into(),
            Value::Bytes(None),
            Value::Int(None),
            Value::Text(None),
            Value::Text(None),
        ],
    }
}

/// What the functions that add references answer: outcome, datastore, key.
pub(super) fn inserted(rows: &[Row], table: &'static str) -> Result<Inserted, StoreError> {
    let mut columns = Columns::of(table, only(rows, table)?);
    let outcome: &str = columns.get()?;
    Ok(match outcome {
        "stored" => Inserted::Stored,
        "linked" => Inserted::Linked(columns.location()?),
        "gone" => Inserted::BlobGone,
        "taken" => Inserted::Refused(Refusal::Taken),
        "not_reserved" => Inserted::Refused(Refusal::NotReserved),
        "quarantined" => Inserted::Refused(Refusal::Quarantined),
        "quota" => Inserted::Refused(Refusal::QuotaExceeded),
        other => return Err(corrupt(table, &format_args!("{other} is no outcome"))),
    })
}
