//! Hot media records in memory, in front of [`MediaIndex::lookup`](crate::store::MediaIndex::lookup).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::types::{MediaRecord, Mxc};

/// Bounded and never stale for what this node changes: a change forgets the record at once, and a lookup that was
/// under way when something changed is not kept. Changes by other nodes come as signals. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RecordCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    records: moka::sync::Cache<Mxc, Arc<MediaRecord>>,
    changes: AtomicU64,
}

/// Proof of the moment at which a lookup began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket(u64);

impl RecordCache {
    pub(crate) fn new(capacity: u64) -> Self {
        Self(Arc::new(Inner { records: moka::sync::Cache::new(capacity), changes: AtomicU64::new(0) }))
    }

    pub(crate) fn get(&self, mxc: &Mxc) -> Option<Arc<MediaRecord>> {
        self.0.records.get(mxc)
    }

    /// To be taken before the lookup whose answer is to be kept.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket(self.0.changes.load(Ordering::Acquire))
    }

    pub(crate) fn keep(&self, ticket: Ticket, record: &Arc<MediaRecord>) {
        if self.0.changes.load(Ordering::Acquire) != ticket.0 {
            return;
        }
        self.0.records.insert(record.mxc.clone(), Arc::clone(record));
        // A change between the check and the insert must win.
        if self.0.changes.load(Ordering::Acquire) != ticket.0 {
            self.0.records.invalidate(&record.mxc);
        }
    }

    pub(crate) fn forget(&self, mxc: &Mxc) {
        self.0.changes.fetch_add(1, Ordering::AcqRel);
        self.0.records.invalidate(mxc);
    }

    pub(crate) fn forget_all(&self) {
        self.0.changes.fetch_add(1, Ordering::AcqRel);
        self.0.records.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{BlobKey, BlobLocation, BlobRecord, ContentType, DatastoreId, Hasher, Timestamp};

    fn record() -> Arc<MediaRecord> {
        let location = BlobLocation { datastore: DatastoreId::parse("d").unwrap(), key: BlobKey::generate() };
        Arc::new(MediaRecord {
            mxc: Mxc::from_parts("example.org", "a").unwrap(),
            blob: BlobRecord { hash: Hasher::digest(b"").hash, checksum: None, size: 0, location },
            content_type: ContentType::default(),
            file_name: None,
            uploader: None,
            created: Timestamp::EPOCH,
            quarantined: false,
            requires_auth: false,
            restriction: None,
            expires: None,
        })
    }

    #[test]
    fn a_record_is_kept_until_it_is_forgotten() {
        let (cache, record) = (RecordCache::new(10), record());
        cache.keep(cache.ticket(), &record);
        assert_eq!(cache.get(&record.mxc), Some(Arc::clone(&record)));
        cache.forget(&record.mxc);
        assert_eq!(cache.get(&record.mxc), None);
    }

    #[test]
    fn a_lookup_that_began_before_a_change_is_not_kept() {
        let (cache, record) = (RecordCache::new(10), record());
        let ticket = cache.ticket();
        cache.forget(&record.mxc);
        cache.keep(ticket, &record);
        assert_eq!(cache.get(&record.mxc), None);
    }
}
