use async_trait::async_trait;

use super::{
    PostgresStore,
    blobs::{admitted, inserted, only},
    row::{Columns, blob_columns, values},
};
use crate::{
    store::{ExportIndex, ExportPart, Inserted, NewBlob, StoreError},
    types::Timestamp,
};

#[async_trait]
impl ExportIndex for PostgresStore {
    async fn create_export(&self, id: &str, entity: &str, now: Timestamp) -> Result<(), StoreError> {
        let rows = self.pool().write(CREATE, &values![id, entity, now]).await?;
        if rows.is_empty() { Err(StoreError::Conflict { what: "export" }) } else { Ok(()) }
    }

    async fn add_part(
        &self,
        id: &str,
        index: u32,
        name: &str,
        blob: &NewBlob,
    ) -> Result<Inserted, StoreError> {
        let params: Vec<_> = values![id, index, name].into_iter().chain(admitted(blob)).collect();
        inserted(&self.pool().write(ADD_PART, &params).await?, "export_parts")
    }

    async fn export(&self, id: &str) -> Result<Option<(String, Vec<ExportPart>)>, StoreError> {
        let rows = self.pool().read(EXPORT, &values![id]).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let entity = Columns::of("exports", first).get()?;
        let mut parts = Vec::new();
        for row in &rows {
            let mut columns = Columns::of("export_parts", row);
            columns.skip(1);
            if !columns.is_null()? {
                let (index, name) = (columns.u32()?, columns.get()?);
                parts.push(ExportPart { index, name, blob: columns.blob()? });
            }
        }
        Ok(Some((entity, parts)))
    }

    async fn remove_export(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let rows = self.pool().write(REMOVE, &values![id, now]).await?;
        Columns::of("exports", only(&rows, "exports")?).get()
    }
}

const CREATE: &str = "INSERT INTO mmr.exports (id, entity, created) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO NOTHING RETURNING 1";

const ADD_PART: &str =
    "SELECT o_outcome, o_datastore, o_key FROM mmr.add_part($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// A row for each part, or one without.
const EXPORT: &str = concat!(
    "SELECT e.entity, p.number, p.name, ",
    blob_columns!("b"),
    " FROM mmr.exports e LEFT JOIN mmr.export_parts p ON p.export = e.id LEFT JOIN mmr.blobs b ON b.id = p.blob",
    " WHERE e.id = $1 ORDER BY p.number",
);

const REMOVE: &str = "SELECT mmr.remove_export($1, $2)";
