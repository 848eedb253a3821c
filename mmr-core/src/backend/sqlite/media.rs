use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, params, params_from_iter};

use super::{
    SqliteStore,
    blobs::{self, KnownBlob},
    filter::Conditions,
    row::{Columns, all, exists, first, int, media_columns, millis, run},
    uploads,
    usage::usage_of_user,
};
use crate::{
    store::{
        Inserted, MediaFilter, MediaIndex, MediaUsage, NewBlob, NewMedia, Order, Page, Refusal, Removed,
        StoreError, UploadFacts, UploadProbe,
    },
    types::{ContentHash, FileName, Lookup, MediaRecord, Mxc, Restriction, Timestamp},
};

#[async_trait]
impl MediaIndex for SqliteStore {
    async fn lookup(&self, mxc: &Mxc) -> Result<Lookup, StoreError> {
        let mxc = mxc.clone();
        self.read(move |conn| lookup(conn, &mxc)).await
    }

    async fn upload_facts(&self, probe: &UploadProbe) -> Result<UploadFacts, StoreError> {
        let probe = probe.clone();
        self.read(move |conn| upload_facts(conn, &probe)).await
    }

    async fn insert(&self, media: &NewMedia) -> Result<Inserted, StoreError> {
        let media = media.clone();
        self.write(move |conn| insert(conn, &media)).await
    }

    async fn list(&self, filter: &MediaFilter, page: &Page) -> Result<Vec<MediaRecord>, StoreError> {
        let (conditions, page) = (Conditions::of(filter)?, page.clone());
        self.read(move |conn| list(conn, conditions, &page)).await
    }

    async fn remove(&self, filter: &MediaFilter, limit: u32, now: Timestamp) -> Result<Removed, StoreError> {
        let (sql, conditions) = (victims(filter)?, Conditions::of(filter)?);
        self.write(move |conn| remove(conn, &sql, conditions, (limit, now))).await
    }

    async fn touch(&self, seen: &[(ContentHash, Timestamp)]) -> Result<(), StoreError> {
        let seen = seen.to_vec();
        self.write(move |conn| seen.iter().try_for_each(|(hash, at)| touch(conn, hash, *at))).await
    }
}

pub(super) const LOOKUP: &str = concat!(
    "SELECT ",
    media_columns!(),
    " FROM media m JOIN blobs b ON b.id = m.blob WHERE m.origin = ?1 AND m.media_id = ?2",
);

/// The read transaction around it makes media and reservation one snapshot.
pub(super) fn lookup(conn: &Connection, mxc: &Mxc) -> Result<Lookup, StoreError> {
    let name = params![mxc.origin().as_str(), mxc.media_id().as_str()];
    if let Some(record) = first(conn, LOOKUP, name, |row| Columns::of("media", row).media())? {
        return Ok(Lookup::Stored(Arc::new(record)));
    }
    Ok(uploads::reservation(conn, mxc)?.map_or(Lookup::Unknown, Lookup::Reserved))
}

pub(super) const SAME: &str = concat!(
    "SELECT ",
    media_columns!(),
    " FROM media m JOIN blobs b ON b.id = m.blob",
    " WHERE m.blob = ?1 AND m.uploader = ?2 AND m.origin = ?3 AND m.content_type = ?4 AND m.file_name IS ?5",
    " AND m.restriction IS NULL AND m.expires IS NULL",
    " ORDER BY m.created, m.media_id LIMIT 1",
);

fn upload_facts(conn: &Connection, probe: &UploadProbe) -> Result<UploadFacts, StoreError> {
    let usage = match &probe.uploader {
        Some(user) => usage_of_user(conn, user)?,
        None => MediaUsage::default(),
    };
    let Some(KnownBlob { id, record }) = blobs::find(conn, &probe.hash)? else {
        return Ok(UploadFacts { usage, ..UploadFacts::default() });
    };
    let file_name = probe.file_name.as_ref().map(FileName::as_str);
    let same = match &probe.uploader {
        Some(user) => first(
            conn,
            SAME,
            params![id, user.as_str(), probe.origin.as_str(), probe.content_type.as_str(), file_name],
            |row| Columns::of("media", row).media(),
        )?,
        None => None,
    };
    Ok(UploadFacts { quarantined: is_quarantined(conn, id)?, blob: Some(record), same, usage })
}

pub(super) const QUARANTINED: &str = "SELECT 1 FROM media WHERE blob = ?1 AND quarantined_at IS NOT NULL";

fn is_quarantined(conn: &Connection, blob: i64) -> Result<bool, StoreError> {
    exists(conn, QUARANTINED, [blob])
}

