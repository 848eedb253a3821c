use std::collections::BTreeMap;

use async_trait::async_trait;
use ruma::{OwnedUserId, ServerName, UserId};

use super::{Media, MemoryStore, State};
use crate::{
    store::{MediaUsage, StoreError, UsageIndex, UserUsage},
    types::Mxc,
};

#[async_trait]
impl UsageIndex for MemoryStore {
    async fn usage_of_user(&self, user: &UserId) -> Result<MediaUsage, StoreError> {
        Ok(self.state().usage_of_user(user))
    }

    async fn usage_of_server(&self, origin: &ServerName) -> Result<MediaUsage, StoreError> {
        Ok(self.state().usage(|mxc, _| mxc.origin() == origin))
    }

    async fn usage_by_user(
        &self,
        origin: &ServerName,
        after: Option<&UserId>,
        limit: u32,
    ) -> Result<Vec<UserUsage>, StoreError> {
        let state = self.state();
        let mut sums: BTreeMap<OwnedUserId, MediaUsage> = BTreeMap::new();
        for user in state.media.values().filter_map(|media| media.uploader.as_ref()) {
            if user.server_name() == origin && after.is_none_or(|after| user.as_str() > after.as_str()) {
                sums.entry(user.clone()).or_insert_with(|| state.usage_of_user(user));
            }
        }
        let page = sums.into_iter().take(limit as usize);
        Ok(page.map(|(user, usage)| UserUsage { user, usage }).collect())
    }
}

impl State {
    pub(super) fn usage_of_user(&self, user: &UserId) -> MediaUsage {
        self.usage(|_, media| media.uploader.as_deref() == Some(user))
    }

    fn usage(&self, counts: impl Fn(&Mxc, &Media) -> bool) -> MediaUsage {
        let media = self.media.iter().filter(|(mxc, media)| counts(mxc, media));
        media.fold(MediaUsage::default(), |sum, (_, media)| MediaUsage {
            files: sum.files + 1,
            bytes: sum.bytes + self.blob(&media.hash).record.size,
        })
    }
}
