use std::{cmp::Reverse, sync::Arc};

use async_trait::async_trait;

use super::{Media, MemoryStore, State};
use crate::{
    store::{
        Inserted, MediaFilter, MediaIndex, MediaUsage, NewBlob, NewMedia, Order, Page, Refusal, Removed,
        StoreError, UploadFacts, UploadProbe,
    },
    types::{ContentHash, Lookup, MediaRecord, Mxc, Timestamp},
};

#[async_trait]
impl MediaIndex for MemoryStore {
    async fn lookup(&self, mxc: &Mxc) -> Result<Lookup, StoreError> {
        Ok(self.state().lookup(mxc))
    }

    async fn upload_facts(&self, probe: &UploadProbe) -> Result<UploadFacts, StoreError> {
        let state = self.state();
        let same = state
            .media_of(probe.hash)
            .filter(|(mxc, media)| {
                mxc.origin() == probe.origin
                    && probe.uploader.is_some()
                    && media.uploader == probe.uploader
                    && media.content_type == probe.content_type
                    && media.file_name == probe.file_name
                    && media.restriction.is_none()
                    && media.expires.is_none()
            })
            .min_by_key(|(mxc, media)| (media.created, *mxc));
        Ok(UploadFacts {
            quarantined: state.is_quarantined(probe.hash),
            blob: state.blobs.get(&probe.hash).map(|blob| blob.record.clone()),
            same: same.map(|(mxc, media)| state.media_record(mxc, media)),
            usage: probe.uploader.as_ref().map(|user| state.usage_of_user(user)).unwrap_or_default(),
        })
    }

    async fn insert(&self, media: &NewMedia) -> Result<Inserted, StoreError> {
        self.state().insert(media)
    }

    async fn list(&self, filter: &MediaFilter, page: &Page) -> Result<Vec<MediaRecord>, StoreError> {
        let state = self.state();
        let mut found: Vec<(&Mxc, &Media)> =
            state.media.iter().filter(|(mxc, media)| state.matches(mxc, media, filter)).collect();
        let key = |(_, media): &(&Mxc, &Media)| match page.order {
            Order::Created => media.created.as_millis(),
            Order::Size => state.blob(&media.hash).record.size,
            Order::LastRead => state.last_read(media).as_millis(),
            Order::Mxc => 0,
        };
        // The map yields MXC URIs in order, and sorting is stable.
        match (page.descending, page.order) {
            (false, _) => found.sort_by_key(key),
            (true, Order::Mxc) => found.reverse(),
            (true, _) => found.sort_by_key(|entry| Reverse(key(entry))),
        }
        let offset = usize::try_from(page.offset).unwrap_or(usize::MAX);
        let page = found.into_iter().skip(offset).take(page.limit as usize);
        Ok(page.map(|(mxc, media)| state.media_record(mxc, media)).collect())
    }

    async fn remove(&self, filter: &MediaFilter, limit: u32, now: Timestamp) -> Result<Removed, StoreError> {
        let mut state = self.state();
        let by_expiry = |media: &Media| media.expires.filter(|_| filter.expired_at.is_some());
        let mut found: Vec<(Option<Timestamp>, Timestamp, Mxc)> = state
            .media
            .iter()
            .filter(|(mxc, media)| state.matches(mxc, media, filter))
            .map(|(mxc, media)| (by_expiry(media), media.created, mxc.clone()))
            .collect();
        found.sort();
        found.truncate(limit as usize);
        for (.., mxc) in &found {
            state.media.remove(mxc);
        }
        let (blobs, bytes) = state.sweep(now);
        Ok(Removed { mxcs: found.into_iter().map(|(.., mxc)| mxc).collect(), blobs, bytes })
    }

    async fn touch(&self, seen: &[(ContentHash, Timestamp)]) -> Result<(), StoreError> {
        let mut state = self.state();
        for (hash, at) in seen {
            if let Some(blob) = state.blobs.get_mut(hash) {
                blob.last_read = blob.last_read.max(*at);
            }
        }
        Ok(())
    }
}

