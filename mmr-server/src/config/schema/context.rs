//! What reading a file leaves behind besides the values.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::config::{
    node::Node,
    problem::{Place, Report},
};

/// The key that is being read.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Field<'a> {
    pub(in crate::config) path: &'a str,
    /// The end of "accepted: ...".
    pub(in crate::config) accepts: &'a str,
}

/// What one file is read into.
#[derive(Debug)]
pub(in crate::config) struct Context<'a> {
    pub(in crate::config) file: Arc<str>,
    /// Set while the file of one homeserver is read.
    pub(in crate::config) host: Option<String>,
    pub(in crate::config) report: &'a mut Report,
    pub(in crate::config) without_effect: &'a mut WithoutEffect,
}

impl Context<'_> {
    pub(in crate::config) fn place(&self, line: u64, path: &str) -> Place {
        Place { file: Arc::clone(&self.file), line: Some(line), key: path.to_owned() }
    }

    /// Reports a value that the key does not take.
    pub(in crate::config) fn reject(&mut self, node: &Node, field: Field<'_>) {
        self.reject_as(&node.shown(), node, field);
    }

    /// [`Context::reject`] for values that no message may show.
    pub(in crate::config) fn reject_as(&mut self, shown: &str, node: &Node, field: Field<'_>) {
        let place = self.place(node.line, field.path);
        self.report.error(place, format!("found {shown}; accepted: {}", field.accepts));
    }
}

/// Keys that a file sets although they do nothing; see [`WithoutEffect::finish`].
#[derive(Debug, Default)]
pub(in crate::config) struct WithoutEffect {
    /// Host (none: main configuration), then path.
    set: BTreeSet<(Option<String>, String)>,
    /// The sections that have a switch, and whether it is on.
    switches: BTreeMap<(Option<String>, String), bool>,
}

impl WithoutEffect {
    pub(in crate::config) fn note(&mut self, host: Option<&str>, path: &str, speaks: bool) {
        let key = (host.map(str::to_owned), path.to_owned());
        if speaks {
            self.set.insert(key);
        } else {
            self.set.remove(&key);
        }
    }

    /// Drops what was noted below the entries of the list at `path`: another file replaces the list.
    pub(super) fn forget_entries(&mut self, host: Option<&str>, path: &str) {
        let entries = format!("{path}[");
        self.set.retain(|(of, path)| of.as_deref() != host || !path.starts_with(&entries));
    }

    pub(super) fn switch(&mut self, host: Option<&str>, section: &str, on: bool) {
        self.switches.insert((host.map(str::to_owned), section.to_owned()), on);
    }

    /// The paths, without those below a block that is switched off anyway: `redis.shards` means nothing to anybody
    /// while `redis.enabled` is false.
    pub(in crate::config) fn finish(self) -> Vec<String> {
        let Self { set, switches } = self;
        set.into_iter()
            .filter(|(host, path)| {
                !switches.iter().any(|((of, section), on)| !on && of == host && is_below(path, section))
            })
            .map(|(host, path)| match host {
                None => path,
                Some(host) => format!("{path} ({host})"),
            })
            .collect()
    }
}

fn is_below(path: &str, section: &str) -> bool {
    path.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}
