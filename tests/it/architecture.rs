//! The layers of `mmr-core`: arrows point inward only.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Modules from the innermost layer to the outermost. A module may use its own layer and those before it.
const LAYERS: [&[&str]; 9] = [
    &["types"],
    &["stream", "clock", "metrics"],
    &["datastore", "store", "federation"],
    &["error", "policy", "lifecycle", "flight", "waiters", "leases"],
    &["access_log", "record_cache", "batches"],
    &["news"],
    &["ingest"],
    &["download", "upload", "thumbnail", "moderation", "purge", "gc", "tasks"],
    &["repo"],
];

/// What backends may use.
const SEAMS: [&str; 6] = ["types", "stream", "clock", "datastore", "store", "federation"];

#[test]
fn modules_of_the_core_depend_inward_only() {
    let violations: Vec<_> = uses_of_the_core()
        .into_iter()
        .filter(|Use { from, to, .. }| match (layer(from), layer(to)) {
            (Some(from), Some(to)) => to > from,
            // Nobody inside uses a backend or the suites.
            (Some(_), None) => true,
            (None, _) => false,
        })
        .collect();
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn backends_know_the_seams_and_nothing_else() {
    let violations: Vec<_> = uses_of_the_core()
        .into_iter()
        .filter(|Use { from, to, .. }| from == "backend" && to != "backend" && !SEAMS.contains(&&**to))
        .collect();
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn every_module_has_its_layer() {
    let known: BTreeSet<_> = LAYERS.concat().into_iter().chain(["backend", "testing", "lib"]).collect();
    let unknown: Vec<_> = modules().into_iter().filter(|module| !known.contains(&**module)).collect();
    assert!(unknown.is_empty(), "{unknown:?} stand in no layer");
}

#[test]
fn features_gate_whole_directories_in_one_place() {
    let allowed = [
        "lib.rs",
        "backend.rs",
        "testing.rs",
        "testing/datastore_suite.rs",
        "thumbnail.rs",
        "thumbnail/formats.rs",
    ];
    for (path, text) in sources() {
        let gated =
            text.lines().any(|line| line.contains("cfg(feature") || line.contains("cfg(any(test, feature"));
        assert!(
            !gated || allowed.iter().any(|allowed| path.ends_with(allowed)),
            "{} has a cfg(feature)",
            path.display()
        );
    }
}

#[test]
fn files_are_short_enough_to_be_one_idea() {
    for (path, text) in sources().into_iter().filter(|(path, _)| module_of(path) != "testing") {
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines = code.lines().count();
        assert!(lines <= 420, "{} has {lines} lines without its tests", path.display());
    }
}

#[derive(Debug)]
#[expect(dead_code, reason = "shown when a test fails")]
struct Use {
    file: PathBuf,
    from: String,
    to: String,
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Every `crate::module` outside of inline tests.
fn uses_of_the_core() -> Vec<Use> {
    let mut uses = Vec::new();
    for (file, text) in sources() {
        let from = module_of(&file);
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let code: String =
            code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for (index, _) in code.match_indices("crate::") {
            for to in first_segments(&code[index + "crate::".len()..]) {
                uses.push(Use { file: file.clone(), from: from.clone(), to });
            }
        }
    }
    assert!(uses.len() > 100, "the scan finds next to nothing");
    uses
}

/// The first segments behind `crate::`, whether one path or a braced list. Re-exports at the root count as the module
/// that they come from.
fn first_segments(rest: &str) -> Vec<String> {
    let name =
        |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let names = match rest.strip_prefix('{') {
        None => vec![name(rest)],
        Some(list) => {
            let mut depth = 0;
            let mut names = vec![name(list.trim_start())];
            for (index, c) in list.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(name(list[index + 1..].trim_start())),
                    _ => {}
                }
            }
            names
        }
    };
    let root = |name: String| match &*name {
        "Error" | "ErrorKind" | "Result" => "error".to_owned(),
        "MediaRepository" | "MediaRepositoryBuilder" => "repo".to_owned(),
        _ => name,
    };
    names.into_iter().filter(|name| !name.is_empty()).map(root).collect()
}

fn modules() -> BTreeSet<String> {
    sources().iter().map(|(path, _)| module_of(path)).collect()
}

fn module_of(path: &Path) -> String {
    let relative = path.strip_prefix(source_root()).expect("a file of the core");
    let first = relative.components().next().expect("a file name").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut directories = vec![source_root()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory of the core") {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() {
                // Tests may use the suites and whatever else they need.
                directories.extend((!path.ends_with("tests")).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("tests.rs")
            {
                let text = fs::read_to_string(&path).expect("a source file");
                files.push((path, text));
            }
        }
    }
    files
}

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../mmr-core/src")
}
