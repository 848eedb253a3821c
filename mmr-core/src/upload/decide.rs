//! What becomes of an upload: a pure function of facts and policy.

use crate::{
    Error,
    policy::UploadPolicy,
    store::{UploadFacts, UploadProbe},
    types::{BlobRecord, Mxc},
};

/// Uploading what moderators have withdrawn is refused, and says no more than that.
pub(super) const QUARANTINED: Error = Error::Forbidden("this file may not be uploaded");

#[derive(Debug)]
pub(super) enum Decision {
    Reject(Error),
    /// The same user uploaded just this before: the same name again.
    Reuse(Mxc),
    /// The bytes are stored already.
    Link(BlobRecord),
    Store,
}

pub(super) fn decide(
    facts: UploadFacts,
    policy: &UploadPolicy,
    probe: &UploadProbe,
    len: u64,
    into_reserved_name: bool,
) -> Decision {
    if facts.quarantined {
        return Decision::Reject(QUARANTINED);
    }
    if len < policy.min_bytes {
        return Decision::Reject(Error::TooSmall { limit: policy.min_bytes });
    }
    // Media from before the freeze is public; an upload after it must not be.
    if let Some(same) = facts.same
        && !into_reserved_name
        && same.requires_auth == policy.freeze
    {
        return Decision::Reuse(same.mxc);
    }
    if let Some(rule) = probe.uploader.as_ref().and_then(|user| policy.quota_for(user)) {
        let over_bytes = rule.cap.max_bytes.is_some_and(|max| facts.usage.bytes.saturating_add(len) > max);
        let over_files = rule.cap.max_files.is_some_and(|max| facts.usage.files >= max);
        if over_bytes || over_files {
            return Decision::Reject(Error::QuotaExceeded);
        }
    }
    facts.blob.map_or(Decision::Store, Decision::Link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        policy::QuotaRule,
        store::{MediaUsage, QuotaCap},
        types::{BlobKey, BlobLocation, ContentType, DatastoreId, Hasher, MediaRecord, Timestamp},
    };

    fn blob() -> BlobRecord {
        let location = BlobLocation { datastore: DatastoreId::parse("d").unwrap(), key: BlobKey::generate() };
        BlobRecord { hash: Hasher::digest(b"x").hash, checksum: None, size: 1, location }
    }

    fn same(requires_auth: bool) -> MediaRecord {
        MediaRecord {
            mxc: Mxc::from_parts("example.org", "old").unwrap(),
            blob: blob(),
            content_type: ContentType::default(),
            file_name: None,
            uploader: None,
            created: Timestamp::EPOCH,
            quarantined: false,
            requires_auth,
            restriction: None,
            expires: None,
        }
    }

    fn run(facts: UploadFacts, policy: &UploadPolicy, reserved: bool) -> Decision {
        let probe = UploadProbe {
            hash: Hasher::digest(b"x").hash,
            origin: ruma::owned_server_name!("example.org"),
            uploader: Some(ruma::owned_user_id!("@alice:example.org")),
            content_type: ContentType::default(),
            file_name: None,
        };
        decide(facts, policy, &probe, 10, reserved)
    }

    #[test]
    fn new_bytes_are_stored_and_known_bytes_linked() {
        let policy = UploadPolicy::default();
        assert!(matches!(run(UploadFacts::default(), &policy, false), Decision::Store));
        let known = UploadFacts { blob: Some(blob()), ..UploadFacts::default() };
        assert!(matches!(run(known, &policy, false), Decision::Link(_)));
    }

    #[test]
    fn quarantined_bytes_are_refused_even_when_the_user_had_them_before() {
        let facts = UploadFacts { quarantined: true, same: Some(same(true)), ..UploadFacts::default() };
        assert!(matches!(run(facts, &UploadPolicy::default(), false), Decision::Reject(Error::Forbidden(_))));
    }

    #[test]
    fn the_same_upload_again_gets_the_same_name() {
        let facts = UploadFacts { same: Some(same(true)), ..UploadFacts::default() };
        assert!(matches!(run(facts, &UploadPolicy::default(), false), Decision::Reuse(_)));
    }

    #[test]
    fn a_public_upload_from_before_the_freeze_is_not_reused() {
        let facts = UploadFacts { same: Some(same(false)), ..UploadFacts::default() };
        assert!(matches!(run(facts, &UploadPolicy::default(), false), Decision::Store));
    }

    #[test]
    fn a_reserved_name_is_filled_even_when_there_is_an_equal_upload() {
        let facts = UploadFacts { same: Some(same(true)), blob: Some(blob()), ..UploadFacts::default() };
        assert!(matches!(run(facts, &UploadPolicy::default(), true), Decision::Link(_)));
    }

    #[test]
    fn a_quota_counts_this_upload_too() {
        let with = |cap| UploadPolicy {
            quotas: vec![QuotaRule { users: "*".to_owned(), cap, max_pending: None }],
            ..UploadPolicy::default()
        };
        let facts = UploadFacts { usage: MediaUsage { files: 2, bytes: 90 }, ..UploadFacts::default() };
        let bytes = |max| with(QuotaCap { max_bytes: Some(max), max_files: None });
        let files = |max| with(QuotaCap { max_bytes: None, max_files: Some(max) });
        assert!(matches!(run(facts.clone(), &bytes(100), false), Decision::Store));
        assert!(matches!(run(facts.clone(), &bytes(99), false), Decision::Reject(Error::QuotaExceeded)));
        assert!(matches!(run(facts.clone(), &files(3), false), Decision::Store));
        assert!(matches!(run(facts, &files(2), false), Decision::Reject(Error::QuotaExceeded)));
    }

    #[test]
    fn an_upload_of_undeclared_length_can_still_be_too_small() {
        let policy = UploadPolicy { min_bytes: 11, ..UploadPolicy::default() };
        assert!(matches!(
            run(UploadFacts::default(), &policy, false),
            Decision::Reject(Error::TooSmall { limit: 11 })
        ));
    }
}
