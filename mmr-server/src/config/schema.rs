//! The keys of the file, in one place: `section!` declares a block's keys with type, default, range, meaning and
//! support. Reading, overlaying, checking, suggesting and documenting all work from that declaration.

mod containers;
mod context;

use std::collections::BTreeMap;

pub(super) use self::{
    containers::Located,
    context::{Context, Field, WithoutEffect},
};
use super::{
    node::{Data, Entry, Node},
    raw::Main,
    suggest,
};

/// Whether a key does anything in this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// It has the effect that its description says.
    Used,
    /// It is read and checked, but has no effect yet.
    Planned,
    /// It has no effect, on purpose.
    Ignored,
}

/// Where a key may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// In the main configuration only.
    Global,
    /// Also in the file of one homeserver.
    Host,
}

/// A key as the documentation and the reader need it.
#[derive(Debug, Clone)]
pub(crate) struct KeyInfo {
    /// The key itself inside a section; the whole path in [`all_keys`].
    pub(crate) key: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "the reference documentation is made of it"))]
    pub(crate) about: String,
    pub(crate) accepts: String,
    pub(crate) default: String,
    pub(crate) support: Support,
    pub(crate) scope: Scope,
    /// What lies below it, for blocks and lists of blocks; whole paths.
    pub(crate) children: fn(&str) -> Option<Vec<KeyInfo>>,
}

/// Anything that can stand behind a key.
pub(super) trait Value: Sized {
    /// What a file may say, in words.
    fn accepts() -> String;

    /// The value as the documentation shows it.
    fn shown(&self) -> String;

    /// Builds the value from nothing; reports and returns `None` where the file is wrong.
    fn read(node: &Node, field: Field<'_>, cx: &mut Context<'_>) -> Option<Self>;

    /// Lays what the file says over `self`: scalars and lists are replaced, blocks are merged key by key.
    fn overlay(&mut self, node: &Node, field: Field<'_>, cx: &mut Context<'_>) {
        if let Some(value) = Self::read(node, field, cx) {
            *self = value;
        }
    }

    /// Whether it is a switch that is on.
    fn is_on(&self) -> bool {
        false
    }

    /// The keys below this one, as whole paths.
    fn children(_path: &str) -> Option<Vec<KeyInfo>> {
        None
    }
}

/// A value that is one word in the file.
pub(super) trait Scalar: Sized {
    /// See [`Value::accepts`].
    fn accepts() -> String;
    /// See [`Value::shown`].
    fn shown(&self) -> String;
    /// `None` where the node says something else.
    fn parse(node: &Node) -> Option<Self>;
    /// See [`Value::is_on`].
    fn is_on(&self) -> bool {
        false
    }
    /// Whether messages must not repeat what the file says.
    const HIDDEN: bool = false;
}

impl<T: Scalar> Value for T {
    fn accepts() -> String {
        T::accepts()
    }

    fn shown(&self) -> String {
        Scalar::shown(self)
    }

    fn read(node: &Node, field: Field<'_>, cx: &mut Context<'_>) -> Option<Self> {
        let value = T::parse(node);
        if value.is_none() {
            if T::HIDDEN {
                cx.reject_as("something else (not shown)", node, field);
            } else {
                cx.reject(node, field);
            }
        }
        value
    }

    fn is_on(&self) -> bool {
        Scalar::is_on(self)
    }
}

/// A block of keys. Implemented by `section!` only.
pub(super) trait Section: Default {
    /// The block's keys; `default` is what `self` holds.
    fn fields(&self) -> Vec<KeyInfo>;

    /// Reads one key. Returns whether it now says something that a user may count on: not the default, or "on".
    fn set(&mut self, key: &str, node: &Node, field: Field<'_>, cx: &mut Context<'_>) -> bool;

    /// Reads a block over `self`.
    fn overlay_section(&mut self, node: &Node, field: Field<'_>, cx: &mut Context<'_>) {
        match &node.data {
            Data::Null => {}
            Data::Map(entries) => self.overlay_entries(entries, field.path, cx),
            _ => cx.reject(node, field),
        }
    }

