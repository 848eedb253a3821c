//! `mmr-server check-config`.

use std::{fmt::Write as _, path::Path, process::ExitCode};

use crate::config::{self, ConfigError, Loaded, Settings};

pub(super) fn run(config: &Path) -> ExitCode {
    let path = config::path_or_environment(config);
    let (text, code) = match config::load(&path) {
        Ok(Loaded { settings, warnings }) => {
            let mut text = list("warning", &warnings);
            text += &summary(&settings);
            (text, ExitCode::SUCCESS)
        }
        Err(ConfigError { errors, warnings }) => {
            (list("error", &errors) + &list("warning", &warnings), ExitCode::FAILURE)
        }
    };
    print!("{text}");
    code
}

fn list(kind: &str, problems: &[config::Problem]) -> String {
    problems.iter().fold(String::new(), |mut text, problem| {
        let _ = writeln!(text, "{kind}: {problem}");
        text
    })
}

fn summary(settings: &Settings) -> String {
    let mut text = String::new();
    for key in &settings.unsupported {
        let _ = writeln!(text, "no effect yet: {key}");
    }
    let (host, port) = &settings.http.listen;
    let _ = writeln!(text, "ok: listens on {host}:{port}, records in {}", settings.database.named());
    for datastore in &settings.datastores {
        let kinds: Vec<_> = datastore.kinds.iter().map(|kind| config::kind_name(*kind)).collect();
        let kinds = if kinds.is_empty() { "takes nothing of everybody".to_owned() } else { kinds.join(", ") };
        let _ = writeln!(text, "ok: datastore {} in {} ({kinds})", datastore.id, datastore.storage);
    }
    for host in &settings.homeservers {
        let _ = writeln!(text, "ok: homeserver {} at {}", host.name, host.cs_api);
    }
    text
}
