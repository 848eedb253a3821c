//! Names handed out before their bytes (MSC2246).

use std::fmt;

use async_trait::async_trait;
use ruma::UserId;

use super::StoreError;
use crate::types::{Reservation, Timestamp};

/// Reservations.
#[async_trait]
pub trait UploadIndex: fmt::Debug + Send + Sync + 'static {
    /// Records a reservation, unless its name is in use, be it by an expired reservation, or its owner has
    /// `max_pending` unexpired ones at its time of creation already.
    /// Concurrent calls for one owner never exceed the limit together.
    async fn reserve(
        &self,
        reservation: &Reservation,
        max_pending: Option<u32>,
    ) -> Result<Reserved, StoreError>;

    /// Number of unexpired reservations of `owner` at `now`.
    async fn pending(&self, owner: &UserId, now: Timestamp) -> Result<u32, StoreError>;

    /// Removes up to `limit` reservations that have expired at `now`, those first that expired first. Answers how many.
    async fn expire(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError>;
}

/// What became of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// Recorded.
    Reserved,
    /// Nothing recorded: the owner has too many already.
    TooManyPending,
    /// Nothing recorded: the name is in use.
    Taken,
}
