//! Sources of which no thumbnail could be made, or the header not be read: each costs a rendering once.
//!
//! What a source says about itself stays as it is, and is believed for an hour. A crash or a missed deadline may have been
//! the machine's doing (somebody killed the worker, or memory or time was short), so that the source gets another chance after
//! some minutes: soon enough for those who look at the picture, and a source that crashes every worker still costs no more
//! than one of them every few minutes.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::{Duration, Instant},
};

use super::RenderError;
use crate::{Error, policy::ThumbnailPolicy, types::ContentHash};

const CERTAIN: Duration = Duration::from_hours(1);
const DOUBTFUL: Duration = Duration::from_mins(5);
const CAPACITY: u64 = 20_000;

/// Remembers failures that would repeat.
#[derive(Debug)]
pub(crate) struct Failures(moka::sync::Cache<Key, Failure>);

/// The source, and a digest of the limits under which it failed.
type Key = (ContentHash, u64);

#[derive(Clone, Debug)]
struct Failure {
    answer: Answer,
    lasts: Duration,
}

#[derive(Clone, Debug)]
enum Answer {
    NotThumbnailable(String),
    TooLarge { limit: u64, unit: &'static str },
}

impl Failures {
    pub(crate) fn new() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(CAPACITY).expire_after(Lifetimes).build())
    }

    /// Fails as it did before.
    pub(super) fn check(&self, source: ContentHash, policy: &ThumbnailPolicy) -> Result<(), Error> {
        match self.0.get(&key(source, policy)).map(|failure| failure.answer) {
            None => Ok(()),
            Some(Answer::NotThumbnailable(why)) => Err(Error::NotThumbnailable(why)),
            Some(Answer::TooLarge { limit, unit }) => Err(Error::TooLarge { limit, unit }),
        }
    }

    /// Whether reading the header of so many bytes of a source has failed before.
    pub(super) fn has_no_header(&self, source: ContentHash, bytes: u64) -> bool {
        self.0.contains_key(&header_key(source, bytes))
    }

    /// Remembers that reading the header of so many bytes of a source crashed or took too long. What stands in the way of
    /// that stands in the way of thumbnails, too.
    pub(super) fn note_header(
        &self,
        source: ContentHash,
        bytes: u64,
        policy: &ThumbnailPolicy,
        error: RenderError,
    ) {
        self.note(source, policy, error);
        if let Some(failure) = self.0.get(&key(source, policy)) {
            self.0.insert(header_key(source, bytes), failure);
        }
    }

    /// What becomes of a failed rendering for whoever waits for it. Remembers what would repeat, and nothing else.
    pub(super) fn note(&self, source: ContentHash, policy: &ThumbnailPolicy, error: RenderError) -> Error {
        let lasts = match error {
            RenderError::Crashed | RenderError::Deadline => DOUBTFUL,
            _ => CERTAIN,
        };
        let error = Error::from(error);
        let answer = match &error {
            Error::NotThumbnailable(why) => Answer::NotThumbnailable(why.clone()),
            Error::TooLarge { limit, unit } => Answer::TooLarge { limit: *limit, unit },
            _ => return error,
        };
        self.0.insert(key(source, policy), Failure { answer, lasts });
        error
    }
}

/// Each failure is remembered for as long as it says.
struct Lifetimes;

impl moka::Expiry<Key, Failure> for Lifetimes {
    fn expire_after_create(&self, _: &Key, failure: &Failure, _: Instant) -> Option<Duration> {
        Some(failure.lasts)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        failure: &Failure,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(failure.lasts)
    }
}

fn key(source: ContentHash, policy: &ThumbnailPolicy) -> Key {
    let mut digest = DefaultHasher::new();
    (policy.max_pixels, policy.max_source_bytes, &policy.types).hash(&mut digest);
    (source, digest.finish())
}

/// Apart from thumbnails: one that cannot be made says nothing of the header.
fn header_key(source: ContentHash, bytes: u64) -> Key {
    let mut digest = DefaultHasher::new();
    ("header", bytes).hash(&mut digest);
    (source, digest.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{stream::StreamError, types::Hasher};

    #[test]
    fn what_would_repeat_is_remembered_for_the_limits_under_which_it_failed() {
        let (failures, policy) = (Failures::new(), ThumbnailPolicy::default());
        let source = Hasher::digest(b"bomb").hash;
        failures.check(source, &policy).unwrap();
        failures.note(source, &policy, RenderError::TooManyPixels { pixels: 6, limit: 5 });
        let again = failures.check(source, &policy);
        assert!(matches!(again, Err(Error::TooLarge { limit: 5, .. })), "{again:?}");
        failures.check(source, &ThumbnailPolicy { max_pixels: 1, ..policy }).unwrap();
    }

    #[test]
    fn a_header_that_crashed_is_remembered_for_thumbnails_too_but_not_the_reverse() {
        let (failures, policy) = (Failures::new(), ThumbnailPolicy::default());
        let [header, picture] = [b"header", b"pixels"].map(|source| Hasher::digest(source).hash);
        failures.note_header(header, 6, &policy, RenderError::Crashed);
        assert!(failures.has_no_header(header, 6) && !failures.has_no_header(header, 5));
        assert!(failures.check(header, &policy).is_err());
        failures.note(picture, &policy, RenderError::Crashed);
        assert!(!failures.has_no_header(picture, 6));
    }

    #[test]
    fn what_passes_by_itself_is_not_remembered() {
        let (failures, policy) = (Failures::new(), ThumbnailPolicy::default());
        let source = Hasher::digest(b"picture").hash;
        failures.note(source, &policy, RenderError::Busy);
        failures.note(source, &policy, RenderError::Worker(std::io::Error::other("no worker")));
        failures.note(source, &policy, RenderError::Source(StreamError::Storage("gone".into())));
        failures.check(source, &policy).unwrap();
    }

    #[test]
    fn what_may_have_been_the_machines_doing_is_forgotten_sooner() {
        let (failures, policy) = (Failures::new(), ThumbnailPolicy::default());
        let source = Hasher::digest(b"picture").hash;
        let lasts = |error| {
            failures.note(source, &policy, error);
            let failure = failures.0.get(&key(source, &policy)).unwrap();
            moka::Expiry::expire_after_create(&Lifetimes, &key(source, &policy), &failure, Instant::now())
        };
        assert_eq!(lasts(RenderError::decode("damaged")), Some(CERTAIN));
        assert_eq!(lasts(RenderError::Crashed), Some(DOUBTFUL));
        assert_eq!(lasts(RenderError::Deadline), Some(DOUBTFUL));
    }
}