impl State {
    pub(super) fn lookup(&self, mxc: &Mxc) -> Lookup {
        if let Some(media) = self.media.get(mxc) {
            Lookup::Stored(Arc::new(self.media_record(mxc, media)))
        } else if let Some(reservation) = self.reservations.get(mxc) {
            Lookup::Reserved(reservation.clone())
        } else {
            Lookup::Unknown
        }
    }

    fn insert(&mut self, new: &NewMedia) -> Result<Inserted, StoreError> {
        if let Some(refusal) = self.refusal(new) {
            return Ok(Inserted::Refused(refusal));
        }
        let Some(size) = self.size_of(&new.blob) else { return Ok(Inserted::BlobGone) };
        if self.exceeds_quota(new, size) {
            return Ok(Inserted::Refused(Refusal::QuotaExceeded));
        }
        let inserted = self.admit(&new.blob)?;
        let media = Media {
            hash: *new.blob.hash(),
            content_type: new.content_type.clone(),
            file_name: new.file_name.clone(),
            uploader: new.uploader.clone(),
            created: new.created,
            quarantined: false,
            pinned: false,
            requires_auth: new.requires_auth,
            restriction: new.restriction.clone(),
            expires: new.expires,
        };
        self.media.insert(new.mxc.clone(), media);
        self.reservations.remove(&new.mxc);
        Ok(inserted)
    }

    /// Checks 1 to 3 of [`MediaIndex::insert`].
    fn refusal(&self, new: &NewMedia) -> Option<Refusal> {
        let reservation = self.reservations.get(&new.mxc);
        if self.media.contains_key(&new.mxc) || (reservation.is_some() && !new.fills_reservation) {
            return Some(Refusal::Taken);
        }
        let may_fill =
            |r: &super::Reservation| Some(&r.owner) == new.uploader.as_ref() && !r.has_expired(new.created);
        if new.fills_reservation && !reservation.is_some_and(may_fill) {
            return Some(Refusal::NotReserved);
        }
        self.is_quarantined(*new.blob.hash()).then_some(Refusal::Quarantined)
    }

    /// The size of what would be stored or linked; `None` when there is nothing to link.
    fn size_of(&self, blob: &NewBlob) -> Option<u64> {
        match (self.blobs.get(blob.hash()), blob) {
            (Some(known), _) => Some(known.record.size),
            (None, NewBlob::Store(record)) => Some(record.size),
            (None, NewBlob::Link(_)) => None,
        }
    }

    fn exceeds_quota(&self, new: &NewMedia, size: u64) -> bool {
        let Some(uploader) = &new.uploader else { return false };
        let MediaUsage { files, bytes } = self.usage_of_user(uploader);
        new.quota.max_files.is_some_and(|max| files + 1 > max)
            || new.quota.max_bytes.is_some_and(|max| bytes.saturating_add(size) > max)
    }

    pub(super) fn is_quarantined(&self, hash: ContentHash) -> bool {
        self.media_of(hash).any(|(_, media)| media.quarantined)
    }

    pub(super) fn last_read(&self, media: &Media) -> Timestamp {
        self.blob(&media.hash).last_read.max(media.created)
    }

    pub(super) fn matches(&self, mxc: &Mxc, media: &Media, filter: &MediaFilter) -> bool {
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
        mxcs.as_ref().is_none_or(|mxcs| mxcs.contains(mxc))
            && origin.as_ref().is_none_or(|origin| origin == mxc.origin())
            && !not_origins.iter().any(|origin| origin == mxc.origin())
            && uploader.as_ref().is_none_or(|uploader| media.uploader.as_ref() == Some(uploader))
            && hash.is_none_or(|hash| media.hash == hash)
            && after.as_ref().is_none_or(|(created, name)| (media.created, mxc) > (*created, name))
            && created_before.is_none_or(|before| media.created < before)
            && unused_since.is_none_or(|before| self.last_read(media) < before)
            && expired_at.is_none_or(|at| media.expires.is_some_and(|expires| expires <= at))
            && larger_than.is_none_or(|size| self.blob(&media.hash).record.size > size)
            && quarantined.is_none_or(|quarantined| media.quarantined == quarantined)
            && !(*not_pinned && media.pinned)
    }
}
