//! News that nodes tell each other.

use std::fmt;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use ruma::OwnedUserId;

use super::StoreError;
use crate::types::Mxc;

/// A bulletin board that all nodes on one store read.
#[async_trait]
pub trait Signals: fmt::Debug + Send + Sync + 'static {
    /// Tells everybody who is subscribed, this node included.
    async fn publish(&self, signal: &Signal) -> Result<(), StoreError>;

    /// What is published from now on, in order. A subscriber that falls behind or loses its connection gets
    /// [`Signal::Lost`] in place of what it missed.
    fn subscribe(&self) -> BoxStream<'static, Signal>;
}

/// News.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Bytes came for a reserved name: wake who waits for them.
    Uploaded(Mxc),
    /// What is cached about this media no longer holds.
    MediaChanged(Mxc),
    /// What is cached about any media no longer holds.
    AllMediaChanged,
    /// Tokens of this user were revoked.
    LoggedOut(OwnedUserId),
    /// Something was missed: nothing cached can be trusted.
    Lost,
}