    /// Reads the entries of a block over `self`. A key without a value is a key that is not there.
    fn overlay_entries(&mut self, entries: &[Entry], path: &str, cx: &mut Context<'_>) {
        let fields = self.fields();
        let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
        for Entry { key, line, node } in entries {
            let full = join(path, key);
            if let Some(first) = seen.insert(key, *line) {
                let place = cx.place(*line, &full);
                cx.report
                    .error(place, format!("stands here a second time, after line {first}; accepted: once"));
                continue;
            }
            let Some(info) = fields.iter().find(|info| info.key == *key) else {
                let place = cx.place(*line, &full);
                let hint = suggest::hint(key, path, &fields);
                cx.report.warn(place, format!("unknown key, it has no effect{hint}"));
                continue;
            };
            if cx.host.is_some() && info.scope == Scope::Global {
                let place = cx.place(*line, &full);
                cx.report.warn(place, "cannot be set for one homeserver, it has no effect here");
                continue;
            }
            if node.data == Data::Null {
                continue;
            }
            let field = Field { path: &full, accepts: &info.accepts };
            let speaks = self.set(key, node, field, cx);
            let is_block = (info.children)("").is_some();
            if info.support != Support::Used && !is_block {
                cx.without_effect.note(cx.host.as_deref(), &full, speaks);
            }
        }
        let switch = self.fields().into_iter().find(|info| info.key == "enabled");
        if let Some(switch) = switch {
            cx.without_effect.switch(cx.host.as_deref(), path, switch.default == "true");
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The keys of a section as whole paths below `path`, blocks expanded.
pub(super) fn expand(fields: Vec<KeyInfo>, path: &str) -> Vec<KeyInfo> {
    let mut all = Vec::new();
    for info in fields {
        let full = join(path, &info.key);
        match (info.children)(&full) {
            Some(below) => all.extend(below),
            None => all.push(KeyInfo { key: full, ..info }),
        }
    }
    all
}

/// Every key that a file may hold, as whole paths; `[]` stands for each entry of a list.
pub(crate) fn all_keys() -> Vec<KeyInfo> {
    expand(Main::default().fields(), "")
}

/// Declares a block:
///
/// ```text
/// section! {
///     /// What the block is for.
///     struct Name {
///         /// What the key means (this is the documentation's text, too).
///         "key" => field: Type [range] = default, Support Scope;
///     }
/// }
/// ```
macro_rules! section {
    (
        $(#[doc = $block:literal])+
        struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $key:literal => $field:ident : $type:ty $([$range:expr])? = $default:expr, $support:ident $scope:ident;
            )+
        }
    ) => {
        $(#[doc = $block])+
        #[derive(Debug, Clone, PartialEq)]
        pub(in crate::config) struct $name {
            $( $(#[doc = $doc])+ pub(in crate::config) $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $crate::config::schema::Section for $name {
            fn fields(&self) -> Vec<$crate::config::schema::KeyInfo> {
                vec![ $( $crate::config::schema::KeyInfo {
                    key: $key.to_owned(),
                    about: concat!($($doc),+).trim().to_owned(),
                    accepts: {
                        let accepts = <$type as $crate::config::schema::Value>::accepts();
                        $( let accepts = $crate::config::values::within(&accepts, &($range)); )?
                        accepts
                    },
                    default: $crate::config::schema::Value::shown(&self.$field),
                    support: $crate::config::schema::Support::$support,
                    scope: $crate::config::schema::Scope::$scope,
                    children: <$type as $crate::config::schema::Value>::children,
                }, )+ ]
            }

            fn set(
                &mut self,
                key: &str,
                node: &$crate::config::node::Node,
                field: $crate::config::schema::Field<'_>,
                cx: &mut $crate::config::schema::Context<'_>,
            ) -> bool {
                match key {
                    $( $key => {
                        let mut next = self.$field.clone();
                        $crate::config::schema::Value::overlay(&mut next, node, field, cx);
                        $( if !($range).contains(&next) {
                            cx.reject(node, field);
                            next = self.$field.clone();
                        } )?
                        self.$field = next;
                        let plain: $type = $default;
                        PartialEq::ne(&self.$field, &plain) || $crate::config::schema::Value::is_on(&self.$field)
                    } )+
                    _ => false,
                }
            }
        }

        impl $crate::config::schema::Value for $name {
            fn accepts() -> String {
                "a mapping".to_owned()
            }

            fn shown(&self) -> String {
                let fields = $crate::config::schema::Section::fields(self);
                let shown: Vec<_> = fields
                    .into_iter()
                    .map(|info| format!("{}: {}", info.key, info.default))
                    .collect();
                format!("{{{}}}", shown.join(", "))
            }

            fn read(
                node: &$crate::config::node::Node,
                field: $crate::config::schema::Field<'_>,
                cx: &mut $crate::config::schema::Context<'_>,
            ) -> Option<Self> {
                let mut section = Self::default();
                $crate::config::schema::Section::overlay_section(&mut section, node, field, cx);
                Some(section)
            }

            fn overlay(
                &mut self,
                node: &$crate::config::node::Node,
                field: $crate::config::schema::Field<'_>,
                cx: &mut $crate::config::schema::Context<'_>,
            ) {
                $crate::config::schema::Section::overlay_section(self, node, field, cx);
            }

            fn children(path: &str) -> Option<Vec<$crate::config::schema::KeyInfo>> {
                let fields = $crate::config::schema::Section::fields(&Self::default());
                Some($crate::config::schema::expand(fields, path))
            }
        }
    };
}
pub(super) use section;
