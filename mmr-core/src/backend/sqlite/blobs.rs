use std::collections::BTreeSet;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{
    SqliteStore,
    row::{Columns, all, blob_columns, exists, first, int, millis, run},
};
use crate::{
    store::{BlobIndex, DatastoreUsage, Inserted, NewBlob, StoreError, StoredBlob},
    types::{BlobKey, BlobLocation, BlobRecord, Checksum, ContentHash, DatastoreId, Timestamp},
};

#[async_trait]
impl BlobIndex for SqliteStore {
    async fn garbage(&self, limit: u32, before: Timestamp) -> Result<Vec<BlobLocation>, StoreError> {
        self.read(move |conn| garbage(conn, limit, before)).await
    }

    async fn forget(&self, garbage: &[BlobLocation]) -> Result<(), StoreError> {
        let garbage = garbage.to_vec();
        self.write(move |conn| garbage.iter().try_for_each(|location| forget(conn, location))).await
    }

    async fn unreferenced(
        &self,
        datastore: &DatastoreId,
        keys: &[BlobKey],
    ) -> Result<Vec<BlobKey>, StoreError> {
        let (datastore, keys) = (datastore.clone(), keys.to_vec());
        self.read(move |conn| unreferenced(conn, &datastore, keys)).await
    }

    async fn relocate(
        &self,
        blob: &ContentHash,
        from: &BlobLocation,
        to: &BlobLocation,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (blob, from, to) = (*blob, from.clone(), to.clone());
        self.write(move |conn| relocate(conn, &blob, &from, &to, now)).await
    }

    async fn blobs_in(
        &self,
        datastore: &DatastoreId,
        after: Option<&BlobKey>,
        limit: u32,
    ) -> Result<Vec<StoredBlob>, StoreError> {
        let (datastore, after) = (datastore.clone(), after.cloned());
        self.read(move |conn| blobs_in(conn, &datastore, after.as_ref(), limit)).await
    }

    async fn datastore_usage(&self, datastore: &DatastoreId) -> Result<DatastoreUsage, StoreError> {
        let datastore = datastore.clone();
        self.read(move |conn| datastore_usage(conn, &datastore)).await
    }

    async fn datastores(&self) -> Result<Vec<DatastoreId>, StoreError> {
        self.read(datastores).await
    }
}

/// A row of `blobs`.
pub(super) struct KnownBlob {
    pub(super) id: i64,
    pub(super) record: BlobRecord,
}

pub(super) const FIND: &str = concat!("SELECT ", blob_columns!(), ", b.id FROM blobs b WHERE b.hash = ?1");

pub(super) fn find(conn: &Connection, hash: &ContentHash) -> Result<Option<KnownBlob>, StoreError> {
    first(conn, FIND, [hash.as_bytes()], |row| {
        let mut columns = Columns::of("blobs", row);
        let record = columns.blob()?;
        Ok(KnownBlob { record, id: columns.get()? })
    })
}

/// What became of the blob of a new reference: `id` is `None` when there is no blob to refer to.
pub(super) struct Admitted {
    pub(super) id: Option<i64>,
    pub(super) outcome: Inserted,
}

/// Makes sure that the blob is there, for a reference that the caller adds next.
pub(super) fn admit(conn: &Connection, blob: &NewBlob) -> Result<Admitted, StoreError> {
    admit_known(conn, find(conn, blob.hash())?, blob)
}

/// [`admit`] for a caller that has looked already.
pub(super) fn admit_known(
    conn: &Connection,
    known: Option<KnownBlob>,
    blob: &NewBlob,
) -> Result<Admitted, StoreError> {
    match (known, blob) {
        (Some(known), _) => {
            Ok(Admitted { id: Some(known.id), outcome: Inserted::Linked(known.record.location) })
        }
        (None, NewBlob::Store(record)) => {
            Ok(Admitted { id: Some(store(conn, record)?), outcome: Inserted::Stored })
        }
        (None, NewBlob::Link(_)) => Ok(Admitted { id: None, outcome: Inserted::BlobGone }),
    }
}

