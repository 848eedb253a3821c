use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;

use super::{
    PostgresStore,
    blobs::{admitted, inserted, only},
    filter::Conditions,
    row::{BLOB_COLUMNS, Columns, MEDIA_COLUMNS, Value, blob_columns, int, media_columns, values},
};
use crate::{
    store::{
        Inserted, MediaFilter, MediaIndex, MediaUsage, NewMedia, Order, Page, Removed, StoreError,
        UploadFacts, UploadProbe,
    },
    types::{ContentHash, FileName, Lookup, MediaRecord, Mxc, Reservation, Restriction, Timestamp},
};

mod together;
mod walk;

pub(super) use self::together::Queue;

#[async_trait]
impl MediaIndex for PostgresStore {
    async fn lookup(&self, mxc: &Mxc) -> Result<Lookup, StoreError> {
        let params = values![mxc.origin().as_str(), mxc.media_id().as_str()];
        let rows = self.pool().read(LOOKUP, &params).await?;
        looked_up(&mut Columns::of("media", only(&rows, "media")?), mxc)
    }

    async fn upload_facts(&self, probe: &UploadProbe) -> Result<UploadFacts, StoreError> {
        let params = values![
            &probe.hash,
            probe.uploader.as_ref().map(|user| user.as_str()),
            probe.uploader.as_ref().map(|user| user.server_name().as_str()),
            probe.origin.as_str(),
            probe.content_type.as_str(),
            probe.file_name.as_ref().map(FileName::as_str),
        ];
        let rows = self.pool().read(FACTS, &params).await?;
        let mut columns = Columns::of("media", only(&rows, "media")?);
        let usage = MediaUsage { files: columns.u64()?, bytes: columns.u64()? };
        let quarantined = columns.get()?;
        let blob = if columns.is_null()? {
            columns.skip(BLOB_COLUMNS);
            None
        } else {
            Some(columns.blob()?)
        };
        let same = if columns.is_null()? { None } else { Some(columns.media()?) };
        Ok(UploadFacts { quarantined, blob, same, usage })
    }

    async fn insert(&self, media: &NewMedia) -> Result<Inserted, StoreError> {
        if together::may_be_plain(media) {
            return together::insert(self, media).await;
        }
        insert_alone(self, media).await
    }

    async fn list(&self, filter: &MediaFilter, page: &Page) -> Result<Vec<MediaRecord>, StoreError> {
        if walk::is_walk(filter, page) {
            return walk::list(self, filter, page.limit).await;
        }
        select(self, Conditions::of(filter), page).await
    }

    async fn remove(&self, filter: &MediaFilter, limit: u32, now: Timestamp) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        let mut left = limit;
        loop {
            let (found, batch) = remove_batch(self, filter, left, now).await?;
            let dropped = u32::try_from(batch.mxcs.len()).unwrap_or(u32::MAX);
            removed.mxcs.extend(batch.mxcs);
            removed.blobs += batch.blobs;
            removed.bytes += batch.bytes;
            left = left.saturating_sub(dropped);
            // What changed at that very moment was spared: it may match no more.
            if dropped == found || left == 0 {
                return Ok(removed);
            }
        }
    }

    async fn touch(&self, seen: &[(ContentHash, Timestamp)]) -> Result<(), StoreError> {
        // One row for each blob: they are read more than once between two calls.
        let mut latest = BTreeMap::new();
        for (hash, at) in seen {
            let known = latest.entry(hash).or_insert(*at);
            *known = (*known).max(*at);
        }
        let hashes = latest.keys().map(|hash| hash.as_bytes().to_vec()).collect();
        let times = latest.values().map(|at| int(at.as_millis())).collect();
        self.pool().write(TOUCH, &[Value::BytesList(hashes), Value::Ints(times)]).await.map(drop)
    }
}

async fn insert_alone(store: &PostgresStore, media: &NewMedia) -> Result<Inserted, StoreError> {
    let rows = store.pool().write(INSERT, &columns_of(media)).await?;
    store.added();
    inserted(&rows, "media")
}

/// The columns of what [`looked_up`] reads.
macro_rules! lookup_columns {
    () => {
        concat!($crate::backend::postgres::row::media_columns!(), ", r.owner, r.created, r.expires")
    };
}

/// One row in any case; one statement makes media and reservation one snapshot.
macro_rules! lookup_tables {
    () => {
        " FROM (SELECT) one LEFT JOIN mmr.media m ON m.origin = $1 AND m.media_id = $2
        LEFT JOIN mmr.blobs b ON b.id = m.blob
        LEFT JOIN mmr.reservations r ON r.origin = $1 AND r.media_id = $2"
    };
}

pub(super) use {lookup_columns, lookup_tables};

const LOOKUP: &str = concat!("SELECT ", lookup_columns!(), lookup_tables!());

/// Reads the columns of `lookup_columns!`.
pub(super) fn looked_up(columns: &mut Columns<'_>, mxc: &Mxc) -> Result<Lookup, StoreError> {
    const RESERVATION_COLUMNS: usize = 3;
    if !columns.is_null()? {
        let record = columns.media()?;
        columns.skip(RESERVATION_COLUMNS);
        return Ok(Lookup::Stored(Arc::new(record)));
    }
    columns.skip(MEDIA_COLUMNS);
    if columns.is_null()? {
        columns.skip(RESERVATION_COLUMNS);
        return Ok(Lookup::Unknown);
    }
    let (owner, created, expires) = (columns.user()?, columns.time()?, columns.time()?);
    Ok(Lookup::Reserved(Reservation { mxc: mxc.clone(), owner, created, expires }))
}

