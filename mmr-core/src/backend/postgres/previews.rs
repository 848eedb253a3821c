use async_trait::async_trait;

use super::{
    PostgresStore,
    blobs::only,
    error::corrupt,
    row::{Columns, values},
};
use crate::{
    store::{PreviewIndex, PreviewRecord, StoreError},
    types::{ContentHash, Hasher, Timestamp},
};

#[async_trait]
impl PreviewIndex for PostgresStore {
    async fn preview(
        &self,
        url: &str,
        language: &str,
        not_before: Timestamp,
    ) -> Result<Option<PreviewRecord>, StoreError> {
        let rows = self.pool().read(LATEST, &values![&page(url, language), not_before]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut columns = Columns::of("previews", row);
        let taken = columns.time()?;
        let outcome = match (columns.get()?, columns.get()?) {
            (Some(answer), None) => Ok(answer),
            (None, Some(failure)) => Err(failure),
            _ => return Err(corrupt("previews", &"neither an answer nor a failure")),
        };
        Ok(Some(PreviewRecord { url: url.to_owned(), language: language.to_owned(), taken, outcome }))
    }

    async fn put_preview(&self, preview: &PreviewRecord) -> Result<(), StoreError> {
        let PreviewRecord { url, language, taken, outcome } = preview;
        let (answer, failure) = (outcome.as_deref().ok(), outcome.as_ref().err().map(String::as_str));
        let page = page(url, language);
        let params = values![&page, &**url, &**language, *taken, answer, failure];
        self.pool().write(PUT, &params).await.map(drop)
    }

    async fn remove_previews(&self, before: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let rows = self.pool().write(REMOVE, &values![before, limit]).await?;
        Columns::of("previews", only(&rows, "previews")?).u32()
    }
}

/// Stands for URL and language in the index. Neither holds a line feed as a URL or a header.
fn page(url: &str, language: &str) -> ContentHash {
    let mut hasher = Hasher::new();
    hasher.update(url.as_bytes());
    hasher.update(b"\n");
    hasher.update(language.as_bytes());
    hasher.finish().hash
}

const LATEST: &str = "SELECT taken, answer, failure FROM mmr.previews
    WHERE page = $1 AND taken >= $2 ORDER BY taken DESC LIMIT 1";

const PUT: &str = "INSERT INTO mmr.previews (page, url, language, taken, answer, failure)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (page, taken) DO UPDATE SET answer = excluded.answer, failure = excluded.failure";

const REMOVE: &str = "WITH gone AS (
        DELETE FROM mmr.previews WHERE (page, taken) IN
            (SELECT page, taken FROM mmr.previews WHERE taken < $1 ORDER BY taken, url, language LIMIT $2)
        RETURNING 1
    ) SELECT count(*) FROM gone";