const STORE: &str = "INSERT INTO blobs (hash, checksum, size, datastore, key) VALUES (?1, ?2, ?3, ?4, ?5)";

fn store(conn: &Connection, record: &BlobRecord) -> Result<i64, StoreError> {
    let BlobRecord { hash, checksum, size, location } = record;
    check_vacant(conn, location)?;
    forget(conn, location)?;
    let checksum = checksum.as_ref().map(Checksum::as_bytes);
    let (datastore, key) = (location.datastore.as_str(), location.key.as_str());
    run(conn, STORE, params![hash.as_bytes(), checksum, int(*size), datastore, key])?;
    Ok(conn.last_insert_rowid())
}

pub(super) const LIVES_AT: &str = "SELECT 1 FROM blobs WHERE datastore = ?1 AND key = ?2";

/// Two blobs never lie in one place.
fn check_vacant(conn: &Connection, location: &BlobLocation) -> Result<(), StoreError> {
    let taken = exists(conn, LIVES_AT, [location.datastore.as_str(), location.key.as_str()])?;
    if taken { Err(StoreError::Conflict { what: "blob location" }) } else { Ok(()) }
}

pub(super) const HAS_MEDIA: &str = "SELECT 1 FROM media WHERE blob = ?1";
pub(super) const DROP_THUMBNAILS: &str = "DELETE FROM thumbnails WHERE source = ?1 RETURNING blob";
pub(super) const IN_USE: &str = "SELECT 1 WHERE
    EXISTS (SELECT 1 FROM media WHERE blob = ?1)
    OR EXISTS (SELECT 1 FROM thumbnails WHERE blob = ?1)
    OR EXISTS (SELECT 1 FROM export_parts WHERE blob = ?1)";
pub(super) const DROP_BLOB: &str = "DELETE FROM blobs WHERE id = ?1 RETURNING datastore, key, size";

/// Looks after blobs that have just lost a reference: drops thumbnails of those that no media has any more, then
/// blobs that nothing refers to. Answers number and total size of the dropped blobs.
pub(super) fn sweep(
    conn: &Connection,
    mut suspects: BTreeSet<i64>,
    now: Timestamp,
) -> Result<(u64, u64), StoreError> {
    let mut orphans = Vec::new();
    for source in &suspects {
        if !exists(conn, HAS_MEDIA, [source])? {
            orphans.extend(all(conn, DROP_THUMBNAILS, [source], |row| {
                Columns::of("thumbnails", row).get::<i64>()
            })?);
        }
    }
    suspects.extend(orphans);
    let (mut blobs, mut bytes) = (0, 0);
    for blob in suspects {
        if exists(conn, IN_USE, [blob])? {
            continue;
        }
        let dropped = all(conn, DROP_BLOB, [blob], |row| {
            let mut columns = Columns::of("blobs", row);
            Ok((columns.location()?, columns.u64()?))
        })?;
        for (location, size) in dropped {
            discard(conn, &location, now)?;
            blobs += 1;
            bytes += size;
        }
    }
    Ok((blobs, bytes))
}

const DISCARD: &str = "INSERT INTO garbage (datastore, key, since) VALUES (?1, ?2, ?3)
    ON CONFLICT DO UPDATE SET since = excluded.since";

fn discard(conn: &Connection, location: &BlobLocation, now: Timestamp) -> Result<(), StoreError> {
    run(conn, DISCARD, params![location.datastore.as_str(), location.key.as_str(), millis(now)]).map(drop)
}

pub(super) const GARBAGE: &str =
    "SELECT datastore, key FROM garbage WHERE since < ?1 ORDER BY since, datastore, key LIMIT ?2";