/// One row in any case: sum of the uploader, verdict, blob, same upload.
const FACTS: &str = concat!(
    "SELECT coalesce(u.files, 0), coalesce(u.bytes, 0), EXISTS (
        SELECT FROM mmr.media q WHERE q.blob = k.id AND q.quarantined_at IS NOT NULL
    ), ",
    blob_columns!("k"),
    ", ",
    media_columns!(),
    " FROM (SELECT) one
    LEFT JOIN LATERAL (
        SELECT sum(s.files)::bigint AS files, sum(s.bytes)::bigint AS bytes
        FROM mmr.user_usage s WHERE s.server = $3 AND s.user_id = $2
    ) u ON true
    LEFT JOIN mmr.blobs k ON k.hash = $1
    LEFT JOIN LATERAL (
        SELECT * FROM mmr.media s WHERE s.blob = k.id AND s.uploader = $2 AND s.origin = $4
            AND s.content_type = $5 AND s.file_name IS NOT DISTINCT FROM $6
            AND s.restriction IS NULL AND s.expires IS NULL
        ORDER BY s.created, s.media_id LIMIT 1
    ) m ON true
    LEFT JOIN mmr.blobs b ON b.id = m.blob",
);

const INSERT: &str = "SELECT o_outcome, o_datastore, o_key FROM mmr.insert_media(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";

/// The parameters of [`INSERT`].
fn columns_of(new: &NewMedia) -> Vec<Value<'_>> {
    let name = values![new.mxc.origin().as_str(), new.mxc.media_id().as_str()];
    let rest = values![
        new.content_type.as_str(),
        new.file_name.as_ref().map(FileName::as_str),
        new.uploader.as_ref().map(|user| user.as_str()),
        new.created,
        new.requires_auth,
        new.restriction.as_ref().map(Restriction::as_str),
        new.expires.map(|at| int(at.as_millis())),
        new.fills_reservation,
        new.quota.max_bytes.map(int),
        new.quota.max_files.map(int),
    ];
    name.into_iter().chain(admitted(&new.blob)).chain(rest).collect()
}

/// A page of what matches.
async fn select(
    store: &PostgresStore,
    mut conditions: Conditions<'_>,
    page: &Page,
) -> Result<Vec<MediaRecord>, StoreError> {
    let (limit, offset) = (conditions.param(page.limit), conditions.param(int(page.offset)));
    let key = match page.order {
        Order::Created => "m.created",
        Order::Size => "b.size",
        Order::LastRead => "greatest(m.created, b.last_read)",
        Order::Mxc if page.descending => "m.origin DESC, m.media_id",
        Order::Mxc => "m.origin",
    };
    let sql = format!(
        "SELECT {} FROM mmr.media m JOIN mmr.blobs b ON b.id = m.blob WHERE {} \
         ORDER BY {key}{}, m.origin, m.media_id LIMIT {limit} OFFSET {offset}",
        media_columns!(),
        conditions.sql(),
        if page.descending { " DESC" } else { "" },
    );
    let rows = store.pool().read_composed(&sql, conditions.params()).await?;
    rows.iter().map(|row| Columns::of("media", row).media()).collect()
}

/// Removes what matches, and tells how many that were, and what became of them.
async fn remove_batch(
    store: &PostgresStore,
    filter: &MediaFilter,
    limit: u32,
    now: Timestamp,
) -> Result<(u32, Removed), StoreError> {
    let mut conditions = Conditions::of(filter);
    let (limit, now) = (conditions.param(limit), conditions.param(now));
    let order = match filter.expired_at {
        Some(_) => "m.expires, m.created, m.origin, m.media_id",
        None => "m.created, m.origin, m.media_id",
    };
    let sql = format!(
        "WITH found AS MATERIALIZED ( \
             SELECT m.id, m.xmin::text::bigint AS version, m.blob, m.origin, m.media_id, m.created, m.expires \
             FROM mmr.media m JOIN mmr.blobs b ON b.id = m.blob \
             WHERE {} ORDER BY {order} LIMIT {limit} \
         ), dropped AS MATERIALIZED ( \
             SELECT d.* FROM (SELECT array_agg(id) AS ids, array_agg(version) AS versions, array_agg(blob) AS blobs \
                 FROM found) f, mmr.drop_media(f.ids, f.versions, f.blobs, {now}) d \
         ) \
         SELECT (SELECT count(*) FROM found), d.o_blobs, d.o_bytes, \
             ARRAY(SELECT m.origin::text FROM found m WHERE m.id = ANY (d.o_ids) ORDER BY {order}), \
             ARRAY(SELECT m.media_id::text FROM found m WHERE m.id = ANY (d.o_ids) ORDER BY {order}) \
         FROM dropped d",
        conditions.sql(),
    );
    let rows = store.pool().write_composed(&sql, conditions.params()).await?;
    let mut columns = Columns::of("media", only(&rows, "media")?);
    let found = columns.u32()?;
    let (blobs, bytes) = (columns.u64()?, columns.u64()?);
    let (origins, ids): (Vec<&str>, Vec<&str>) = (columns.get()?, columns.get()?);
    let mxcs = origins.iter().zip(ids).map(|(origin, id)| Mxc::from_parts(origin, id));
    let mxcs = mxcs.collect::<Result<_, _>>().map_err(|error| super::error::corrupt("media", &error))?;
    Ok((found, Removed { mxcs, blobs, bytes }))
}

const TOUCH: &str = "SELECT mmr.touch($1, $2)";
