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
}

impl<'p> AdminEndpoint<'p> {
    /// Number of endpoints.
    pub(super) const COUNT: usize = 7;

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
            _ => return None,
        };
        // An empty segment, a slash at the end included, or more than there are.
        (segments.next().is_none() && !rest.ends_with('/')).then_some(endpoint)
    }

    pub(super) const fn methods(&self) -> &'static [Method] {
        match self {
            Self::Transfer { .. } => &[Method::POST],
            _ => &[Method::GET],
        }
    }

    /// Number below [`Self::COUNT`], and name in metrics and logs.
    pub(super) const fn action(&self) -> (usize, &'static str) {
        match self {
            Self::FederationTest(_) => (0, "federation_test"),
            Self::Datastores => (1, "list_datastores"),
            Self::SizeEstimate(_) => (2, "datastore_size_estimate"),
            Self::Transfer { .. } => (3, "datastore_transfer"),
            Self::Tasks { unfinished: false } => (4, "list_all_background_tasks"),
            Self::Tasks { unfinished: true } => (5, "list_unfinished_background_tasks"),
            Self::Task(_) => (6, "get_background_task"),
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
            ("datastores/a/size_estimate", "datastore_size_estimate"),
            ("datastores/a/transfer_to/b", "datastore_transfer"),
            ("tasks/all", "list_all_background_tasks"),
            ("tasks/unfinished", "list_unfinished_background_tasks"),
            ("tasks/17", "get_background_task"),
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
        ];
        let numbers: Vec<usize> = endpoints.iter().map(|endpoint| endpoint.action().0).collect();
        assert_eq!(numbers, (0..AdminEndpoint::COUNT).collect::<Vec<_>>());
    }
}
