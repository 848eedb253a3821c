//! Remembered tokens, and one question at a time about each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mmr_core::{flight::Flights, lifecycle::Background, types::Caller};
use ruma::{ServerName, UserId};

use super::{AuthError, Authenticator, Credentials};

/// Tokens remembered at most.
const CAPACITY: u64 = 100_000;

/// A digest: tokens themselves are not kept in memory.
type Key = [u8; 32];

/// Remembers what an authenticator said about a token, by homeserver, token and the user acted as.
///
/// Only callers are remembered; refusals and outages are not. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TokenCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authenticator: Arc<dyn Authenticator>,
    callers: Option<moka::sync::Cache<Key, Caller>>,
    questions: Flights<Key, Result<Caller, AuthError>>,
    revocations: AtomicU64,
}

impl TokenCache {
    /// Remembers for `ttl`; with zero only requests at the same moment share an answer.
    #[must_use]
    pub fn new(authenticator: Arc<dyn Authenticator>, ttl: Duration, background: Background) -> Self {
        let callers = (!ttl.is_zero()).then(|| {
            moka::sync::Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(ttl)
                .support_invalidation_closures()
                .build()
        });
        let questions = Flights::new(background);
        Self(Arc::new(Inner { authenticator, callers, questions, revocations: AtomicU64::new(0) }))
    }

    /// Forgets all tokens of `user`, on whatever homeserver.
    pub fn forget_user(&self, user: &UserId) {
        self.0.revocations.fetch_add(1, Ordering::AcqRel);
        if let Some(callers) = &self.0.callers {
            let user = user.to_owned();
            // Fails only when closures are not supported, and they are.
            let _ = callers.invalidate_entries_if(move |_, caller| caller.user_id() == Some(&*user));
        }
    }

    /// Forgets one token.
    pub fn forget(&self, server: &ServerName, credentials: &Credentials) {
        self.0.revocations.fetch_add(1, Ordering::AcqRel);
        if let Some(callers) = &self.0.callers {
            callers.invalidate(&key(server, credentials));
        }
    }

    /// Forgets everything: something may have been missed.
    pub fn forget_all(&self) {
        self.0.revocations.fetch_add(1, Ordering::AcqRel);
        if let Some(callers) = &self.0.callers {
            callers.invalidate_all();
        }
    }
}

impl Inner {
    async fn ask(
        self: Arc<Self>,
        key: Key,
        server: ruma::OwnedServerName,
        credentials: Credentials,
    ) -> Result<Caller, AuthError> {
        let before = self.revocations.load(Ordering::Acquire);
        let caller = self.authenticator.authenticate(&server, &credentials).await?;
        if let Some(callers) = &self.callers
            && self.revocations.load(Ordering::Acquire) == before
        {
            callers.insert(key, caller.clone());
            // A logout between the check and the insert must win.
            if self.revocations.load(Ordering::Acquire) != before {
                callers.invalidate(&key);
            }
        }
        Ok(caller)
    }
}

#[async_trait]
impl Authenticator for TokenCache {
    async fn authenticate(
        &self,
        server: &ServerName,
        credentials: &Credentials,
    ) -> Result<Caller, AuthError> {
        let key = key(server, credentials);
        if let Some(caller) = self.0.callers.as_ref().and_then(|callers| callers.get(&key)) {
            return Ok(caller);
        }
        let (inner, server, credentials) = (Arc::clone(&self.0), server.to_owned(), credentials.clone());
        let answer = self.0.questions.join(key, move || inner.ask(key, server, credentials)).await;
        answer.unwrap_or_else(|| Err(AuthError::Unavailable("the question was dropped".to_owned())))
    }
}

