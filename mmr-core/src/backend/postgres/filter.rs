//! From a [`MediaFilter`] to SQL.

use super::row::{Value, int, texts};
use crate::{
    store::MediaFilter,
    types::{Mxc, Timestamp},
};

/// Conditions on `media m` and `blobs b`, and the parameters of the whole statement around them.
#[derive(Debug)]
pub(super) struct Conditions<'a> {
    sql: String,
    params: Vec<Value<'a>>,
}

impl<'a> Conditions<'a> {
    pub(super) fn of(filter: &'a MediaFilter) -> Self {
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
        let mut all = Self { sql: "true".to_owned(), params: Vec::new() };
        if let Some(mxcs) = mxcs {
            let origins = all.param(texts(mxcs.iter().map(|mxc| mxc.origin().as_str())));
            let ids = all.param(texts(mxcs.iter().map(|mxc| mxc.media_id().as_str())));
            all.and(&format!("(m.origin, m.media_id) IN (SELECT * FROM unnest({origins}, {ids}))"));
        }
        if let Some(origin) = origin {
            all.and_with("m.origin =", origin.as_str());
        }
        if !not_origins.is_empty() {
            let origins = all.param(texts(not_origins.iter().map(|origin| origin.as_str())));
            all.and(&format!("m.origin <> ALL ({origins})"));
        }
        if let Some(user) = uploader {
            all.and_with("m.uploader =", user.as_str());
        }
        if let Some(hash) = hash {
            all.and_with("b.hash =", hash);
        }
        if let Some((created, mxc)) = after {
            all.behind(*created, mxc);
        }
        if let Some(before) = created_before {
            all.and_with("m.created <", *before);
        }
        if let Some(before) = unused_since {
            all.and_with("m.created <", *before);
            all.and_with("b.last_read <", *before);
        }
        if let Some(at) = expired_at {
            all.and_with("m.expires <=", *at);
        }
        if let Some(size) = larger_than {
            all.and_with("b.size >", int(*size));
        }
        match quarantined {
            Some(true) => all.and("m.quarantined_at IS NOT NULL"),
            Some(false) => all.and("m.quarantined_at IS NULL"),
            None => {}
        }
        if *not_pinned {
            all.and("NOT m.pinned");
        }
        all
    }

    /// Adds a parameter, and answers what stands for it.
    pub(super) fn param(&mut self, value: impl Into<Value<'a>>) -> String {
        self.params.push(value.into());
        format!("${}", self.params.len())
    }

    /// Adds a condition.
    pub(super) fn and(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }

    fn behind(&mut self, created: Timestamp, mxc: &'a Mxc) {
        let time = self.param(created);
        let (origin, id) = (self.param(mxc.origin().as_str()), self.param(mxc.media_id().as_str()));
        self.and(&format!("(m.created, m.origin, m.media_id) > ({time}, {origin}, {id})"));
    }

    /// Adds that nothing comes behind this media in the order of time and name.
    pub(super) fn up_to(&mut self, (created, mxc): &'a (Timestamp, Mxc)) {
        let time = self.param(*created);
        let (origin, id) = (self.param(mxc.origin().as_str()), self.param(mxc.media_id().as_str()));
        self.and(&format!("(m.created, m.origin, m.media_id) <= ({time}, {origin}, {id})"));
    }

    fn and_with(&mut self, condition: &str, value: impl Into<Value<'a>>) {
        let param = self.param(value);
        self.and(&format!("{condition} {param}"));
    }

    /// The conditions, to stand behind `WHERE`.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// The parameters, in order.
    pub(super) fn params(&self) -> &[Value<'a>] {
        &self.params
    }
}
