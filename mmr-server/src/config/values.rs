//! The words that a file may say: each type parses one and tells what it takes.

mod names;
mod network;
mod source_type;

use std::{
    fmt::Display,
    ops::{Bound, RangeBounds},
    path::PathBuf,
};

pub use self::names::{LogLevel, Pattern, Secret};
pub(super) use self::{
    names::{AdminApi, DatastoreKind, DatastoreType, Free, Text},
    network::{BaseUrl, BindHost, Cidr, HostPort},
    source_type::SourceType,
};
use super::{
    node::{Data, Node},
    schema::Scalar,
};

/// "a whole number" and a range, in words.
pub(super) fn within<T: Display>(what: &str, range: &impl RangeBounds<T>) -> String {
    match (range.start_bound(), range.end_bound()) {
        (Bound::Included(from), Bound::Included(to)) => format!("{what} from {from} to {to}"),
        (Bound::Included(from), _) => format!("{what}, {from} or more"),
        _ => what.to_owned(),
    }
}

/// A number without a fraction; `1e6` counts.
fn whole(node: &Node) -> Option<i128> {
    /// Beyond this a float no longer names one whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match node.data {
        Data::Int(value) => Some(value),
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        Data::Float(value) if value.fract() == 0.0 && value.abs() < EXACT => Some(value as i128),
        _ => None,
    }
}

macro_rules! whole_numbers {
    ($($type:ty: $accepts:literal,)+) => { $(
        impl Scalar for $type {
            fn accepts() -> String {
                $accepts.to_owned()
            }

            fn shown(&self) -> String {
                self.to_string()
            }

            fn parse(node: &Node) -> Option<Self> {
                whole(node).and_then(|value| Self::try_from(value).ok())
            }
        }
    )+ };
}

whole_numbers! {
    u16: "a whole number",
    u32: "a whole number",
    u64: "a whole number",
    i64: "a whole number",
}

impl Scalar for f64 {
    fn accepts() -> String {
        "a number".to_owned()
    }

    fn shown(&self) -> String {
        self.to_string()
    }

    fn parse(node: &Node) -> Option<Self> {
        match node.data {
            #[expect(clippy::cast_precision_loss, reason = "no key needs more than a float holds")]
            Data::Int(value) => Some(value as Self),
            Data::Float(value) => Some(value).filter(|value| value.is_finite()),
            _ => None,
        }
    }
}

impl Scalar for bool {
    fn accepts() -> String {
        "true or false".to_owned()
    }

    fn shown(&self) -> String {
        self.to_string()
    }

    /// Also the older spellings and quoted ones, as Go's YAML takes them.
    fn parse(node: &Node) -> Option<Self> {
        match &node.data {
            Data::Bool(value) => Some(*value),
            Data::Text(text) => match text.as_str() {
                "true" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Some(true),
                "false" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    fn is_on(&self) -> bool {
        *self
    }
}

/// The text of any scalar: a token of digits need not be quoted.
fn text(node: &Node) -> Option<&str> {
    match &node.data {
        Data::Text(text) => Some(text),
        Data::Bool(_) | Data::Int(_) | Data::Float(_) => Some(&node.raw),
        Data::Null | Data::List(_) | Data::Map(_) => None,
    }
}

impl Scalar for PathBuf {
    fn accepts() -> String {
        "a path".to_owned()
    }

    fn shown(&self) -> String {
        if self.as_os_str().is_empty() { "empty".to_owned() } else { self.display().to_string() }
    }

    fn parse(node: &Node) -> Option<Self> {
        text(node).filter(|text| !text.contains('\0')).map(Self::from)
    }
}
