//! Values made of values: optional ones, lists, mappings with free keys.

use std::collections::BTreeMap;

use super::{Context, Field, KeyInfo, Scalar, Value};
use crate::config::{
    node::{Data, Entry, Node},
    problem::Place,
};

impl<T: Value> Value for Option<T> {
    fn accepts() -> String {
        T::accepts()
    }

    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), T::shown)
    }

    fn read(node: &Node, field: Field<'_>, cx: &mut Context<'_>) -> Option<Self> {
        T::read(node, field, cx).map(Some)
    }

    fn children(path: &str) -> Option<Vec<KeyInfo>> {
        T::children(path)
    }
}

impl<T: Value> Value for Vec<T> {
    fn accepts() -> String {
        format!("a list; each entry: {}", T::accepts())
    }

    fn shown(&self) -> String {
        if self.is_empty() {
            return "empty".to_owned();
        }
        let items: Vec<_> = self.iter().map(T::shown).collect();
        items.join(", ")
    }

    /// Bad entries are reported and left out, so that one reading finds all of them.
    fn read(node: &Node, field: Field<'_>, cx: &mut Context<'_>) -> Option<Self> {
        let Data::List(items) = &node.data else {
            cx.reject(node, field);
            return None;
        };
        cx.without_effect.forget_entries(cx.host.as_deref(), field.path);
        let accepts = T::accepts();
        let read = |(index, item): (usize, &Node)| {
            let path = format!("{}[{index}]", field.path);
            let field = Field { path: &path, accepts: &accepts };
            T::read(item, field, cx)
        };
        Some(items.iter().enumerate().filter_map(read).collect())
    }

    fn children(path: &str) -> Option<Vec<KeyInfo>> {
        T::children(&format!("{path}[]"))
    }
}

impl<K: Scalar + Ord, T: Value> Value for BTreeMap<K, T> {
    fn accepts() -> String {
        format!("a mapping from {} to {}", K::accepts(), T::accepts())
    }

    fn shown(&self) -> String {
        let items: Vec<_> =
            self.iter().map(|(key, value)| format!("{}: {}", key.shown(), value.shown())).collect();
        if items.is_empty() { "empty".to_owned() } else { items.join(", ") }
    }

    fn read(node: &Node, field: Field<'_>, cx: &mut Context<'_>) -> Option<Self> {
        let Data::Map(entries) = &node.data else {
            cx.reject(node, field);
            return None;
        };
        let (key_accepts, accepts) = (K::accepts(), T::accepts());
        let mut map = Self::new();
        for Entry { key, line, node } in entries {
            let path = format!("{}.{key}", field.path);
            let name = Node { line: *line, raw: key.clone(), data: Data::Text(key.clone()) };
            let key = K::read(&name, Field { path: &path, accepts: &key_accepts }, cx);
            let value = T::read(node, Field { path: &path, accepts: &accepts }, cx);
            if let (Some(key), Some(value)) = (key, value) {
                map.insert(key, value);
            }
        }
        Some(map)
    }
}

/// A value that remembers its place, for checks that look at more than one key.
#[derive(Debug, Clone)]
pub(in crate::config) struct Located<T> {
    pub(in crate::config) value: T,
    /// `None` for a default.
    pub(in crate::config) place: Option<Place>,
}

impl<T> Located<T> {
    pub(in crate::config) fn default_of(value: T) -> Self {
        Self { value, place: None }
    }
}

/// Two values are the same wherever they stand.
impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Value> Value for Located<T> {
    fn accepts() -> String {
        T::accepts()
    }

    fn shown(&self) -> String {
        self.value.shown()
    }

    fn read(node: &Node, field: Field<'_>, cx: &mut Context<'_>) -> Option<Self> {
        let place = Some(cx.place(node.line, field.path));
        T::read(node, field, cx).map(|value| Self { value, place })
    }

    fn children(path: &str) -> Option<Vec<KeyInfo>> {
        T::children(path)
    }
}
