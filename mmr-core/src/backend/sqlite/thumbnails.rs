use std::collections::BTreeSet;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::{
    SqliteStore, blobs,
    filter::Conditions,
    media::lookup,
    row::{Columns, all, blob_columns, exists, first, millis, run},
};
use crate::{
    store::{
        Inserted, MediaFilter, NewThumbnail, Refusal, RemovedThumbnails, StoreError, ThumbnailIndex,
        ThumbnailLookup,
    },
    types::{ContentHash, Lookup, Method, Mxc, ThumbnailRecord, ThumbnailSpec, Timestamp, Variant},
};

#[async_trait]
impl ThumbnailIndex for SqliteStore {
    async fn thumbnail(&self, mxc: &Mxc, spec: &ThumbnailSpec) -> Result<ThumbnailLookup, StoreError> {
        let (mxc, spec) = (mxc.clone(), *spec);
        self.read(move |conn| {
            let media = lookup(conn, &mxc)?;
            let thumbnail = match &media {
                Lookup::Stored(record) => find(conn, record.blob.hash, spec)?,
                Lookup::Reserved(_) | Lookup::Unknown => None,
            };
            Ok(ThumbnailLookup { media, thumbnail })
        })
        .await
    }

    async fn thumbnails_of(
        &self,
        source: &ContentHash,
        limit: u32,
    ) -> Result<Vec<ThumbnailRecord>, StoreError> {
        let source = *source;
        self.read(move |conn| {
            all(conn, OF_SOURCE, params![source.as_bytes(), limit], |row| read_any(row, source))
        })
        .await
    }

    async fn insert_thumbnail(&self, thumbnail: &NewThumbnail) -> Result<Inserted, StoreError> {
        let thumbnail = thumbnail.clone();
        self.write(move |conn| insert(conn, &thumbnail)).await
    }

    async fn remove_thumbnails(
        &self,
        filter: &MediaFilter,
        rendered_before: Timestamp,
        limit: u32,
        now: Timestamp,
    ) -> Result<RemovedThumbnails, StoreError> {
        let select = select(filter)?;
        self.write(move |conn| remove(conn, select, rendered_before, limit, now)).await
    }
}

pub(super) const FIND: &str = concat!(
    "SELECT ",
    blob_columns!(),
    ", t.content_type, t.width, t.height, t.created FROM thumbnails t JOIN blobs b ON b.id = t.blob",
    " WHERE t.source = (SELECT id FROM blobs WHERE hash = ?1)",
    " AND t.spec_width = ?2 AND t.spec_height = ?3 AND t.method = ?4 AND t.variant = ?5",
);

fn find(
    conn: &Connection,
    source: ContentHash,
    spec: ThumbnailSpec,
) -> Result<Option<ThumbnailRecord>, StoreError> {
    let ThumbnailSpec { width, height, method, variant } = spec;
    let key = params![source.as_bytes(), width, height, method.as_str(), variant.as_str()];
    first(conn, FIND, key, |row| read(&mut Columns::of("thumbnails", row), source, spec))
}

pub(super) const OF_SOURCE: &str = concat!(
    "SELECT t.spec_width, t.spec_height, t.method, t.variant, ",
    blob_columns!(),
    ", t.content_type, t.width, t.height, t.created FROM thumbnails t JOIN blobs b ON b.id = t.blob",
    " WHERE t.source = (SELECT id FROM blobs WHERE hash = ?1)",
    " ORDER BY t.spec_width, t.spec_height, t.method, t.variant LIMIT ?2",
);

fn read_any(row: &Row<'_>, source: ContentHash) -> Result<ThumbnailRecord, StoreError> {
    let mut columns = Columns::of("thumbnails", row);
    let spec = ThumbnailSpec {
        width: columns.get()?,
        height: columns.get()?,
        method: columns.parse(str::parse::<Method>)?,
        variant: columns.parse(|word| Variant::parse(word).ok_or("no variant"))?,
    };
    read(&mut columns, source, spec)
}

