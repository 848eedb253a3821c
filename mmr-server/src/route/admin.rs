//! Administrators' endpoints, as matrix-media-repo has them below `/_matrix/media/unstable/admin`.

use std::borrow::Cow;

use http::Method;

use super::decode;

/// An endpoint with the parameters in its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdminEndpoint<'p> {
    /// `GET federation/test/{serverName}`.
    FederationTest(Cow<'p, str>),
    /// `GET datastores`.
    Datastores,
    /// `GET datastores/{id}/size_estimate`.
    SizeEstimate(Cow<'p, str>),
    /// `POST datastores/{source}/transfer_to/{target}`.
    Transfer {
        /// Where the objects lie.
        source: Cow<'p, str>,
        /// Where they go.
        target: Cow<'p, str>,
    },
    /// `GET tasks/all` and `GET tasks/unfinished`.
    Tasks {
        /// Leave out those that have ended.
        unfinished: bool,
    },
    /// `GET tasks/{id}`.
    Task(Cow<'p, str>),
    /// `POST quarantine/{what}`.
    Quarantine(Selection<'p>),
    /// `POST purge/{what}`.
    Purge(Selection<'p>),
    /// `POST purge/remote`, and its older name `purge_remote`.
    PurgeRemote,
}

/// Media that a path selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection<'p> {
    /// `{serverName}/{mediaId}`.
    Media(Cow<'p, str>, Cow<'p, str>),
    /// `user/{userId}`.
    User(Cow<'p, str>),
    /// `server/{serverName}`.
    Server(Cow<'p, str>),
}

impl<'p> Selection<'p> {
    fn parse(first: &'p str, second: &'p str) -> Option<Self> {
        match first {
            "user" => Some(Self::User(decode(second))),
            "server" => Some(Self::Server(decode(second))),
            // Only the homeserver knows what media there is in a room.
            "room" => None,
            _ => Some(Self::Media(decode(first), decode(second))),
        }
    }
}

impl<'p> AdminEndpoint<'p> {
    /// Number of endpoints.
    pub(super) const COUNT: usize = 14;

    /// The endpoint that the part of the path behind `admin/` names.
    pub(super) fn parse(rest: &'p str) -> Option<Self> {
        let mut segments = rest.split('/');
        let mut next = || segments.next().filter(|segment| !segment.is_empty());
        let endpoint = match (next()?, next(), next(), next()) {
            ("federation", Some("test"), Some(server), None) => Self::FederationTest(decode(server)),
            ("datastores", None, None, None) => Self::Datastores,
            ("datastores", Some(id), Some("size_estimate"), None) => Self::SizeEstimate(decode(id)),
            ("datastores", Some(source), Some("transfer_to"), Some(target)) => {
                Self::Transfer { source: decode(source), target: decode(target) }
            }
            ("tasks", Some("all"), None, None) => Self::Tasks { unfinished: false },
            ("tasks", Some("unfinished"), None, None) => Self::Tasks { unfinished: true },
            ("tasks", Some(id), None, None) => Self::Task(decode(id)),
            ("purge_remote", None, None, None) | ("purge", Some("remote"), None, None) => Self::PurgeRemote,
            ("purge", Some(first), Some(second), None) => Self::Purge(Selection::parse(first, second)?),
            ("quarantine", Some(first), Some(second), None) => {
                Self::Quarantine(Selection::parse(first, second)?)
            }
            _ => return None,
        };
        // An empty segment, a slash at the end included, or more than there are.
        (segments.next().is_none() && !rest.ends_with('/')).then_some(endpoint)
    }

    pub(super) const fn methods(&self) -> &'static [Method] {
        match self {
            Self::Transfer { .. } | Self::Quarantine(_) | Self::Purge(_) | Self::PurgeRemote => {
                &[Method::POST]
            }
            _ => &[Method::GET],
        }
    }

    /// Number below [`Self::COUNT`], and name in metrics and logs, as matrix-media-repo calls it.
    pub(super) const fn action(&self) -> (usize, &'static str) {
        match self {
            Self::FederationTest(_) => (0, "federation_test"),
            Self::Datastores => (1, "list_datastores"),
            Self::SizeEstimate(_) => (2, "get_storage_estimate"),
            Self::Transfer { .. } => (3, "datastore_transfer"),
            Self::Tasks { unfinished: false } => (4, "list_all_background_tasks"),
            Self::Tasks { unfinished: true } => (5, "list_unfinished_background_tasks"),
            Self::Task(_) => (6, "get_background_task"),
            Self::Quarantine(Selection::Media(..)) => (7, "quarantine_media"),
            Self::Quarantine(Selection::User(_)) => (8, "quarantine_user"),
            Self::Quarantine(Selection::Server(_)) => (9, "quarantine_domain"),
            Self::Purge(Selection::Media(..)) => (10, "purge_individual_media"),
            Self::Purge(Selection::User(_)) => (11, "purge_user_media"),
            Self::Purge(Selection::Server(_)) => (12, "purge_domain_media"),
            Self::PurgeRemote => (13, "purge_remote_media"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_known() {
        for (path, action) in [
            ("federation/test/a.org%3A8448", "federation_test"),
            ("datastores", "list_datastores"),
            ("datastores/a/size_estimate", "get_storage_estimate"),
            ("datastores/a/transfer_to/b", "datastore_transfer"),
            ("tasks/all", "list_all_background_tasks"),
            ("tasks/unfinished", "list_unfinished_background_tasks"),
            ("tasks/17", "get_background_task"),
            ("quarantine/a.org/b", "quarantine_media"),
            ("quarantine/user/@a:a.org", "quarantine_user"),
            ("purge/server/a.org", "purge_domain_media"),
            ("purge/remote", "purge_remote_media"),
            ("purge_remote", "purge_remote_media"),
        ] {
            let endpoint = AdminEndpoint::parse(path);
            assert_eq!(endpoint.map(|endpoint| endpoint.action().1), Some(action), "{path}");
        }
    }

    #[test]
    fn anything_else_is_unknown() {
        for path in [
            "",
            "/",
            "datastores/",
            "datastores//size_estimate",
            "datastores/a",
            "datastores/a/transfer_to",
            "datastores/a/transfer_to/b/c",
            "tasks",
            "tasks/1/2",
            "federation/test/",
            "federation/test/a/b",
            "quarantine/a.org",
            "quarantine/a.org/b/c",
            "purge/room/!a:a.org",
        ] {
            assert_eq!(AdminEndpoint::parse(path), None, "{path}");
        }
    }

    #[test]
    fn endpoints_are_numbered_without_gaps() {
        let endpoints = [
            AdminEndpoint::FederationTest("".into()),
            AdminEndpoint::Datastores,
            AdminEndpoint::SizeEstimate("".into()),
            AdminEndpoint::Transfer { source: "".into(), target: "".into() },
            AdminEndpoint::Tasks { unfinished: false },
            AdminEndpoint::Tasks { unfinished: true },
            AdminEndpoint::Task("".into()),
            AdminEndpoint::Quarantine(Selection::Media("".into(), "".into())),
            AdminEndpoint::Quarantine(Selection::User("".into())),
            AdminEndpoint::Quarantine(Selection::Server("".into())),
            AdminEndpoint::Purge(Selection::Media("".into(), "".into())),
            AdminEndpoint::Purge(Selection::User("".into())),
            AdminEndpoint::Purge(Selection::Server("".into())),
            AdminEndpoint::PurgeRemote,
        ];
        let numbers: Vec<usize> = endpoints.iter().map(|endpoint| endpoint.action().0).collect();
        assert_eq!(numbers, (0..AdminEndpoint::COUNT).collect::<Vec<_>>());
    }
}