/// Length-prefixed, so that no two credentials hash the same text.
fn key(server: &ServerName, credentials: &Credentials) -> Key {
    let Credentials { token, user_id, device_id } = credentials;
    let mut hasher = blake3::Hasher::new();
    let parts = [Some(server.as_str()), Some(token), user_id.as_deref(), device_id.as_deref()];
    for part in parts {
        hasher.update(&part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
        hasher.update(part.unwrap_or_default().as_bytes());
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use ruma::{owned_user_id, server_name, user_id};
    use tokio::sync::Notify;

    use super::*;

    #[derive(Debug, Default)]
    struct Counting {
        asked: AtomicU32,
        outage: bool,
        wait_for: Option<Arc<Notify>>,
    }

    #[async_trait]
    impl Authenticator for Counting {
        async fn authenticate(&self, _: &ServerName, credentials: &Credentials) -> Result<Caller, AuthError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if let Some(release) = &self.wait_for {
                release.notified().await;
            }
            match (self.outage, &*credentials.token) {
                (true, _) => Err(AuthError::Unavailable("down".to_owned())),
                (false, "bad") => Err(AuthError::unknown_token()),
                (false, _) => Ok(Caller::User { id: owned_user_id!("@alice:x.org"), guest: false }),
            }
        }
    }

    fn cache(counting: Counting, ttl: Duration) -> (TokenCache, Arc<Counting>) {
        let counting = Arc::new(counting);
        (TokenCache::new(Arc::<Counting>::clone(&counting), ttl, Background::new()), counting)
    }

    async fn ask(
        cache: &TokenCache,
        server: &str,
        token: &str,
        user_id: Option<&str>,
    ) -> Result<Caller, AuthError> {
        let user_id = user_id.map(str::to_owned);
        let credentials = Credentials { token: token.to_owned(), user_id, device_id: None };
        cache.authenticate(<&ServerName>::try_from(server).unwrap(), &credentials).await
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn a_caller_is_asked_for_once() {
        let (cache, counting) = cache(Counting::default(), HOUR);
        ask(&cache, "x.org", "a", None).await.unwrap();
        ask(&cache, "x.org", "a", None).await.unwrap();
        assert_eq!(counting.asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn homeservers_and_masquerades_do_not_share_answers() {
        let (cache, counting) = cache(Counting::default(), HOUR);
        for (server, user) in
            [("x.org", None), ("y.org", None), ("x.org", Some("@b:x.org")), ("x.org", Some("@c:x.org"))]
        {
            ask(&cache, server, "a", user).await.unwrap();
        }
        assert_eq!(counting.asked.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn refusals_and_outages_are_not_remembered() {
        let (refusing, counting) = cache(Counting::default(), HOUR);
        ask(&refusing, "x.org", "bad", None).await.unwrap_err();
        ask(&refusing, "x.org", "bad", None).await.unwrap_err();
        assert_eq!(counting.asked.load(Ordering::Relaxed), 2);
        let (down, counting) = cache(Counting { outage: true, ..Counting::default() }, HOUR);
        ask(&down, "x.org", "a", None).await.unwrap_err();
        ask(&down, "x.org", "a", None).await.unwrap_err();
        assert_eq!(counting.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn without_a_lifetime_nothing_is_remembered() {
        let (cache, counting) = cache(Counting::default(), Duration::ZERO);
        ask(&cache, "x.org", "a", None).await.unwrap();
        ask(&cache, "x.org", "a", None).await.unwrap();
        assert_eq!(counting.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn requests_at_the_same_moment_share_one_question() {
        let release = Arc::new(Notify::new());
        let (cache, counting) =
            cache(Counting { wait_for: Some(Arc::clone(&release)), ..Counting::default() }, Duration::ZERO);
        let asks = futures_util::future::join_all((0..8).map(|_| ask(&cache, "x.org", "a", None)));
        let (answers, ()) = tokio::join!(asks, async {
            tokio::task::yield_now().await;
            release.notify_one();
        });
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(counting.asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_logout_takes_effect_at_once() {
        let (cache, counting) = cache(Counting::default(), HOUR);
        ask(&cache, "x.org", "a", None).await.unwrap();
        cache.forget_user(user_id!("@alice:x.org"));
        ask(&cache, "x.org", "a", None).await.unwrap();
        assert_eq!(counting.asked.load(Ordering::Relaxed), 2);
        let credentials = Credentials { token: "a".to_owned(), user_id: None, device_id: None };
        cache.forget(server_name!("x.org"), &credentials);
        ask(&cache, "x.org", "a", None).await.unwrap();
        assert_eq!(counting.asked.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn an_answer_from_before_a_logout_is_not_remembered() {
        let release = Arc::new(Notify::new());
        let (cache, counting) =
            cache(Counting { wait_for: Some(Arc::clone(&release)), ..Counting::default() }, HOUR);
        let (answer, ()) = tokio::join!(ask(&cache, "x.org", "a", None), async {
            tokio::task::yield_now().await;
            cache.forget_user(user_id!("@alice:x.org"));
            release.notify_one();
        });
        answer.unwrap();
        release.notify_one();
        ask(&cache, "x.org", "a", None).await.unwrap();
        assert_eq!(counting.asked.load(Ordering::Relaxed), 2);
    }
}
