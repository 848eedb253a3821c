//! Sources of which no thumbnail could be made: each costs a rendering once.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use crate::{Error, policy::ThumbnailPolicy, types::ContentHash};

/// After this long a source gets another chance: a crash or a missed deadline may have been the machine's fault.
const TTL: Duration = Duration::from_hours(1);
const CAPACITY: u64 = 20_000;

/// Remembers failures that would repeat.
#[derive(Debug)]
pub(crate) struct Failures(moka::sync::Cache<Key, Failure>);

/// The source, and a digest of the limits under which it failed.
type Key = (ContentHash, u64);

#[derive(Clone, Debug)]
enum Failure {
    NotThumbnailable(String),
    TooLarge { limit: u64, unit: &'static str },
}

impl Failures {
    pub(crate) fn new() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(CAPACITY).time_to_live(TTL).build())
    }

    /// Fails as it did before.
    pub(super) fn check(&self, source: ContentHash, policy: &ThumbnailPolicy) -> Result<(), Error> {
        match self.0.get(&key(source, policy)) {
            None => Ok(()),
            Some(Failure::NotThumbnailable(why)) => Err(Error::NotThumbnailable(why)),
            Some(Failure::TooLarge { limit, unit }) => Err(Error::TooLarge { limit, unit }),
        }
    }

    /// Remembers what would repeat, and nothing else.
    pub(super) fn note(&self, source: ContentHash, policy: &ThumbnailPolicy, error: &Error) {
        let failure = match error {
            Error::NotThumbnailable(why) => Failure::NotThumbnailable(why.clone()),
            Error::TooLarge { limit, unit } => Failure::TooLarge { limit: *limit, unit },
            _ => return,
        };
        self.0.insert(key(source, policy), failure);
    }
}

fn key(source: ContentHash, policy: &ThumbnailPolicy) -> Key {
    let mut digest = DefaultHasher::new();
    (policy.max_pixels, policy.max_source_bytes, &policy.types).hash(&mut digest);
    (source, digest.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Hasher;

    #[test]
    fn what_would_repeat_is_remembered_for_the_limits_under_which_it_failed() {
        let (failures, policy) = (Failures::new(), ThumbnailPolicy::default());
        let source = Hasher::digest(b"bomb").hash;
        failures.check(source, &policy).unwrap();
        failures.note(source, &policy, &Error::TooLarge { limit: 5, unit: "pixels" });
        let again = failures.check(source, &policy);
        assert!(matches!(again, Err(Error::TooLarge { limit: 5, unit: "pixels" })), "{again:?}");
        failures.check(source, &ThumbnailPolicy { max_pixels: 1, ..policy }).unwrap();
    }

    #[test]
    fn what_passes_by_itself_is_not_remembered() {
        let (failures, policy) = (Failures::new(), ThumbnailPolicy::default());
        let source = Hasher::digest(b"picture").hash;
        failures.note(source, &policy, &Error::Busy { retry_after: Duration::from_secs(1) });
        failures.note(source, &policy, &Error::Internal("no worker"));
        failures.check(source, &policy).unwrap();
    }
}
