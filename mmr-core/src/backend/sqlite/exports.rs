use std::collections::BTreeSet;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{
    SqliteStore, blobs,
    row::{Columns, all, blob_columns, exists, first, millis, run},
};
use crate::{
    store::{ExportIndex, ExportPart, Inserted, NewBlob, Refusal, StoreError},
    types::Timestamp,
};

#[async_trait]
impl ExportIndex for SqliteStore {
    async fn create_export(&self, id: &str, entity: &str, now: Timestamp) -> Result<(), StoreError> {
        let (id, entity) = (id.to_owned(), entity.to_owned());
        self.write(move |conn| create(conn, &id, &entity, now)).await
    }

    async fn add_part(
        &self,
        id: &str,
        index: u32,
        name: &str,
        blob: &NewBlob,
    ) -> Result<Inserted, StoreError> {
        let (id, name, blob) = (id.to_owned(), name.to_owned(), blob.clone());
        self.write(move |conn| add_part(conn, &id, index, &name, &blob)).await
    }

    async fn export(&self, id: &str) -> Result<Option<(String, Vec<ExportPart>)>, StoreError> {
        let id = id.to_owned();
        self.read(move |conn| {
            let Some(entity) = entity(conn, &id)? else { return Ok(None) };
            Ok(Some((entity, parts(conn, &id)?)))
        })
        .await
    }

    async fn remove_export(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.write(move |conn| remove(conn, &id, now)).await
    }
}

pub(super) const ENTITY: &str = "SELECT entity FROM exports WHERE id = ?1";

fn entity(conn: &Connection, id: &str) -> Result<Option<String>, StoreError> {
    first(conn, ENTITY, [id], |row| Columns::of("exports", row).get())
}

const CREATE: &str = "INSERT INTO exports (id, entity, created) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";

fn create(conn: &Connection, id: &str, entity: &str, now: Timestamp) -> Result<(), StoreError> {
    match run(conn, CREATE, params![id, entity, millis(now)])? {
        0 => Err(StoreError::Conflict { what: "export" }),
        _ => Ok(()),
    }
}

pub(super) const HAS_PART: &str = "SELECT 1 FROM export_parts WHERE export = ?1 AND number = ?2";
const ADD_PART: &str = "INSERT INTO export_parts (export, number, name, blob) VALUES (?1, ?2, ?3, ?4)";

fn add_part(
    conn: &Connection,
    id: &str,
    index: u32,
    name: &str,
    blob: &NewBlob,
) -> Result<Inserted, StoreError> {
    if entity(conn, id)?.is_none() {
        return Ok(Inserted::BlobGone);
    }
    if exists(conn, HAS_PART, params![id, index])? {
        return Ok(Inserted::Refused(Refusal::Taken));
    }
    let admitted = blobs::admit(conn, blob)?;
    if let Some(blob) = admitted.id {
        run(conn, ADD_PART, params![id, index, name, blob])?;
    }
    Ok(admitted.outcome)
}

pub(super) const PARTS: &str = concat!(
    "SELECT p.number, p.name, ",
    blob_columns!(),
    " FROM export_parts p JOIN blobs b ON b.id = p.blob WHERE p.export = ?1 ORDER BY p.number",
);

fn parts(conn: &Connection, id: &str) -> Result<Vec<ExportPart>, StoreError> {
    all(conn, PARTS, [id], |row| {
        let mut columns = Columns::of("export_parts", row);
        Ok(ExportPart { index: columns.get()?, name: columns.get()?, blob: columns.blob()? })
    })
}

pub(super) const DROP_PARTS: &str = "DELETE FROM export_parts WHERE export = ?1 RETURNING blob";
pub(super) const DROP: &str = "DELETE FROM exports WHERE id = ?1";

fn remove(conn: &Connection, id: &str, now: Timestamp) -> Result<bool, StoreError> {
    let blobs: Vec<i64> = all(conn, DROP_PARTS, [id], |row| Columns::of("export_parts", row).get())?;
    let removed = run(conn, DROP, [id])?;
    blobs::sweep(conn, BTreeSet::from_iter(blobs), now)?;
    Ok(removed > 0)
}
