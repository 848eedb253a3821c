//! Which endpoint a path names.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

mod admin;

pub(crate) use self::admin::{AdminEndpoint, Selection};

/// Number of endpoints.
pub(crate) const ACTIONS: usize = OTHERS + AdminEndpoint::COUNT;

/// Number of endpoints that are not administrators'.
const OTHERS: usize = 13;

/// An endpoint with the parameters in its path, percent-decoded once and not validated: authentication comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint<'p> {
    /// `POST /_matrix/media/v3/upload`.
    Upload,
    /// `POST /_matrix/media/v1/create` (MSC2246).
    Create,
    /// `PUT /_matrix/media/v3/upload/{serverName}/{mediaId}` (MSC2246).
    Fill(MediaPath<'p>),
    /// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}[/{fileName}]` and its deprecated twin.
    Download(Family, MediaPath<'p>, Option<Cow<'p, str>>),
    /// `GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}` and its deprecated twin.
    Thumbnail(Family, MediaPath<'p>),
    /// `GET /_matrix/federation/v1/media/download/{mediaId}`.
    FederationDownload(Cow<'p, str>),
    /// `GET /_matrix/federation/v1/media/thumbnail/{mediaId}`.
    FederationThumbnail(Cow<'p, str>),
    /// `GET /_matrix/media/unstable/info/{serverName}/{mediaId}`, as in matrix-media-repo.
    Info(MediaPath<'p>),
    /// What lies below `/_matrix/media/unstable/admin`, as in matrix-media-repo.
    Admin(AdminEndpoint<'p>),
    /// `GET /_matrix/client/v1/media/config` and its deprecated twin.
    Config,
    /// `GET /_matrix/client/versions`: the homeserver's answer, completed.
    Versions,
    /// `POST /_matrix/client/v3/logout`: passed through.
    Logout {
        /// `/logout/all`.
        all: bool,
    },
    /// `GET /healthz`.
    Health,
}

/// Whether an endpoint asks for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `/_matrix/client/v1/media`: a token is required (MSC3916).
    Authenticated,
    /// `/_matrix/media`: deprecated, a token is optional, media from after the freeze is hidden without one.
    Legacy,
}

/// The two halves of an MXC URI as they stand in a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MediaPath<'p> {
    /// The first half.
    pub(crate) server_name: Cow<'p, str>,
    /// The second half.
    pub(crate) media_id: Cow<'p, str>,
}

impl<'p> Endpoint<'p> {
    /// The endpoint that `path`, a request target without its query, names.
    pub(crate) fn parse(path: &'p str) -> Option<Self> {
        if path == "/healthz" {
            return Some(Self::Health);
        }
        let rest = path.strip_prefix("/_matrix/")?;
        if let Some(media) = rest.strip_prefix("media/") {
            return Self::parse_legacy(media);
        }
        if let Some(federation) = rest.strip_prefix("federation/") {
            return Self::parse_federation(federation);
        }
        let client = rest.strip_prefix("client/")?;
        let authenticated = ["v1/media/", "unstable/org.matrix.msc3916/media/"];
        if let Some(media) = authenticated.iter().find_map(|prefix| client.strip_prefix(prefix)) {
            return Self::parse_media(Family::Authenticated, media);
        }
        match client {
            "versions" => Some(Self::Versions),
            "r0/logout" | "v3/logout" => Some(Self::Logout { all: false }),
            "r0/logout/all" | "v3/logout/all" => Some(Self::Logout { all: true }),
            _ => None,
        }
    }

    fn parse_legacy(rest: &'p str) -> Option<Self> {
        // Clients from before the endpoint was stable still send its unstable name (MSC2246).
        if let Some(rest) = rest.strip_prefix("unstable/fi.mau.msc2246/") {
            return match rest.split_once('/') {
                None if rest == "create" => Some(Self::Create),
                Some(("upload", rest)) => Some(Self::Fill(MediaPath::parse(rest)?.0)),
                _ => None,
            };
        }
        if let Some(rest) = rest.strip_prefix("unstable/") {
            let rest = rest.strip_prefix("io.t2bot.media/").unwrap_or(rest);
            return match rest.split_once('/')? {
                ("admin", rest) => AdminEndpoint::parse(rest).map(Self::Admin),
                ("info", rest) => match MediaPath::parse(rest)? {
                    (media, None) => Some(Self::Info(media)),
                    _ => None,
                },
                _ => None,
            };
        }
        let (version, rest) = rest.split_once('/')?;
        if !matches!(version, "v3" | "r0" | "v1") {
            return None;
        }
        match rest.split_once('/') {
            None if rest == "upload" => Some(Self::Upload),
            None if rest == "create" && version == "v1" => Some(Self::Create),
            Some(("upload", rest)) => match MediaPath::parse(rest)? {
                (media, None) => Some(Self::Fill(media)),
                _ => None,
            },
            _ => Self::parse_media(Family::Legacy, rest),
        }
    }

    fn parse_media(family: Family, rest: &'p str) -> Option<Self> {
        match rest.split_once('/') {
            None if rest == "config" => Some(Self::Config),
            Some(("download", rest)) => {
                let (media, file_name) = MediaPath::parse(rest)?;
                Some(Self::Download(family, media, file_name))
            }
            Some(("thumbnail", rest)) => match MediaPath::parse(rest)? {
                (media, None) => Some(Self::Thumbnail(family, media)),
                _ => None,
            },
            _ => None,
        }
    }

    fn parse_federation(rest: &'p str) -> Option<Self> {
        // Servers from before the endpoints were stable send the unstable name (MSC3916).
        let media = ["v1/media/", "unstable/org.matrix.msc3916.v2/media/"];
        let media = media.iter().find_map(|prefix| rest.strip_prefix(prefix))?;
        match media.split_once('/')? {
            (_, media_id) if media_id.contains('/') => None,
            ("download", media_id) => Some(Self::FederationDownload(decode(media_id))),
            ("thumbnail", media_id) => Some(Self::FederationThumbnail(decode(media_id))),
            _ => None,
        }
    }

    /// Methods other than `OPTIONS` that the endpoint knows.
    pub(crate) const fn methods(&self) -> &'static [Method] {
        match self {
            Self::Upload | Self::Create | Self::Logout { .. } => &[Method::POST],
            Self::Fill(_) => &[Method::PUT],
            Self::Config
            | Self::Versions
            | Self::Info(_)
            | Self::FederationDownload(_)
            | Self::FederationThumbnail(_) => &[Method::GET],
            Self::Admin(endpoint) => endpoint.methods(),
            Self::Download(..) | Self::Thumbnail(..) | Self::Health => &[Method::GET, Method::HEAD],
        }
    }

    /// The endpoint's number, below [`ACTIONS`], and its name in metrics and logs, as matrix-media-repo calls it.
    pub(crate) const fn action(&self) -> (usize, &'static str) {
        match self {
            Self::Upload => (0, "upload"),
            Self::Create => (1, "create"),
            Self::Fill(_) => (2, "upload_async"),
            Self::Download(..) => (3, "download"),
            Self::Thumbnail(..) => (4, "thumbnail"),
            Self::Config => (5, "config"),
            Self::Versions => (6, "client_versions"),
            Self::Logout { all: false } => (7, "logout"),
            Self::Logout { all: true } => (8, "logout_all"),
            Self::Health => (9, "healthz"),
            Self::FederationDownload(_) => (10, "federation_download"),
            Self::FederationThumbnail(_) => (11, "federation_thumbnail"),
            Self::Info(_) => (12, "info"),
            Self::Admin(endpoint) => {
                let (number, name) = endpoint.action();
                (OTHERS + number, name)
            }
        }
    }
}

impl<'p> MediaPath<'p> {
    /// `{serverName}/{mediaId}[/{fileName}]`. Split first, decoded afterwards: `%2F` never separates.
    fn parse(rest: &'p str) -> Option<(Self, Option<Cow<'p, str>>)> {
        let (server_name, rest) = rest.split_once('/')?;
        let (media_id, file_name) = match rest.split_once('/') {
            None => (rest, None),
            Some((_, file_name)) if file_name.contains('/') => return None,
            Some((media_id, file_name)) => (media_id, Some(decode(file_name))),
        };
        Some((Self { server_name: decode(server_name), media_id: decode(media_id) }, file_name))
    }
}

/// What is not UTF-8 gets replacement characters, which no server name or media ID may have.
fn decode(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(server_name: &'static str, media_id: &'static str) -> MediaPath<'static> {
        MediaPath { server_name: server_name.into(), media_id: media_id.into() }
    }

    #[test]
    fn every_path_of_the_specification_is_known() {
        for (path, action) in [
            ("/_matrix/media/v3/upload", "upload"),
            ("/_matrix/media/r0/upload", "upload"),
            ("/_matrix/media/v1/upload", "upload"),
            ("/_matrix/media/v1/create", "create"),
            ("/_matrix/media/unstable/fi.mau.msc2246/create", "create"),
            ("/_matrix/media/v3/upload/a.org/b", "upload_async"),
            ("/_matrix/media/unstable/fi.mau.msc2246/upload/a.org/b", "upload_async"),
            ("/_matrix/client/v1/media/download/a.org/b", "download"),
            ("/_matrix/client/unstable/org.matrix.msc3916/media/download/a.org/b/c.png", "download"),
            ("/_matrix/media/r0/download/a.org/b/c.png", "download"),
            ("/_matrix/client/v1/media/thumbnail/a.org/b", "thumbnail"),
            ("/_matrix/media/v1/thumbnail/a.org/b", "thumbnail"),
            ("/_matrix/client/v1/media/config", "config"),
            ("/_matrix/media/v3/config", "config"),
            ("/_matrix/federation/v1/media/download/b", "federation_download"),
            ("/_matrix/federation/v1/media/thumbnail/b", "federation_thumbnail"),
            ("/_matrix/federation/unstable/org.matrix.msc3916.v2/media/download/b", "federation_download"),
            ("/_matrix/media/unstable/info/a.org/b", "info"),
            ("/_matrix/media/unstable/io.t2bot.media/info/a.org/b", "info"),
            ("/_matrix/media/unstable/admin/federation/test/a.org", "federation_test"),
            ("/_matrix/media/unstable/io.t2bot.media/admin/federation/test/a.org%3A8448", "federation_test"),
            ("/_matrix/client/versions", "client_versions"),
            ("/_matrix/client/r0/logout", "logout"),
            ("/_matrix/client/v3/logout/all", "logout_all"),
            ("/healthz", "healthz"),
        ] {
            assert_eq!(Endpoint::parse(path).map(|endpoint| endpoint.action().1), Some(action), "{path}");
        }
    }

    #[test]
    fn anything_else_is_unknown() {
        for path in [
            "",
            "/",
            "/_matrix/",
            "/_matrix/media/v3/",
            "/_matrix/media/v3/create",
            "/_matrix/media/v2/upload",
            "/_matrix/media/v3/upload/",
            "/_matrix/media/v3/upload/a.org",
            "/_matrix/media/v3/upload/a.org/b/c",
            "/_matrix/media/v3/download/a.org",
            "/_matrix/media/v3/download/a.org/b/c/d",
            "/_matrix/client/v1/media/thumbnail/a.org/b/c",
            "/_matrix/client/v1/media/upload",
            "/_matrix/media/unstable/info/a.org",
            "/_matrix/media/unstable/info/a.org/b/c",
            "/_matrix/media/v3/info/a.org/b",
            "/_matrix/client/v3/sync",
            "/_matrix/federation/v1/media/download",
            "/_matrix/federation/v1/media/download/a.org/b",
            "/_matrix/federation/v1/media/upload/b",
            "/_matrix/federation/v1/version",
            "/healthz/",
        ] {
            assert_eq!(Endpoint::parse(path), None, "{path}");
        }
    }

    #[test]
    fn an_encoded_slash_is_part_of_its_segment() {
        let endpoint = Endpoint::parse("/_matrix/media/v3/download/a%2Fb/..%2f..%2Fc/d%2Fe");
        let expected = Endpoint::Download(Family::Legacy, media("a/b", "../../c"), Some("d/e".into()));
        assert_eq!(endpoint, Some(expected));
    }

    #[test]
    fn an_encoded_colon_is_a_colon() {
        let endpoint = Endpoint::parse("/_matrix/media/v3/upload/localhost%3A8448/b");
        assert_eq!(endpoint, Some(Endpoint::Fill(media("localhost:8448", "b"))));
    }
}