fn read(
    columns: &mut Columns<'_>,
    source: ContentHash,
    spec: ThumbnailSpec,
) -> Result<ThumbnailRecord, StoreError> {
    Ok(ThumbnailRecord {
        source,
        spec,
        blob: columns.blob()?,
        content_type: columns.content_type()?,
        width: columns.get()?,
        height: columns.get()?,
        created: columns.time()?,
    })
}

pub(super) const IS_TAKEN: &str = "SELECT 1 FROM thumbnails
    WHERE source = ?1 AND spec_width = ?2 AND spec_height = ?3 AND method = ?4 AND variant = ?5";
const INSERT: &str = "INSERT INTO thumbnails
    (source, spec_width, spec_height, method, variant, blob, content_type, width, height, created)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

fn insert(conn: &Connection, new: &NewThumbnail) -> Result<Inserted, StoreError> {
    let Some(source) = blobs::find(conn, &new.source)?.map(|known| known.id) else {
        return Ok(Inserted::BlobGone);
    };
    if !exists(conn, blobs::HAS_MEDIA, [source])? {
        return Ok(Inserted::BlobGone);
    }
    let ThumbnailSpec { width, height, method, variant } = new.spec;
    let (method, variant) = (method.as_str(), variant.as_str());
    if exists(conn, IS_TAKEN, params![source, width, height, method, variant])? {
        return Ok(Inserted::Refused(Refusal::Taken));
    }
    let admitted = blobs::admit(conn, &new.blob)?;
    if let Some(blob) = admitted.id {
        let content_type = new.content_type.as_str();
        let columns = params![
            source,
            width,
            height,
            method,
            variant,
            blob,
            content_type,
            new.width,
            new.height,
            millis(new.created),
        ];
        run(conn, INSERT, columns)?;
    }
    Ok(admitted.outcome)
}

/// Finds thumbnails to remove; lacks the time and the limit as parameters. Where the filter names few media, it starts
/// from those; otherwise from the oldest thumbnails.
fn select(filter: &MediaFilter) -> Result<(String, Conditions), StoreError> {
    let conditions = Conditions::of(filter)?;
    let few = filter.mxcs.is_some() || filter.hash.is_some() || filter.uploader.is_some();
    let from_media = "FROM media m JOIN blobs b ON b.id = m.blob WHERE";
    let wanted = conditions.sql();
    let source = if few {
        format!("t.source IN (SELECT m.blob {from_media} {wanted})")
    } else {
        format!("EXISTS (SELECT 1 {from_media} m.blob = t.source AND {wanted})")
    };
    let sql = format!(
        "SELECT t.source, t.spec_width, t.spec_height, t.method, t.variant, t.blob \
         FROM thumbnails t JOIN blobs s ON s.id = t.source WHERE {source} AND t.created < ? \
         ORDER BY t.created, s.hash, t.spec_width, t.spec_height, t.method, t.variant LIMIT ?",
    );
    Ok((sql, conditions))
}

pub(super) const DELETE: &str = "DELETE FROM thumbnails
    WHERE source = ?1 AND spec_width = ?2 AND spec_height = ?3 AND method = ?4 AND variant = ?5";

fn remove(
    conn: &Connection,
    (select, conditions): (String, Conditions),
    rendered_before: Timestamp,
    limit: u32,
    now: Timestamp,
) -> Result<RemovedThumbnails, StoreError> {
    let params = params_from_iter(conditions.params([], [millis(rendered_before).into(), limit.into()]));
    let found: Vec<(i64, u32, u32, String, String, i64)> = all(conn, &select, params, |row| {
        let mut columns = Columns::of("thumbnails", row);
        Ok((columns.get()?, columns.get()?, columns.get()?, columns.get()?, columns.get()?, columns.get()?))
    })?;
    let thumbnails = u32::try_from(found.len()).unwrap_or(limit);
    let mut suspects = BTreeSet::new();
    for (source, width, height, method, variant, blob) in found {
        run(conn, DELETE, params![source, width, height, method, variant])?;
        suspects.insert(blob);
    }
    let (blobs, bytes) = blobs::sweep(conn, suspects, now)?;
    Ok(RemovedThumbnails { thumbnails, blobs, bytes })
}
