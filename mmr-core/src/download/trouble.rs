//! Fetches that are not worth trying now.

use std::{sync::Arc, time::Duration};

use ruma::OwnedServerName;

use super::remote::Wanted;
use crate::{
    Error, Result,
    federation::FederationError,
    types::{Mxc, Timestamp},
};

/// Failed media, and failing servers, remembered at most.
const CAPACITY: u64 = 10_000;
/// Pause after the failure with which a server is given up for now, and the longest there is.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));

/// Recent failures by media, and outages by server.
#[derive(Debug)]
pub(crate) struct Troubles {
    media: moka::sync::Cache<Mxc, Failure>,
    servers: moka::sync::Cache<OwnedServerName, Outage>,
}

#[derive(Clone, Debug)]
struct Failure {
    error: Arc<Error>,
    until: Timestamp,
}

#[derive(Clone, Copy, Debug, Default)]
struct Outage {
    failures: u32,
    until: Timestamp,
}

#[derive(Debug, thiserror::Error)]
#[error("{server} failed {failures} times in a row and is left alone for a while (federation.backoffAt)")]
struct BackingOff {
    server: OwnedServerName,
    failures: u32,
}

impl Troubles {
    pub(crate) fn new() -> Self {
        Self { media: moka::sync::Cache::new(CAPACITY), servers: moka::sync::Cache::new(CAPACITY) }
    }

    /// Refuses what would most likely fail again.
    pub(super) fn check(&self, mxc: &Mxc, now: Timestamp) -> Result<()> {
        if let Some(Failure { error, until }) = self.media.get(mxc)
            && now < until
        {
            return Err(Error::Shared(error));
        }
        let server = mxc.origin();
        match self.servers.get(server) {
            Some(Outage { failures, until }) if now < until => {
                let server = server.to_owned();
                Err(FederationError::Unreachable(Box::new(BackingOff { server, failures })).into())
            }
            _ => Ok(()),
        }
    }

    /// Remembers how a fetch ended.
    pub(super) fn note(&self, wanted: &Wanted, error: Option<&Arc<Error>>, now: Timestamp) {
        let Wanted { mxc, policy, .. } = wanted;
        let server = mxc.origin().to_owned();
        let Some(error) = error else {
            self.media.invalidate(mxc);
            self.servers.invalidate(&server);
            return;
        };
        // Any other is ours, and none of the origin's business.
        let Error::Federation(cause) = error.root() else { return };
        let life = life_of(cause, policy.downloads.failure_ttl);
        if !life.is_zero() {
            self.media.insert(mxc.clone(), Failure { error: Arc::clone(error), until: now.plus(life) });
        }
        if says_nothing(cause) {
            self.failed(server, policy.downloads.backoff_after, now);
        } else {
            self.servers.invalidate(&server);
        }
    }

    fn failed(&self, server: OwnedServerName, backoff_after: u32, now: Timestamp) {
        let failures = self.servers.get(&server).unwrap_or_default().failures.saturating_add(1);
        let (first, longest) = PAUSES;
        let pause = match failures.checked_sub(backoff_after.max(1)) {
            None => Duration::ZERO,
            Some(more) => first.saturating_mul(1 << more.min(7)).min(longest),
        };
        if !pause.is_zero() {
            tracing::warn!(%server, failures, "{server} is left alone for {pause:?} (federation.backoffAt)");
        }
        self.servers.insert(server, Outage { failures, until: now.plus(pause) });
    }
}

/// How long to believe a failure. What the origin says lasts as configured; what may be over in a moment does not, and
/// pending media may come at any time.
fn life_of(error: &FederationError, configured: Duration) -> Duration {
    let brief = Duration::from_secs(30).min(configured);
    match error {
        FederationError::NotYetUploaded => Duration::ZERO,
        FederationError::NotFound | FederationError::TooLarge { .. } => configured,
        FederationError::Denied(_) => Duration::from_mins(1).min(configured),
        _ => brief,
    }
}

/// Whether a failure means that the server is not there, rather than that it will not give this media.
const fn says_nothing(error: &FederationError) -> bool {
    matches!(error, FederationError::Unreachable(_) | FederationError::Protocol(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ServerPolicy;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn wanted(media_id: &str) -> Wanted {
        let mxc = Mxc::from_parts("origin.example", media_id).unwrap();
        let server = ruma::owned_server_name!("here.example");
        Wanted { mxc, server, policy: Arc::new(ServerPolicy::default()), lost: None }
    }

    fn unreachable() -> FederationError {
        FederationError::Unreachable("no route".into())
    }

    fn fail(troubles: &Troubles, media_id: &str, error: FederationError, at: Timestamp) {
        troubles.note(&wanted(media_id), Some(&Arc::new(error.into())), at);
    }

    fn is_refused(troubles: &Troubles, media_id: &str, at: Timestamp) -> bool {
        troubles.check(&wanted(media_id).mxc, at).is_err()
    }

    #[test]
    fn a_failure_is_believed_for_a_time_that_depends_on_its_cause() {
        for (error, seconds) in [
            (FederationError::NotFound, 300),
            (FederationError::TooLarge { limit: 1 }, 300),
            (FederationError::Denied(String::new()), 60),
            (unreachable(), 30),
            (FederationError::Protocol(String::new()), 30),
        ] {
            let troubles = Troubles::new();
            let text = error.to_string();
            fail(&troubles, "a", error, NOW);
            let end = NOW.plus(Duration::from_secs(seconds));
            assert!(is_refused(&troubles, "a", end.minus(Duration::from_millis(1))), "{text}");
            assert!(!is_refused(&troubles, "a", end), "{text}");
            assert!(!is_refused(&troubles, "b", NOW), "{text}");
        }
    }

    #[test]
    fn pending_media_may_come_at_any_time() {
        let troubles = Troubles::new();
        fail(&troubles, "a", FederationError::NotYetUploaded, NOW);
        assert!(!is_refused(&troubles, "a", NOW));
    }

    #[test]
    fn a_server_that_keeps_failing_is_left_alone_for_longer_and_longer() {
        let troubles = Troubles::new();
        for number in 0..19 {
            fail(&troubles, &format!("m{number}"), unreachable(), NOW);
            assert!(!is_refused(&troubles, "new", NOW), "{number}");
        }
        let mut pauses = vec![];
        for number in 19..29 {
            fail(&troubles, &format!("m{number}"), unreachable(), NOW);
            let pause =
                (0..100_000).find(|&ms| !is_refused(&troubles, "new", NOW.plus(Duration::from_millis(ms))));
            pauses.push(pause.unwrap());
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    }

    #[test]
    fn a_server_that_answers_is_not_out_of_order() {
        for answer in [Some(FederationError::NotFound), None] {
            let troubles = Troubles::new();
            for number in 0..30 {
                fail(&troubles, &format!("m{number}"), unreachable(), NOW);
            }
            assert!(is_refused(&troubles, "new", NOW));
            troubles.note(&wanted("x"), answer.map(|error| Arc::new(error.into())).as_ref(), NOW);
            assert!(!is_refused(&troubles, "new", NOW));
        }
    }

    #[test]
    fn a_failure_of_our_own_says_nothing_about_the_origin() {
        let troubles = Troubles::new();
        for number in 0..30 {
            let error = Arc::new(Error::Internal("no disk"));
            troubles.note(&wanted(&format!("m{number}")), Some(&error), NOW);
        }
        assert!(!is_refused(&troubles, "m1", NOW));
    }
}
