use async_trait::async_trait;
use rusqlite::{Connection, params, params_from_iter, types::Value};

use super::{
    SqliteStore,
    filter::{Conditions, json},
    row::{Columns, all, first, millis, run},
};
use crate::{
    store::{Attributes, MediaFilter, ModerationIndex, Quarantine, StoreError},
    types::Mxc,
};

#[async_trait]
impl ModerationIndex for SqliteStore {
    async fn set_quarantine(
        &self,
        filter: &MediaFilter,
        quarantine: &Quarantine,
    ) -> Result<Vec<Mxc>, StoreError> {
        let conditions = Conditions::of(filter)?;
        let (sql, params) = match quarantine {
            Quarantine::Impose { by, at, only_origins } => {
                let verdict = [millis(*at).into(), by.to_string().into()];
                let origins = only_origins.as_deref().map(json).transpose()?;
                impose(conditions, verdict, origins)
            }
            Quarantine::Lift => lift(conditions),
        };
        self.write(move |conn| {
            let mut changed =
                all(conn, &sql, params_from_iter(params), |row| Columns::of("media", row).mxc())?;
            changed.sort();
            Ok(changed)
        })
        .await
    }

    async fn attributes(&self, mxc: &Mxc) -> Result<Option<Attributes>, StoreError> {
        let mxc = mxc.clone();
        self.read(move |conn| attributes(conn, &mxc)).await
    }

    async fn set_attributes(&self, mxc: &Mxc, attributes: &Attributes) -> Result<bool, StoreError> {
        let (mxc, attributes) = (mxc.clone(), *attributes);
        self.write(move |conn| set_attributes(conn, &mxc, attributes)).await
    }
}

fn impose(mut conditions: Conditions, verdict: [Value; 2], origins: Option<Value>) -> (String, Vec<Value>) {
    let mut allowed = "";
    if let Some(origins) = &origins {
        allowed = "AND origin IN (SELECT value FROM json_each(?))";
        conditions.and("m.origin IN (SELECT value FROM json_each(?))", [origins.clone()]);
    }
    let sql = format!(
        "UPDATE media SET quarantined_at = ?, quarantined_by = ?
         WHERE quarantined_at IS NULL AND pinned = 0 {allowed} AND blob IN
             (SELECT m.blob FROM media m JOIN blobs b ON b.id = m.blob WHERE {})
         RETURNING origin, media_id",
        conditions.sql(),
    );
    (sql, conditions.params(verdict.into_iter().chain(origins), []))
}

fn lift(conditions: Conditions) -> (String, Vec<Value>) {
    let sql = format!(
        "UPDATE media SET quarantined_at = NULL, quarantined_by = NULL
         WHERE quarantined_at IS NOT NULL AND id IN
             (SELECT m.id FROM media m JOIN blobs b ON b.id = m.blob WHERE {})
         RETURNING origin, media_id",
        conditions.sql(),
    );
    (sql, conditions.params([], []))
}

pub(super) const ATTRIBUTES: &str = "SELECT pinned FROM media WHERE origin = ?1 AND media_id = ?2";

fn attributes(conn: &Connection, mxc: &Mxc) -> Result<Option<Attributes>, StoreError> {
    first(conn, ATTRIBUTES, [mxc.origin().as_str(), mxc.media_id().as_str()], |row| {
        Ok(Attributes { pinned: Columns::of("media", row).get()? })
    })
}

pub(super) const SET_ATTRIBUTES: &str = "UPDATE media SET pinned = ?3 WHERE origin = ?1 AND media_id = ?2";

fn set_attributes(conn: &Connection, mxc: &Mxc, attributes: Attributes) -> Result<bool, StoreError> {
    let Attributes { pinned } = attributes;
    let changed = run(conn, SET_ATTRIBUTES, params![mxc.origin().as_str(), mxc.media_id().as_str(), pinned])?;
    Ok(changed > 0)
}
