//! What is known about an MXC URI.

use std::sync::Arc;

use super::{MediaRecord, Reservation};

/// The answer to "what is behind this MXC URI?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Bytes are stored.
    Stored(Arc<MediaRecord>),
    /// The name was handed out, the bytes have not come yet (MSC2246). May have expired: compare with the clock.
    Reserved(Reservation),
    /// Never heard of.
    Unknown,
}
