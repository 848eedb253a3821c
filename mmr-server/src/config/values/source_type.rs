//! Content types of files that thumbnails are made of.

use mmr_core::policy::ThumbnailPolicy;

use super::text;
use crate::config::{
    node::Node,
    schema::{Context, Field, Value},
};

/// A content type. One of which nothing here makes thumbnails is kept with a warning: configurations are older and newer
/// than the program that reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct SourceType(pub(in crate::config) String);

impl SourceType {
    pub(in crate::config) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl Value for SourceType {
    fn accepts() -> String {
        let known: Vec<_> = ThumbnailPolicy::known_types().collect();
        format!("one of {}", known.join(", "))
    }

    fn shown(&self) -> String {
        self.0.clone()
    }

    fn read(node: &Node, field: Field<'_>, cx: &mut Context<'_>) -> Option<Self> {
        let Some(name) = text(node).map(str::trim) else {
            cx.reject(node, field);
            return None;
        };
        if !ThumbnailPolicy::knows_type(name) {
            let place = cx.place(node.line, field.path);
            let message =
                format!("no thumbnails are made of {name:?}, it has no effect; accepted: {}", field.accepts);
            cx.report.warn(place, message);
        }
        Some(Self::new(name))
    }
}
