//! Quarantine and attributes.

use std::fmt;

use async_trait::async_trait;
use ruma::OwnedUserId;

use super::{MediaFilter, StoreError};
use crate::types::{Mxc, Timestamp};

/// What moderators say about media.
#[async_trait]
pub trait ModerationIndex: fmt::Debug + Send + Sync + 'static {
    /// Imposes quarantine on the media that matches `filter` and on all media with the same bytes, whatever its name;
    /// pinned media is spared, but not its unpinned copies. Or lifts the quarantine of just the media that matches,
    /// pinned or not. Answers the names whose state changed, in order.
    async fn set_quarantine(
        &self,
        filter: &MediaFilter,
        quarantine: &Quarantine,
    ) -> Result<Vec<Mxc>, StoreError>;

    /// The attributes of media; `None` when there is no such media.
    async fn attributes(&self, mxc: &Mxc) -> Result<Option<Attributes>, StoreError>;

    /// Replaces the attributes of media. False when there is no such media.
    async fn set_attributes(&self, mxc: &Mxc, attributes: &Attributes) -> Result<bool, StoreError>;
}

/// A verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quarantine {
    /// Withdraw.
    Impose {
        /// The moderator.
        by: OwnedUserId,
        /// Now.
        at: Timestamp,
        /// Only media of servers in this list, when it is given: what a homeserver's own moderators may touch. Other
        /// media does not count as matching the filter either.
        only_origins: Option<Vec<ruma::OwnedServerName>>,
    },
    /// Give back.
    Lift,
}

/// Attributes that operators set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Neither retention nor quarantine touches it.
    pub pinned: bool,
}