fn garbage(conn: &Connection, limit: u32, before: Timestamp) -> Result<Vec<BlobLocation>, StoreError> {
    all(conn, GARBAGE, params![millis(before), limit], |row| Columns::of("garbage", row).location())
}

pub(super) const FORGET: &str = "DELETE FROM garbage WHERE datastore = ?1 AND key = ?2";

fn forget(conn: &Connection, location: &BlobLocation) -> Result<(), StoreError> {
    run(conn, FORGET, [location.datastore.as_str(), location.key.as_str()]).map(drop)
}

pub(super) const KNOWN_KEY: &str = "SELECT 1 FROM blobs WHERE datastore = ?1 AND key = ?2
    UNION ALL SELECT 1 FROM garbage WHERE datastore = ?1 AND key = ?2";

fn unreferenced(
    conn: &Connection,
    datastore: &DatastoreId,
    keys: Vec<BlobKey>,
) -> Result<Vec<BlobKey>, StoreError> {
    let mut orphans = Vec::new();
    for key in keys {
        if !exists(conn, KNOWN_KEY, [datastore.as_str(), key.as_str()])? {
            orphans.push(key);
        }
    }
    Ok(orphans)
}

pub(super) const MOVE: &str = "UPDATE blobs SET datastore = ?2, key = ?3 WHERE hash = ?1";

fn relocate(
    conn: &Connection,
    blob: &ContentHash,
    from: &BlobLocation,
    to: &BlobLocation,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let is_at_from = find(conn, blob)?.is_some_and(|known| known.record.location == *from);
    if !is_at_from || from == to {
        return Ok(is_at_from);
    }
    check_vacant(conn, to)?;
    run(conn, MOVE, params![blob.as_bytes(), to.datastore.as_str(), to.key.as_str()])?;
    forget(conn, to)?;
    discard(conn, from, now)?;
    Ok(true)
}

/// Every key is longer than nothing.
pub(super) const IN_DATASTORE: &str = concat!(
    "SELECT ",
    blob_columns!(),
    ", max(b.last_read,
        coalesce((SELECT max(created) FROM media WHERE blob = b.id), 0),
        coalesce((SELECT max(created) FROM thumbnails WHERE blob = b.id), 0)),
    (SELECT count(*) FROM media WHERE blob = b.id),
    (SELECT count(*) FROM thumbnails WHERE blob = b.id)
    FROM blobs b WHERE b.datastore = ?1 AND b.key > ?2 ORDER BY b.key LIMIT ?3",
);

fn blobs_in(
    conn: &Connection,
    datastore: &DatastoreId,
    after: Option<&BlobKey>,
    limit: u32,
) -> Result<Vec<StoredBlob>, StoreError> {
    let after = after.map_or("", BlobKey::as_str);
    all(conn, IN_DATASTORE, params![datastore.as_str(), after, limit], |row| {
        let mut columns = Columns::of("blobs", row);
        Ok(StoredBlob {
            blob: columns.blob()?,
            last_used: columns.time()?,
            media: columns.u64()?,
            thumbnails: columns.u64()?,
        })
    })
}

pub(super) const USAGE: &str = "SELECT blobs, bytes FROM datastore_usage WHERE datastore = ?1";

fn datastore_usage(conn: &Connection, datastore: &DatastoreId) -> Result<DatastoreUsage, StoreError> {
    let usage = first(conn, USAGE, [datastore.as_str()], |row| {
        let mut columns = Columns::of("datastore_usage", row);
        Ok(DatastoreUsage { blobs: columns.u64()?, bytes: columns.u64()? })
    })?;
    Ok(usage.unwrap_or_default())
}

/// One row for each datastore, however many blobs there are.
const DATASTORES: &str = "SELECT datastore FROM datastore_usage ORDER BY datastore";

fn datastores(conn: &Connection) -> Result<Vec<DatastoreId>, StoreError> {
    all(conn, DATASTORES, [], |row| Columns::of("datastore_usage", row).parse(DatastoreId::parse))
}
