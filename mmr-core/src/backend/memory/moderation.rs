use std::collections::HashSet;

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    store::{Attributes, MediaFilter, ModerationIndex, Quarantine, StoreError},
    types::{ContentHash, Mxc},
};

#[async_trait]
impl ModerationIndex for MemoryStore {
    async fn set_quarantine(
        &self,
        filter: &MediaFilter,
        quarantine: &Quarantine,
    ) -> Result<Vec<Mxc>, StoreError> {
        let mut state = self.state();
        let matching: HashSet<Mxc> = state
            .media
            .iter()
            .filter(|(mxc, media)| state.matches(mxc, media, filter))
            .map(|(mxc, _)| mxc.clone())
            .collect();
        let mut changed = Vec::new();
        match quarantine {
            Quarantine::Impose { by: _, at: _, only_origins } => {
                let allowed = |mxc: &Mxc| {
                    only_origins.as_ref().is_none_or(|origins| origins.iter().any(|o| o == mxc.origin()))
                };
                let hashes: HashSet<ContentHash> =
                    matching.iter().filter(|mxc| allowed(mxc)).map(|mxc| state.media[mxc].hash).collect();
                for (mxc, media) in &mut state.media {
                    if hashes.contains(&media.hash) && allowed(mxc) && !media.pinned && !media.quarantined {
                        media.quarantined = true;
                        changed.push(mxc.clone());
                    }
                }
            }
            Quarantine::Lift => {
                for (mxc, media) in &mut state.media {
                    if matching.contains(mxc) && media.quarantined {
                        media.quarantined = false;
                        changed.push(mxc.clone());
                    }
                }
            }
        }
        Ok(changed)
    }

    async fn attributes(&self, mxc: &Mxc) -> Result<Option<Attributes>, StoreError> {
        Ok(self.state().media.get(mxc).map(|media| Attributes { pinned: media.pinned }))
    }

    async fn set_attributes(&self, mxc: &Mxc, attributes: &Attributes) -> Result<bool, StoreError> {
        let Attributes { pinned } = *attributes;
        let mut state = self.state();
        let media = state.media.get_mut(mxc);
        Ok(media.map(|media| media.pinned = pinned).is_some())
    }
}
