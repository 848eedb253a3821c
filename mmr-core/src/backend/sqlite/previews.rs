use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{
    SqliteStore,
    error::corrupt,
    row::{Columns, first, millis, run},
};
use crate::{
    store::{PreviewIndex, PreviewRecord, StoreError},
    types::Timestamp,
};

#[async_trait]
impl PreviewIndex for SqliteStore {
    async fn preview(
        &self,
        url: &str,
        language: &str,
        not_before: Timestamp,
    ) -> Result<Option<PreviewRecord>, StoreError> {
        let (url, language) = (url.to_owned(), language.to_owned());
        self.read(move |conn| preview(conn, url, language, not_before)).await
    }

    async fn put_preview(&self, preview: &PreviewRecord) -> Result<(), StoreError> {
        let preview = preview.clone();
        self.write(move |conn| put(conn, &preview)).await
    }

    async fn remove_previews(&self, before: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.write(move |conn| {
            let removed = run(conn, REMOVE, params![millis(before), limit])?;
            Ok(u32::try_from(removed).unwrap_or(u32::MAX))
        })
        .await
    }
}

pub(super) const LATEST: &str = "SELECT taken, answer, failure FROM previews
    WHERE url = ?1 AND language = ?2 AND taken >= ?3 ORDER BY taken DESC LIMIT 1";

fn preview(
    conn: &Connection,
    url: String,
    language: String,
    not_before: Timestamp,
) -> Result<Option<PreviewRecord>, StoreError> {
    let found = first(conn, LATEST, params![url, language, millis(not_before)], |row| {
        let mut columns = Columns::of("previews", row);
        let taken = columns.time()?;
        let outcome = match (columns.get()?, columns.get()?) {
            (Some(answer), None) => Ok(answer),
            (None, Some(failure)) => Err(failure),
            _ => return Err(corrupt("previews", &"neither an answer nor a failure")),
        };
        Ok((taken, outcome))
    })?;
    Ok(found.map(|(taken, outcome)| PreviewRecord { url, language, taken, outcome }))
}

const PUT: &str = "INSERT INTO previews (url, language, taken, answer, failure) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT DO UPDATE SET answer = excluded.answer, failure = excluded.failure";

fn put(conn: &Connection, preview: &PreviewRecord) -> Result<(), StoreError> {
    let PreviewRecord { url, language, taken, outcome } = preview;
    let (answer, failure) = (outcome.as_ref().ok(), outcome.as_ref().err());
    run(conn, PUT, params![url, language, millis(*taken), answer, failure]).map(drop)
}

pub(super) const REMOVE: &str = "DELETE FROM previews WHERE id IN
    (SELECT id FROM previews WHERE taken < ?1 ORDER BY taken, url, language LIMIT ?2)";
