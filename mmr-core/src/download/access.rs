//! The one rule that decides who may have a media record.

use crate::{
    Error, Result,
    policy::ServerPolicy,
    types::{Caller, MediaRecord, Timestamp},
};

/// Whether `caller` may have `record` at `now`.
///
/// The order matters: what is gone is gone for everybody, and a frozen record looks the same to a stranger whether it
/// is quarantined or not.
pub(crate) fn check(record: &MediaRecord, caller: &Caller, now: Timestamp) -> Result<()> {
    if record.expires.is_some_and(|expires| now >= expires) {
        return Err(Error::NotFound);
    }
    if record.requires_auth && !caller.is_authenticated() {
        return Err(Error::AuthRequired);
    }
    if record.quarantined {
        return Err(Error::Quarantined);
    }
    // No kind of restriction is understood yet (MSC3911), and what is not understood denies.
    if record.restriction.is_some() {
        return Err(Error::NotFound);
    }
    Ok(())
}

/// Whether media may be fetched from another server for `caller`, who allows it or not: never for other servers, and not
/// for strangers, who would not get it.
pub(crate) fn check_fetch(caller: &Caller, allowed: bool, policy: &ServerPolicy) -> Result<()> {
    match caller {
        Caller::Server(_) => Err(Error::NotFound),
        Caller::Anonymous if policy.uploads.freeze => Err(Error::AuthRequired),
        _ if allowed => Ok(()),
        _ => Err(Error::NotFound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{
        BlobKey, BlobLocation, BlobRecord, ContentType, DatastoreId, Hasher, Mxc, Restriction,
    };

    fn record() -> MediaRecord {
        let location = BlobLocation { datastore: DatastoreId::parse("d").unwrap(), key: BlobKey::generate() };
        MediaRecord {
            mxc: Mxc::from_parts("example.org", "a").unwrap(),
            blob: BlobRecord { hash: Hasher::digest(b"").hash, checksum: None, size: 0, location },
            content_type: ContentType::default(),
            file_name: None,
            uploader: None,
            created: Timestamp::EPOCH,
            quarantined: false,
            requires_auth: true,
            restriction: None,
            expires: None,
        }
    }

    fn guest() -> Caller {
        Caller::User { id: ruma::owned_user_id!("@guest:example.org"), guest: true }
    }

    const NOW: Timestamp = Timestamp::from_millis(1000);

    #[test]
    fn frozen_media_is_for_the_authenticated_guests_included() {
        assert!(matches!(check(&record(), &Caller::Anonymous, NOW), Err(Error::AuthRequired)));
        assert!(check(&record(), &guest(), NOW).is_ok());
        assert!(check(&record(), &Caller::Server(ruma::owned_server_name!("x.org")), NOW).is_ok());
    }

    #[test]
    fn media_from_before_the_freeze_is_for_everybody() {
        let public = MediaRecord { requires_auth: false, ..record() };
        assert!(check(&public, &Caller::Anonymous, NOW).is_ok());
    }

    #[test]
    fn quarantined_media_is_for_nobody() {
        let quarantined = MediaRecord { quarantined: true, ..record() };
        assert!(matches!(check(&quarantined, &guest(), NOW), Err(Error::Quarantined)));
        let admin = Caller::Admin(ruma::owned_user_id!("@admin:example.org"));
        assert!(matches!(check(&quarantined, &admin, NOW), Err(Error::Quarantined)));
    }

    #[test]
    fn a_restriction_that_is_not_understood_denies() {
        let restricted = MediaRecord { restriction: Some(Restriction::new("{}")), ..record() };
        assert!(matches!(check(&restricted, &guest(), NOW), Err(Error::NotFound)));
    }

    #[test]
    fn media_is_fetched_for_users_who_allow_it_and_for_nobody_else() {
        let frozen = ServerPolicy::default();
        let mut open = ServerPolicy::default();
        open.uploads.freeze = false;
        assert!(check_fetch(&guest(), true, &frozen).is_ok());
        assert!(check_fetch(&guest(), false, &frozen).is_err());
        assert!(check_fetch(&Caller::Anonymous, true, &frozen).is_err());
        assert!(check_fetch(&Caller::Anonymous, true, &open).is_ok());
        assert!(check_fetch(&Caller::Server(ruma::owned_server_name!("x.org")), true, &open).is_err());
    }

    #[test]
    fn expired_media_does_not_exist() {
        let expired = MediaRecord { expires: Some(NOW), ..record() };
        assert!(matches!(check(&expired, &guest(), NOW), Err(Error::NotFound)));
    }
}
