use async_trait::async_trait;

use super::{
    PostgresStore,
    blobs::{admitted, inserted, only},
    filter::Conditions,
    media::{looked_up, lookup_columns, lookup_tables},
    row::{Columns, blob_columns, values},
};
use crate::{
    store::{
        Inserted, MediaFilter, NewThumbnail, RemovedThumbnails, StoreError, ThumbnailIndex, ThumbnailLookup,
    },
    types::{ContentHash, Lookup, Method, Mxc, ThumbnailRecord, ThumbnailSpec, Timestamp, Variant},
};

#[async_trait]
impl ThumbnailIndex for PostgresStore {
    async fn thumbnail(&self, mxc: &Mxc, spec: &ThumbnailSpec) -> Result<ThumbnailLookup, StoreError> {
        let ThumbnailSpec { width, height, method, variant } = *spec;
        let (method, variant) = (method.as_str(), variant.as_str());
        let params = values![mxc.origin().as_str(), mxc.media_id().as_str(), width, height, method, variant];
        let rows = self.pool().read(FIND, &params).await?;
        let mut columns = Columns::of("media", only(&rows, "media")?);
        let media = looked_up(&mut columns, mxc)?;
        let thumbnail = match &media {
            Lookup::Stored(record) if !columns.is_null()? => {
                Some(read(&mut columns, record.blob.hash, *spec)?)
            }
            _ => None,
        };
        Ok(ThumbnailLookup { media, thumbnail })
    }

    async fn thumbnails_of(
        &self,
        source: &ContentHash,
        limit: u32,
    ) -> Result<Vec<ThumbnailRecord>, StoreError> {
        let rows = self.pool().read(OF_SOURCE, &values![source, limit]).await?;
        let read_any = |row| {
            let mut columns = Columns::of("thumbnails", row);
            let spec = ThumbnailSpec {
                width: columns.u32()?,
                height: columns.u32()?,
                method: columns.parse(str::parse::<Method>)?,
                variant: columns.parse(|word| Variant::parse(word).ok_or("no variant"))?,
            };
            read(&mut columns, *source, spec)
        };
        rows.iter().map(read_any).collect()
    }

    async fn insert_thumbnail(&self, thumbnail: &NewThumbnail) -> Result<Inserted, StoreError> {
        let ThumbnailSpec { width, height, method, variant } = thumbnail.spec;
        let key = values![&thumbnail.source, width, height, method.as_str(), variant.as_str()];
        let rest =
            values![thumbnail.content_type.as_str(), thumbnail.width, thumbnail.height, thumbnail.created,];
        let params: Vec<_> = key.into_iter().chain(admitted(&thumbnail.blob)).chain(rest).collect();
        let rows = self.pool().write(INSERT, &params).await?;
        self.added();
        inserted(&rows, "thumbnails")
    }

    async fn remove_thumbnails(
        &self,
        filter: &MediaFilter,
        rendered_before: Timestamp,
        limit: u32,
        now: Timestamp,
    ) -> Result<RemovedThumbnails, StoreError> {
        let mut conditions = Conditions::of(filter);
        let before = conditions.param(rendered_before);
        let (limit, now) = (conditions.param(limit), conditions.param(now));
        let sql = format!(
            "WITH found AS MATERIALIZED ({} LIMIT {limit}) \
             SELECT f.many, d.o_blobs, d.o_bytes FROM (SELECT count(*) AS many, array_agg(source) AS sources, array_agg(spec_width) AS widths, \
                 array_agg(spec_height) AS heights, array_agg(method::text) AS methods, \
                 array_agg(variant) AS variants, array_agg(blob) AS blobs FROM found) f, \
             mmr.drop_thumbnails(f.sources, f.widths, f.heights, f.methods, f.variants, f.blobs, {before}, {now}) d",
            select(filter, &conditions, &before),
        );
        let rows = self.pool().write_composed(&sql, conditions.params()).await?;
        let mut columns = Columns::of("thumbnails", only(&rows, "thumbnails")?);
        let thumbnails = columns.u64()?;
        Ok(RemovedThumbnails {
            thumbnails: u32::try_from(thumbnails).unwrap_or(u32::MAX),
            blobs: columns.u64()?,
            bytes: columns.u64()?,
        })
    }
}

const FIND: &str = concat!(
    "SELECT ",
    lookup_columns!(),
    ", ",
    blob_columns!("tb"),
    ", t.content_type, t.width, t.height, t.created",
    lookup_tables!(),
    " LEFT JOIN mmr.thumbnails t ON t.source = m.blob AND t.spec_width = $3 AND t.spec_height = $4
        AND t.method = $5 AND t.variant = $6
    LEFT JOIN mmr.blobs tb ON tb.id = t.blob",
);

const OF_SOURCE: &str = concat!(
    "SELECT t.spec_width, t.spec_height, t.method, t.variant, ",
    blob_columns!("tb"),
    ", t.content_type, t.width, t.height, t.created FROM mmr.thumbnails t JOIN mmr.blobs tb ON tb.id = t.blob",
    " WHERE t.source = (SELECT s.id FROM mmr.blobs s WHERE s.hash = $1)",
    " ORDER BY t.spec_width, t.spec_height, t.method, t.variant LIMIT $2",
);

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
        width: columns.u32()?,
        height: columns.u32()?,
        created: columns.time()?,
    })
}

const INSERT: &str = "SELECT o_outcome, o_datastore, o_key FROM mmr.insert_thumbnail(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

/// Finds thumbnails to remove; lacks the limit. Where the filter names few media, it starts from those; otherwise from the
/// oldest thumbnails.
fn select(filter: &MediaFilter, conditions: &Conditions<'_>, before: &str) -> String {
    let few = filter.mxcs.is_some() || filter.hash.is_some() || filter.uploader.is_some();
    let from_media = "FROM mmr.media m JOIN mmr.blobs b ON b.id = m.blob WHERE";
    let wanted = conditions.sql();
    let source = if few {
        format!("t.source IN (SELECT m.blob {from_media} {wanted})")
    } else {
        format!("EXISTS (SELECT 1 {from_media} m.blob = t.source AND {wanted})")
    };
    format!(
        "SELECT t.source, t.spec_width, t.spec_height, t.method, t.variant, t.blob \
         FROM mmr.thumbnails t JOIN mmr.blobs s ON s.id = t.source WHERE {source} AND t.created < {before} \
         ORDER BY t.created, s.hash, t.spec_width, t.spec_height, t.method, t.variant",
    )
}
