//! A file, or a directory of files, into [`Settings`].
//!
//! In a directory every file counts, in the order of their names; one with a top-level key `homeserver` is about that
//! homeserver alone. What comes later wins, key by key. (In matrix-media-repo it wins block by block, so that a block with
//! one key resets all of its others.)

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ruma::OwnedServerName;

use super::{
    ConfigError, Place, Problem, Settings,
    node::{Data, Entry, Node},
    problem::Report,
    raw::{Homeserver, Main},
    schema::{Context, Field, Located, Scalar as _, Section as _, WithoutEffect},
    validate::{Host, validate},
};

/// A configuration that can run, and what should be looked at all the same.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub settings: Settings,
    /// Unknown keys and the like.
    pub warnings: Vec<Problem>,
}

/// Reads the configuration at `path`.
///
/// Errors: everything that is wrong, all at once.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let sources = sources(path).map_err(|error| unreadable(path, &error))?;
    read(&sources)
}

/// One file.
pub(super) struct Source {
    pub(super) name: Arc<str>,
    pub(super) text: String,
}

fn unreadable(path: &Path, error: &io::Error) -> ConfigError {
    let place = Place { file: path.display().to_string().into(), line: None, key: String::new() };
    let message = format!(
        "cannot be read: {error}; name the configuration with --config FILE, or try `mmr-server dev`, which needs none"
    );
    ConfigError { errors: vec![Problem { place, message }], warnings: Vec::new() }
}

fn sources(path: &Path) -> io::Result<Vec<Source>> {
    let mut files: Vec<PathBuf> = if path.is_dir() {
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?
    } else {
        vec![path.to_path_buf()]
    };
    files.retain(|file| !file.is_dir());
    files.sort();
    let source = |file: PathBuf| {
        let text = fs::read_to_string(&file);
        let text =
            text.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
        Ok(Source { name: file.display().to_string().into(), text })
    };
    files.into_iter().map(source).collect()
}

pub(super) fn read(sources: &[Source]) -> Result<Loaded, ConfigError> {
    let mut report = Report::default();
    let mut without_effect = WithoutEffect::default();
    let mut main = Main::default();
    let mut per_host = Vec::new();
    for source in sources {
        let Some(entries) = parse(source, &mut report) else { continue };
        if entries.iter().any(|entry| entry.key == "homeserver") {
            per_host.push((source, entries));
            continue;
        }
        let file = Arc::clone(&source.name);
        let mut cx = Context { file, host: None, report: &mut report, without_effect: &mut without_effect };
        main.overlay_entries(&entries, "", &mut cx);
    }
    let mut hosts = hosts_of(&main, &mut report);
    for (source, entries) in per_host {
        let file = Arc::clone(&source.name);
        let mut cx = Context { file, host: None, report: &mut report, without_effect: &mut without_effect };
        overlay_host(&mut hosts, &main, entries, &mut cx);
    }
    let settings = validate(main, hosts, without_effect.finish(), &mut report);
    let (errors, warnings) = report.finish();
    match settings {
        Some(settings) if errors.is_empty() => Ok(Loaded { settings, warnings }),
        _ => Err(ConfigError { errors, warnings }),
    }
}

fn parse(source: &Source, report: &mut Report) -> Option<Vec<Entry>> {
    let place = |line| Place { file: Arc::clone(&source.name), line, key: String::new() };
    match Node::parse(&source.text) {
        Ok(Node { data: Data::Map(entries), .. }) => Some(entries),
        Ok(Node { data: Data::Null, .. }) => Some(Vec::new()),
        Ok(node) => {
            report.error(place(Some(node.line)), format!("found {}; accepted: a mapping", node.shown()));
            None
        }
        Err(error) => {
            report.error(place(error.line), format!("this is no YAML: {}", error.message));
            None
        }
    }
}

/// Each homeserver of the main configuration starts with the main configuration's blocks.
fn hosts_of(main: &Main, report: &mut Report) -> Vec<Host> {
    let mut hosts: Vec<Host> = Vec::new();
    for Located { value, place } in &main.homeservers {
        let place = place.clone().unwrap_or_else(|| missing_place("homeservers"));
        let Some(name) = value.name.clone() else {
            let place = Place { key: format!("{}.name", place.key), ..place };
            report.error(place, "is missing; accepted: the server name, as in user ids");
            continue;
        };
        if hosts.iter().any(|host| host.name == name) {
            let place = Place { key: format!("{}.name", place.key), ..place };
            report.error(place, format!("{name} is listed twice; accepted: each homeserver once"));
            continue;
        }
        hosts.push(Host { name, place, entry: value.clone(), blocks: main.clone() });
    }
    hosts
}

/// A file about one homeserver: `homeserver` names it, `csApi` and its like stand at the top, blocks override key by key.
fn overlay_host(hosts: &mut Vec<Host>, main: &Main, entries: Vec<Entry>, cx: &mut Context<'_>) {
    let (own, blocks): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| is_about_the_host(&entry.key));
    let (names, own): (Vec<Entry>, Vec<Entry>) = own.into_iter().partition(|entry| entry.key == "homeserver");
    let Some(Entry { node, .. }) = names.first() else { return };
    let accepts = OwnedServerName::accepts();
    let field = Field { path: "homeserver", accepts: &accepts };
    let Some(name) = <OwnedServerName as super::schema::Value>::read(node, field, cx) else { return };
    cx.host = Some(name.to_string());
    let index = hosts.iter().position(|host| host.name == name).unwrap_or_else(|| {
        let place = cx.place(node.line, "homeserver");
        let entry = Homeserver { name: Some(name.clone()), ..Homeserver::default() };
        hosts.push(Host { name: name.clone(), place, entry, blocks: main.clone() });
        hosts.len() - 1
    });
    let host = &mut hosts[index];
    host.entry.overlay_entries(&own, "", cx);
    // The file's `homeserver` is the name; a `name` beside it is for people.
    host.entry.name = Some(name);
    host.blocks.overlay_entries(&blocks, "", cx);
}

fn is_about_the_host(key: &str) -> bool {
    matches!(key, "homeserver" | "name" | "csApi" | "backoffAt" | "adminApiKind" | "signingKeyPath")
}

pub(super) fn missing_place(key: &str) -> Place {
    Place { file: "configuration".into(), line: None, key: key.to_owned() }
}
