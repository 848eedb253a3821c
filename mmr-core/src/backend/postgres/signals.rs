use std::borrow::Cow;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::{
    PostgresStore,
    row::{Columns, values},
};
use crate::store::{Signal, Signals, StoreError};

/// To all nodes on the database.
#[async_trait]
impl Signals for PostgresStore {
    async fn publish(&self, signal: &Signal) -> Result<(), StoreError> {
        let payload = encode(signal);
        let rows = self.pool().write(PUBLISH, &values![&*payload]).await?;
        if let Some(row) = rows.first() {
            let id = Columns::of("signals", row).get()?;
            self.news().published(id, signal).await;
        }
        Ok(())
    }

    fn subscribe(&self) -> BoxStream<'static, Signal> {
        self.news().subscribe()
    }
}

const PUBLISH: &str = "SELECT mmr.publish($1)";
pub(super) const NEWEST: &str = "SELECT coalesce(max(id), 0) FROM mmr.signals";
/// The newest number, and what came after a number: one row at least.
pub(super) const SINCE: &str = "SELECT n.newest, s.id, s.payload
    FROM (SELECT coalesce(max(id), 0) AS newest FROM mmr.signals) n
    LEFT JOIN LATERAL (SELECT id, payload FROM mmr.signals WHERE id > $1 ORDER BY id LIMIT $2) s ON true";

fn encode(signal: &Signal) -> Cow<'static, str> {
    match signal {
        Signal::Uploaded(mxc) => format!("uploaded {mxc}").into(),
        Signal::MediaChanged(mxc) => format!("changed {mxc}").into(),
        Signal::AllMediaChanged => "changed".into(),
        Signal::LoggedOut(user) => format!("logged_out {user}").into(),
        Signal::Lost => "lost".into(),
    }
}

/// What a node of another version says and we do not understand is something missed.
pub(super) fn decode(payload: &str) -> Signal {
    let known = match payload.split_once(' ') {
        Some(("uploaded", mxc)) => mxc.parse().ok().map(Signal::Uploaded),
        Some(("changed", mxc)) => mxc.parse().ok().map(Signal::MediaChanged),
        Some(("logged_out", user)) => user.try_into().ok().map(Signal::LoggedOut),
        None if payload == "changed" => Some(Signal::AllMediaChanged),
        _ => None,
    };
    known.unwrap_or(Signal::Lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_comes_back_as_it_was() {
        let mxc: crate::types::Mxc = "mxc://example.org/abc".parse().unwrap();
        for signal in [
            Signal::Uploaded(mxc.clone()),
            Signal::MediaChanged(mxc),
            Signal::AllMediaChanged,
            Signal::LoggedOut("@a:example.org".try_into().unwrap()),
            Signal::Lost,
        ] {
            assert_eq!(decode(&encode(&signal)), signal);
        }
    }

    #[test]
    fn what_is_not_understood_is_something_missed() {
        for payload in ["", "changed mxc://", "renamed mxc://example.org/abc"] {
            assert_eq!(decode(payload), Signal::Lost, "{payload:?}");
        }
    }
}
