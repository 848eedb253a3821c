use async_trait::async_trait;
use ruma::UserId;

use super::{MemoryStore, State};
use crate::{
    store::{Reserved, StoreError, UploadIndex},
    types::{Mxc, Reservation, Timestamp},
};

#[async_trait]
impl UploadIndex for MemoryStore {
    async fn reserve(
        &self,
        reservation: &Reservation,
        max_pending: Option<u32>,
    ) -> Result<Reserved, StoreError> {
        let mut state = self.state();
        let mxc = &reservation.mxc;
        if state.media.contains_key(mxc) || state.reservations.contains_key(mxc) {
            return Ok(Reserved::Taken);
        }
        let pending = state.pending(&reservation.owner, reservation.created);
        if max_pending.is_some_and(|max| pending >= max) {
            return Ok(Reserved::TooManyPending);
        }
        state.reservations.insert(mxc.clone(), reservation.clone());
        Ok(Reserved::Reserved)
    }

    async fn pending(&self, owner: &UserId, now: Timestamp) -> Result<u32, StoreError> {
        Ok(self.state().pending(owner, now))
    }

    async fn expire(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let mut state = self.state();
        let mut expired: Vec<(Timestamp, Mxc)> = state
            .reservations
            .values()
            .filter(|reservation| reservation.has_expired(now))
            .map(|reservation| (reservation.expires, reservation.mxc.clone()))
            .collect();
        expired.sort();
        expired.truncate(limit as usize);
        for (_, mxc) in &expired {
            state.reservations.remove(mxc);
        }
        Ok(u32::try_from(expired.len()).unwrap_or(u32::MAX))
    }
}

impl State {
    fn pending(&self, owner: &UserId, now: Timestamp) -> u32 {
        let pending = self.reservations.values().filter(|r| r.owner == owner && !r.has_expired(now)).count();
        u32::try_from(pending).unwrap_or(u32::MAX)
    }
}