/// The checks stand in the order that [`MediaIndex::insert`] promises.
fn insert(conn: &Connection, new: &NewMedia) -> Result<Inserted, StoreError> {
    let reservation = uploads::reservation(conn, &new.mxc)?;
    if has_media(conn, &new.mxc)? || (reservation.is_some() && !new.fills_reservation) {
        return Ok(Inserted::Refused(Refusal::Taken));
    }
    if new.fills_reservation {
        match &reservation {
            Some(r) if Some(&r.owner) == new.uploader.as_ref() && !r.has_expired(new.created) => {}
            _ => return Ok(Inserted::Refused(Refusal::NotReserved)),
        }
    }
    let known = blobs::find(conn, new.blob.hash())?;
    if let Some(known) = &known
        && is_quarantined(conn, known.id)?
    {
        return Ok(Inserted::Refused(Refusal::Quarantined));
    }
    let size = match (&known, &new.blob) {
        (Some(known), _) => known.record.size,
        (None, NewBlob::Store(record)) => record.size,
        (None, NewBlob::Link(_)) => return Ok(Inserted::BlobGone),
    };
    if exceeds_quota(conn, new, size)? {
        return Ok(Inserted::Refused(Refusal::QuotaExceeded));
    }
    let admitted = blobs::admit_known(conn, known, &new.blob)?;
    let Some(blob) = admitted.id else { return Ok(admitted.outcome) };
    if reservation.is_some() {
        uploads::use_up(conn, &new.mxc)?;
    }
    insert_row(conn, new, blob)?;
    Ok(admitted.outcome)
}

pub(super) const HAS_MEDIA: &str = "SELECT 1 FROM media WHERE origin = ?1 AND media_id = ?2";

pub(super) fn has_media(conn: &Connection, mxc: &Mxc) -> Result<bool, StoreError> {
    exists(conn, HAS_MEDIA, params![mxc.origin().as_str(), mxc.media_id().as_str()])
}

fn exceeds_quota(conn: &Connection, new: &NewMedia, size: u64) -> Result<bool, StoreError> {
    let (Some(uploader), quota) = (&new.uploader, new.quota) else { return Ok(false) };
    if quota.max_bytes.is_none() && quota.max_files.is_none() {
        return Ok(false);
    }
    let MediaUsage { files, bytes } = usage_of_user(conn, uploader)?;
    Ok(quota.max_files.is_some_and(|max| files + 1 > max)
        || quota.max_bytes.is_some_and(|max| bytes.saturating_add(size) > max))
}

const INSERT: &str = "INSERT INTO media
    (origin, media_id, blob, content_type, file_name, uploader, created, requires_auth, restriction, expires)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

fn insert_row(conn: &Connection, new: &NewMedia, blob: i64) -> Result<(), StoreError> {
    let columns = params![
        new.mxc.origin().as_str(),
        new.mxc.media_id().as_str(),
        blob,
        new.content_type.as_str(),
        new.file_name.as_ref().map(FileName::as_str),
        new.uploader.as_ref().map(|user| user.as_str()),
        millis(new.created),
        new.requires_auth,
        new.restriction.as_ref().map(Restriction::as_str),
        new.expires.map(millis),
    ];
    run(conn, INSERT, columns).map(drop)
}

fn list(conn: &Connection, conditions: Conditions, page: &Page) -> Result<Vec<MediaRecord>, StoreError> {
    let key = match page.order {
        Order::Created => "m.created",
        Order::Size => "b.size",
        Order::LastRead => "max(m.created, b.last_read)",
        Order::Mxc if page.descending => "m.origin DESC, m.media_id",
        Order::Mxc => "m.origin",
    };
    let sql = format!(
        "SELECT {} FROM media m JOIN blobs b ON b.id = m.blob WHERE {} \
         ORDER BY {key}{}, m.origin, m.media_id LIMIT ? OFFSET ?",
        media_columns!(),
        conditions.sql(),
        if page.descending { " DESC" } else { "" },
    );
    let window = [page.limit.into(), int(page.offset).into()];
    let params = params_from_iter(conditions.params([], window));
    all(conn, &sql, params, |row| Columns::of("media", row).media())
}

pub(super) const DELETE: &str = "DELETE FROM media WHERE id = ?1";

/// Finds media to remove; the limit is its last parameter.
pub(super) fn victims(filter: &MediaFilter) -> Result<String, StoreError> {
    let first = if filter.expired_at.is_some() { "m.expires, " } else { "" };
    Ok(format!(
        "SELECT m.id, m.blob, m.origin, m.media_id FROM media m JOIN blobs b ON b.id = m.blob \
         WHERE {} ORDER BY {first}m.created, m.origin, m.media_id LIMIT ?",
        Conditions::of(filter)?.sql(),
    ))
}

fn remove(
    conn: &Connection,
    sql: &str,
    conditions: Conditions,
    (limit, now): (u32, Timestamp),
) -> Result<Removed, StoreError> {
    let params = params_from_iter(conditions.params([], [limit.into()]));
    let found: Vec<(i64, i64, Mxc)> = all(conn, sql, params, |row| {
        let mut columns = Columns::of("media", row);
        Ok((columns.get()?, columns.get()?, columns.mxc()?))
    })?;
    for (id, ..) in &found {
        run(conn, DELETE, [id])?;
    }
    let (blobs, bytes) = blobs::sweep(conn, found.iter().map(|(_, blob, _)| *blob).collect(), now)?;
    Ok(Removed { mxcs: found.into_iter().map(|(.., mxc)| mxc).collect(), blobs, bytes })
}

pub(super) const TOUCH: &str = "UPDATE blobs SET last_read = ?2 WHERE hash = ?1 AND last_read < ?2";

fn touch(conn: &Connection, hash: &ContentHash, at: Timestamp) -> Result<(), StoreError> {
    run(conn, TOUCH, params![hash.as_bytes(), millis(at)]).map(drop)
}
