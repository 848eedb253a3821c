//! Who has how much.

use std::fmt;

use async_trait::async_trait;
use ruma::{OwnedUserId, ServerName, UserId};

use super::StoreError;

/// Sums over media. Media sharing a blob counts each time.
#[async_trait]
pub trait UsageIndex: fmt::Debug + Send + Sync + 'static {
    /// What `user` has uploaded. Cheap: sums are kept, not computed.
    async fn usage_of_user(&self, user: &UserId) -> Result<MediaUsage, StoreError>;

    /// What is stored of `origin`, thumbnails not counted.
    async fn usage_of_server(&self, origin: &ServerName) -> Result<MediaUsage, StoreError>;

    /// Users whose ID is of `origin` with what they have uploaded, ordered by user ID, behind `after`, at most `limit`.
    /// Users who have nothing are left out.
    async fn usage_by_user(
        &self,
        origin: &ServerName,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Vec<UserUsage>, StoreError>;
}

/// A sum over media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediaUsage {
    /// Number of media.
    pub files: u64,
    /// Total size in bytes.
    pub bytes: u64,
}

/// What one user has uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserUsage {
    /// The user.
    pub user: OwnedUserId,
    /// Their sum.
    pub usage: MediaUsage,
}
