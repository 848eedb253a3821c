//! Words from a list, identifiers, secrets and patterns.

use std::{fmt, str::FromStr};

use regex::Regex;
use ruma::{OwnedServerName, OwnedUserId};

use super::text;
use crate::config::{node::Node, schema::Scalar};

/// A text that may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::config) struct Text(pub(in crate::config) String);

impl Text {
    pub(in crate::config) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Scalar for Text {
    fn accepts() -> String {
        "a text".to_owned()
    }

    fn shown(&self) -> String {
        if self.0.is_empty() { "empty".to_owned() } else { self.0.clone() }
    }

    fn parse(node: &Node) -> Option<Self> {
        text(node).map(Self::new)
    }
}

/// A value that no message, log line or `Debug` output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Scalar for Secret {
    const HIDDEN: bool = true;

    fn accepts() -> String {
        "a text that is not empty".to_owned()
    }

    fn shown(&self) -> String {
        "set".to_owned()
    }

    fn parse(node: &Node) -> Option<Self> {
        text(node).filter(|text| !text.is_empty()).map(|text| Self(text.to_owned()))
    }
}

impl Scalar for OwnedServerName {
    fn accepts() -> String {
        "a Matrix server name (host, IPv4 address or [IPv6 address], port optional)".to_owned()
    }

    fn shown(&self) -> String {
        self.to_string()
    }

    fn parse(node: &Node) -> Option<Self> {
        Self::try_from(text(node)?).ok()
    }
}

impl Scalar for OwnedUserId {
    fn accepts() -> String {
        "a user id like \"@name:example.org\"".to_owned()
    }

    fn shown(&self) -> String {
        self.to_string()
    }

    fn parse(node: &Node) -> Option<Self> {
        Self::try_from(text(node)?).ok()
    }
}

/// A regular expression of an application service's name space.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// The compiled expression. It is not anchored.
    #[must_use]
    pub fn regex(&self) -> &Regex {
        &self.0
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl FromStr for Pattern {
    type Err = regex::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Regex::new(text).map(Self)
    }
}

impl Scalar for Pattern {
    fn accepts() -> String {
        "a regular expression".to_owned()
    }

    fn shown(&self) -> String {
        self.0.as_str().to_owned()
    }

    fn parse(node: &Node) -> Option<Self> {
        text(node)?.parse().ok()
    }
}

/// A part of the file that is taken as it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::config) struct Free(bool);

impl Scalar for Free {
    fn accepts() -> String {
        "anything".to_owned()
    }

    fn shown(&self) -> String {
        "empty".to_owned()
    }

    fn parse(node: &Node) -> Option<Self> {
        use crate::config::node::Data;
        Some(Self(!matches!(&node.data, Data::Map(entries) if entries.is_empty())))
    }
}

/// Declares an enum whose variants are words of the file.
macro_rules! words {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $( $(#[$doc:meta])* $variant:ident = $word:literal, )+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name { $( $(#[$doc])* $variant, )+ }

        impl $name {
            /// Every variant, in the order of the documentation.
            $vis const ALL: &[Self] = &[ $( Self::$variant, )+ ];

            /// The word that stands for it in the configuration.
            #[must_use]
            $vis const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Scalar for $name {
            fn accepts() -> String {
                let words: Vec<_> = Self::ALL.iter().map(|one| one.as_str()).collect();
                format!("one of {}", words.join(", "))
            }

            fn shown(&self) -> String {
                self.as_str().to_owned()
            }

            fn parse(node: &Node) -> Option<Self> {
                let text = text(node)?;
                Self::ALL.iter().copied().find(|one| text.eq_ignore_ascii_case(one.as_str()))
            }
        }
    };
}

words! {
    /// How much is logged.
    pub enum LogLevel {
        /// As [`LogLevel::Error`]: nothing here is logged above it.
        Panic = "panic",
        /// As [`LogLevel::Error`].
        Fatal = "fatal",
        /// What needs somebody's attention.
        Error = "error",
        /// What may need it.
        Warn = "warn",
        /// The same as [`LogLevel::Warn`], by its other name.
        Warning = "warning",
        /// One line for each thing that happens.
        Info = "info",
        /// Why things happen.
        Debug = "debug",
        /// Everything, the HTTP library's frames included.
        Trace = "trace",
    }
}

words! {
    /// Which administration interface the homeserver has.
    pub(in crate::config) enum AdminApi {
        /// The specification's `whois` only.
        Matrix = "matrix",
        /// Synapse's.
        Synapse = "synapse",
        /// Dendrite's.
        Dendrite = "dendrite",
    }
}

words! {
    /// The kinds of datastore that a file may name.
    pub(in crate::config) enum DatastoreType {
        File = "file",
        S3 = "s3",
        Gcs = "gcs",
        Azure = "azure",
    }
}

words! {
    /// What a datastore takes.
    pub(in crate::config) enum DatastoreKind {
        /// Uploads of local users.
        LocalMedia = "local_media",
        /// Copies of other servers' media.
        RemoteMedia = "remote_media",
        /// Rendered thumbnails.
        Thumbnails = "thumbnails",
        /// Parts of exports.
        Archives = "archives",
        /// All of the others.
        All = "all",
    }
}
