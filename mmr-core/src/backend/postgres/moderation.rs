use async_trait::async_trait;

use super::{
    PostgresStore,
    filter::Conditions,
    row::{Columns, Value, texts, values},
};
use crate::{
    store::{Attributes, MediaFilter, ModerationIndex, Quarantine, StoreError},
    types::Mxc,
};

#[async_trait]
impl ModerationIndex for PostgresStore {
    async fn set_quarantine(
        &self,
        filter: &MediaFilter,
        quarantine: &Quarantine,
    ) -> Result<Vec<Mxc>, StoreError> {
        let conditions = Conditions::of(filter);
        let (sql, conditions) = match quarantine {
            Quarantine::Impose { .. } => impose(conditions, quarantine),
            Quarantine::Lift => lift(conditions),
        };
        let rows = self.pool().write_composed(&sql, conditions.params()).await?;
        let changed: Result<Vec<Mxc>, _> = rows.iter().map(|row| Columns::of("media", row).mxc()).collect();
        let mut changed = changed?;
        changed.sort();
        Ok(changed)
    }

    async fn attributes(&self, mxc: &Mxc) -> Result<Option<Attributes>, StoreError> {
        let params = values![mxc.origin().as_str(), mxc.media_id().as_str()];
        let rows = self.pool().read(ATTRIBUTES, &params).await?;
        rows.first().map(|row| Ok(Attributes { pinned: Columns::of("media", row).get()? })).transpose()
    }

    async fn set_attributes(&self, mxc: &Mxc, attributes: &Attributes) -> Result<bool, StoreError> {
        let Attributes { pinned } = *attributes;
        let params = values![mxc.origin().as_str(), mxc.media_id().as_str(), pinned];
        Ok(!self.pool().write(SET_ATTRIBUTES, &params).await?.is_empty())
    }
}

fn impose<'a>(mut conditions: Conditions<'a>, verdict: &'a Quarantine) -> (String, Conditions<'a>) {
    let Quarantine::Impose { by, at, only_origins } = verdict else { return lift(conditions) };
    let origins = match only_origins {
        Some(origins) => {
            let param = conditions.param(texts(origins.iter().map(|origin| origin.as_str())));
            conditions.and(&format!("m.origin = ANY ({param})"));
            param
        }
        None => conditions.param(Value::Texts(None)),
    };
    let (at, by) = (conditions.param(*at), conditions.param(by.as_str()));
    let sql = format!(
        "SELECT v.o_origin, v.o_media_id FROM mmr.impose_quarantine(ARRAY( \
             SELECT DISTINCT m.blob FROM mmr.media m JOIN mmr.blobs b ON b.id = m.blob WHERE {} \
         ), {at}, {by}, {origins}) v",
        conditions.sql(),
    );
    (sql, conditions)
}

fn lift(conditions: Conditions<'_>) -> (String, Conditions<'_>) {
    let sql = format!(
        "SELECT v.o_origin, v.o_media_id FROM mmr.lift_quarantine(ARRAY( \
             SELECT m.id FROM mmr.media m JOIN mmr.blobs b ON b.id = m.blob WHERE {} \
         )) v",
        conditions.sql(),
    );
    (sql, conditions)
}

const ATTRIBUTES: &str = "SELECT pinned FROM mmr.media WHERE origin = $1 AND media_id = $2";

const SET_ATTRIBUTES: &str =
    "UPDATE mmr.media SET pinned = $3 WHERE origin = $1 AND media_id = $2 RETURNING 1";
