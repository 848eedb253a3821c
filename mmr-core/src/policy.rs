//! The rules of a repository: plain values, one immutable snapshot per request.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use ruma::{OwnedServerName, ServerName, UserId};
use tokio::sync::watch;

use crate::datastore::Placement;

mod thumbnail;

pub use self::thumbnail::ThumbnailPolicy;

/// The rules for every local homeserver. Servers that are not listed are remote.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    servers: HashMap<OwnedServerName, Arc<ServerPolicy>>,
}

impl Policies {
    /// The rules for these local homeservers.
    #[must_use]
    pub fn new(servers: impl IntoIterator<Item = (OwnedServerName, ServerPolicy)>) -> Self {
        Self { servers: servers.into_iter().map(|(name, policy)| (name, Arc::new(policy))).collect() }
    }

    /// One local homeserver.
    #[must_use]
    pub fn single(name: OwnedServerName, policy: ServerPolicy) -> Self {
        Self::new([(name, policy)])
    }

    /// The rules of a local homeserver; `None` for a remote one.
    #[must_use]
    pub fn for_server(&self, name: &ServerName) -> Option<&Arc<ServerPolicy>> {
        self.servers.get(name)
    }

    /// All local homeservers.
    pub fn servers(&self) -> impl Iterator<Item = (&ServerName, &Arc<ServerPolicy>)> {
        self.servers.iter().map(|(name, policy)| (&**name, policy))
    }

    /// Whether `name` is a homeserver of ours.
    #[must_use]
    pub fn is_local(&self, name: &ServerName) -> bool {
        self.servers.contains_key(name)
    }
}

/// The rules of one local homeserver.
#[derive(Clone, Debug, Default)]
pub struct ServerPolicy {
    /// For uploads.
    pub uploads: UploadPolicy,
    /// For downloads.
    pub downloads: DownloadPolicy,
    /// For thumbnails.
    pub thumbnails: Arc<ThumbnailPolicy>,
    /// Which datastores take its new objects; `None` is those configured for everybody.
    pub placement: Option<Placement>,
}

/// Rules for uploads.
#[derive(Clone, Debug)]
pub struct UploadPolicy {
    /// Largest upload in bytes; `None` is no limit.
    pub max_bytes: Option<u64>,
    /// Smallest upload in bytes.
    pub min_bytes: u64,
    /// Names that a user may have reserved at a time; `None` is no limit.
    pub max_pending: Option<u32>,
    /// How long a name stays reserved.
    pub reservation_ttl: Duration,
    /// New media is served on authenticated endpoints only (the freeze of specification v1.12).
    pub freeze: bool,
    /// What users may have altogether; the first rule that matches counts.
    pub quotas: Vec<QuotaRule>,
}

impl Default for UploadPolicy {
    fn default() -> Self {
        Self {
            max_bytes: Some(100 << 20),
            min_bytes: 0,
            max_pending: Some(5),
            reservation_ttl: Duration::from_hours(24),
            freeze: true,
            quotas: Vec::new(),
        }
    }
}

impl UploadPolicy {
    /// The quota rule for a user.
    #[must_use]
    pub fn quota_for(&self, user: &UserId) -> Option<&QuotaRule> {
        self.quotas.iter().find(|rule| glob_matches(&rule.users, user.as_str()))
    }
}

/// What the users that it matches may have altogether.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaRule {
    /// User IDs, where `*` stands for any text and `?` for one character.
    pub users: String,
    /// Total size in bytes and number of files.
    pub cap: crate::store::QuotaCap,
    /// Names that a user may have reserved at a time; `None` leaves [`UploadPolicy::max_pending`].
    pub max_pending: Option<u32>,
}

/// Rules for downloads.
#[derive(Clone, Debug)]
pub struct DownloadPolicy {
    /// Largest remote file in bytes; `None` is no limit.
    pub max_bytes: Option<u64>,
    /// Longest wait for media that is still to be uploaded.
    pub max_wait: Duration,
    /// Longest wait for the body of remote media to start.
    pub fetch_timeout: Duration,
    /// How long to believe an origin that says that it does not have some media, or that is found to be too large.
    pub failure_ttl: Duration,
    /// Failures in a row after which a server is left alone for a while.
    pub backoff_after: u32,
    /// Whether nobody gets a byte of remote media before all of it is here and judged.
    pub verify_first: bool,
    /// Servers whose media users do not get, in lower case.
    pub ignored_hosts: HashSet<String>,
    /// Whether clients and servers are sent to the datastore, where it has an address for them.
    pub redirect: bool,
}

impl Default for DownloadPolicy {
    fn default() -> Self {
        Self {
            max_bytes: Some(100 << 20),
            max_wait: Duration::from_mins(1),
            fetch_timeout: Duration::from_mins(2),
            failure_ttl: Duration::from_mins(5),
            backoff_after: 20,
            verify_first: false,
            ignored_hosts: HashSet::new(),
            redirect: false,
        }
    }
}

impl DownloadPolicy {
    /// Whether users do not get media of `origin`.
    #[must_use]
    pub fn ignores(&self, origin: &ServerName) -> bool {
        !self.ignored_hosts.is_empty() && self.ignored_hosts.contains(&origin.as_str().to_ascii_lowercase())
    }
}

/// Hands out the policies that are in force. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PolicyHandle(watch::Receiver<Arc<Policies>>);

impl PolicyHandle {
    /// A handle, and the sender that replaces the policies for requests to come.
    #[must_use]
    pub fn channel(policies: Policies) -> (watch::Sender<Arc<Policies>>, Self) {
        let (sender, receiver) = watch::channel(Arc::new(policies));
        (sender, Self(receiver))
    }

    /// The policies in force. Take one snapshot per request.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Policies> {
        Arc::clone(&self.0.borrow())
    }
}

/// Whether `text` matches `glob`, in which `*` stands for any text and `?` for one character.
fn glob_matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    // `retry` is where to go on when the text behind the last `*` does not match: one character further.
    let (mut g, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        match glob.get(g) {
            Some('*') => {
                retry = Some((g + 1, t + 1));
                g += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                g += 1;
                t += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    (g, t) = (after_star, from);
                    retry = Some((after_star, from + 1));
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_user_ids() {
        for (glob, matches) in [
            ("@*:example.org", true),
            ("*", true),
            ("@alice:*", true),
            ("@al?ce:example.org", true),
            ("@*ice:*.org", true),
            ("@alice:example.org*", true),
            ("@bob:*", false),
            ("@alice:example.or", false),
            ("", false),
        ] {
            assert_eq!(glob_matches(glob, "@alice:example.org"), matches, "{glob}");
        }
    }

    #[test]
    fn the_first_matching_quota_rule_counts() {
        let rule = |users: &str, pending| QuotaRule {
            users: users.to_owned(),
            cap: crate::store::QuotaCap::default(),
            max_pending: Some(pending),
        };
        let policy = UploadPolicy { quotas: vec![rule("@a*", 1), rule("*", 2)], ..UploadPolicy::default() };
        let pending = |user: &str| policy.quota_for(<&UserId>::try_from(user).unwrap()).unwrap().max_pending;
        assert_eq!(pending("@alice:x.org"), Some(1));
        assert_eq!(pending("@bob:x.org"), Some(2));
    }
}
