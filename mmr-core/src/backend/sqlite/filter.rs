//! From a [`MediaFilter`] to SQL.

use rusqlite::types::Value;

use super::row::{int, millis};
use crate::{
    store::{MediaFilter, StoreError},
    types::{Mxc, Timestamp},
};

/// Conditions on `media m` and `blobs b`, and what they are about.
#[derive(Debug)]
pub(super) struct Conditions {
    sql: String,
    params: Vec<Value>,
}

impl Conditions {
    pub(super) fn of(filter: &MediaFilter) -> Result<Self, StoreError> {
        let MediaFilter {
            mxcs,
            origin,
            not_origins,
            uploader,
            hash,
            after,
            created_before,
            unused_since,
            expired_at,
            larger_than,
            quarantined,
            not_pinned,
        } = filter;
        let time = |at: Timestamp| Value::from(millis(at));
        let mut all = Self { sql: "1".to_owned(), params: Vec::new() };
        if let Some(mxcs) = mxcs {
            let pairs: Vec<_> = mxcs.iter().map(pair).collect();
            all.and(
                "(m.origin, m.media_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))",
                [json(&pairs)?],
            );
        }
        if let Some(origin) = origin {
            all.and("m.origin = ?", [text(origin)]);
        }
        if !not_origins.is_empty() {
            all.and("m.origin NOT IN (SELECT value FROM json_each(?))", [json(not_origins)?]);
        }
        if let Some(user) = uploader {
            all.and("m.uploader = ?", [text(user)]);
        }
        if let Some(hash) = hash {
            all.and("m.blob = (SELECT id FROM blobs WHERE hash = ?)", [hash.as_bytes().to_vec().into()]);
        }
        if let Some((created, mxc)) = after {
            // The first is for the indexes that end with the time.
            all.and(
                "m.created >= ? AND (m.created, m.origin, m.media_id) > (?, ?, ?)",
                [time(*created), time(*created), text(&mxc.origin()), text(&mxc.media_id())],
            );
        }
        if let Some(before) = created_before {
            all.and("m.created < ?", [time(*before)]);
        }
        if let Some(before) = unused_since {
            all.and("m.created < ? AND b.last_read < ?", [time(*before), time(*before)]);
        }
        if let Some(at) = expired_at {
            all.and("m.expires <= ?", [time(*at)]);
        }
        if let Some(size) = larger_than {
            all.and("b.size > ?", [int(*size).into()]);
        }
        match quarantined {
            Some(true) => all.and("m.quarantined_at IS NOT NULL", []),
            Some(false) => all.and("m.quarantined_at IS NULL", []),
            None => {}
        }
        if *not_pinned {
            all.and("m.pinned = 0", []);
        }
        Ok(all)
    }

    /// Adds a condition.
    pub(super) fn and<const N: usize>(&mut self, condition: &str, params: [Value; N]) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.params.extend(params);
    }

    /// The conditions, to stand behind `WHERE`, with a `?` for each parameter.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// The parameters, in order, with others before and behind.
    pub(super) fn params(
        self,
        before: impl IntoIterator<Item = Value>,
        behind: impl IntoIterator<Item = Value>,
    ) -> Vec<Value> {
        before.into_iter().chain(self.params).chain(behind).collect()
    }
}

/// A list as one parameter, so that the number of parameters does not depend on the list.
pub(super) fn json(list: &[impl AsJson]) -> Result<Value, StoreError> {
    let list: Vec<_> = list.iter().map(AsJson::as_json).collect();
    serde_json::to_string(&list).map(Value::from).map_err(|error| StoreError::Other(error.into()))
}

/// What can stand in a JSON list.
pub(super) trait AsJson {
    fn as_json(&self) -> serde_json::Value;
}

impl AsJson for [&str; 2] {
    fn as_json(&self) -> serde_json::Value {
        self.as_slice().into()
    }
}

impl AsJson for ruma::OwnedServerName {
    fn as_json(&self) -> serde_json::Value {
        self.as_str().into()
    }
}

fn pair(mxc: &Mxc) -> [&str; 2] {
    [mxc.origin().as_str(), mxc.media_id().as_str()]
}

fn text(text: &impl ToString) -> Value {
    text.to_string().into()
}
