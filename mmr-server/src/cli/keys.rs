//! `mmr-server keys`: what `generate_signing_key` and `combine_signing_keys` of matrix-media-repo do.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use mmr_core::{
    backend::net::{KeyFormat, SigningKey, SigningKeys},
    types::MediaId,
};

/// Only the owner may read and write; a umask can but take more away.
const PRIVATE: u32 = 0o600;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a signing key, or convert the first one of a file.
    #[command(after_help = "\
Other servers give out media to signed requests only, and believe a key only when the homeserver
publishes it. So the same key has to be in two places:

  1. mmr-server keys generate --output mmr.key
  2. mmr-server keys combine --format synapse --output combined.key HOMESERVER.KEY mmr.key
     and have the homeserver use combined.key from now on (Synapse: signing_key_path). Its own key
     stays the first in it, the one that it signs with.
  3. name mmr.key in this server's configuration: signingKeyPath of that homeserver.

The file is readable by its owner only.")]
    Generate(Generate),
    /// Put the keys of several files into one, in the order of the files.
    #[command(after_help = "\
Files may be those of Synapse, Dendrite or matrix-media-repo, with one key or several. Most software
signs with the first key of a file, so name the homeserver's own file first. Two keys of the same
version are refused: a homeserver could publish only one of them.

The file is readable by its owner only.")]
    Combine(Combine),
}

/// Options of `mmr-server keys generate`.
#[derive(Debug, Args)]
pub(super) struct Generate {
    /// Convert the first key of this file instead of making a new one. Its format is recognised.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

/// Options of `mmr-server keys combine`.
#[derive(Debug, Args)]
pub(super) struct Combine {
    /// Files of signing keys. Their formats are recognised.
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    target: Target,
}

/// Where keys are written, and how.
#[derive(Debug, Args)]
struct Target {
    /// What the file is for.
    #[arg(long, value_enum, default_value_t = Format::Mmr)]
    format: Format,
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = "./signing.key")]
    output: PathBuf,
    /// Replace the file if there is one. Keys that are lost this way cannot be made again.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// This server and matrix-media-repo.
    Mmr,
    /// Synapse.
    Synapse,
    /// Dendrite.
    Dendrite,
}

pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let (keys, target) = match command {
        Command::Generate(Generate { input: None, target }) => {
            (SigningKeys::single(SigningKey::generate()), target)
        }
        Command::Generate(Generate { input: Some(input), target }) => {
            (SigningKeys::single(read(input)?.first().clone()), target)
        }
        Command::Combine(Combine { inputs, target }) => (combine(inputs)?, target),
    };
    write(&keys, target)?;
    let output = target.output.display();
    for key in keys.iter() {
        println!("{output}: {} with the public key {}", key.id(), key.public_key());
    }
    Ok(ExitCode::SUCCESS)
}

fn combine(inputs: &[PathBuf]) -> anyhow::Result<SigningKeys> {
    let files: anyhow::Result<Vec<_>> =
        inputs.iter().map(|input| Ok((input.display().to_string(), read(input)?))).collect();
    Ok(SigningKeys::combine(files?)?)
}

fn read(path: &Path) -> anyhow::Result<SigningKeys> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    SigningKeys::parse(&text).with_context(|| format!("{} cannot be used", path.display()))
}

fn write(keys: &SigningKeys, target: &Target) -> anyhow::Result<()> {
    let Target { format, output, force } = target;
    let text = keys.write((*format).into());
    let written = if *force { replace(output, &text) } else { create(output, &text) };
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{} is there already; --force replaces it", output.display())
        }
        written => written.with_context(|| format!("{} cannot be written", output.display())),
    }
}

/// Never leaves half a file in place of a whole one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_file_name(format!(".{}.key", MediaId::generate()));
    let replaced = create(&beside, text).and_then(|()| fs::rename(&beside, path));
    replaced.inspect_err(|_| {
        // It may not be there, and the first error matters more.
        let _ = fs::remove_file(&beside);
    })
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

impl From<Format> for KeyFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Mmr => Self::Mmr,
            Format::Synapse => Self::Synapse,
            Format::Dendrite => Self::Dendrite,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use clap::Parser;
    use tempfile::TempDir;

    use super::*;

    /// What stands behind `mmr-server keys`.
    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        command: Command,
    }

    /// Runs in a directory: arguments with a `/` are files in it.
    fn keys(directory: &TempDir, args: &str) -> Result<(), String> {
        let place = |arg: &str| match arg.strip_prefix('/') {
            Some(name) => path(directory, name).display().to_string(),
            None => arg.to_owned(),
        };
        let cli = Cli::parse_from(std::iter::once("keys".to_owned()).chain(args.split(' ').map(place)));
        run(&cli.command).map(|_| ()).map_err(|error| format!("{error:#}"))
    }

    fn path(directory: &TempDir, name: &str) -> PathBuf {
        directory.path().join(name)
    }

    fn versions(directory: &TempDir, name: &str) -> Vec<String> {
        let keys = read(&path(directory, name)).unwrap();
        keys.iter().map(|key| key.version().to_owned()).collect()
    }

    fn text(directory: &TempDir, name: &str) -> String {
        fs::read_to_string(path(directory, name)).unwrap()
    }

    #[test]
    fn a_new_key_is_readable_by_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        for args in ["generate --output /a", "generate --output /a --force"] {
            keys(&directory, args).unwrap();
            assert_eq!(fs::metadata(path(&directory, "a")).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "{args}");
        }
        assert!(text(&directory, "a").starts_with("-----BEGIN MMR PRIVATE KEY-----\nKey-ID: ed25519:"));
    }

    #[test]
    fn a_key_is_not_overwritten_unless_that_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        keys(&directory, "generate --output /a").unwrap();
        let before = text(&directory, "a");
        let error = keys(&directory, "generate --output /a").unwrap_err();
        assert!(error.ends_with("a is there already; --force replaces it"), "{error}");
        assert_eq!(text(&directory, "a"), before);
        keys(&directory, "generate --output /a --force").unwrap();
        assert_ne!(text(&directory, "a"), before);
    }

    #[test]
    fn a_key_is_converted_from_format_to_format_and_back() {
        let directory = tempfile::tempdir().unwrap();
        keys(&directory, "generate --output /mmr").unwrap();
        keys(&directory, "generate --input /mmr --format synapse --output /synapse").unwrap();
        assert!(text(&directory, "synapse").starts_with("ed25519 "));
        keys(&directory, "generate --input /synapse --format dendrite --output /dendrite").unwrap();
        assert!(text(&directory, "dendrite").starts_with("-----BEGIN MATRIX PRIVATE KEY-----"));
        keys(&directory, "generate --input /dendrite --format mmr --output /again").unwrap();
        assert_eq!(text(&directory, "again"), text(&directory, "mmr"));
    }

    #[test]
    fn keys_are_combined_in_the_order_of_their_files() {
        let directory = tempfile::tempdir().unwrap();
        keys(&directory, "generate --output /a --format synapse").unwrap();
        keys(&directory, "generate --output /b").unwrap();
        keys(&directory, "combine /b /a --output /c --format dendrite").unwrap();
        let expected = [versions(&directory, "b"), versions(&directory, "a")].concat();
        assert_eq!(versions(&directory, "c"), expected);
    }

    #[test]
    fn two_keys_of_one_version_are_named_and_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        keys(&directory, "generate --output /a --format synapse").unwrap();
        keys(&directory, "generate --input /a --output /b").unwrap();
        let error = keys(&directory, "combine /a /b --output /c").unwrap_err();
        let (version, seed) = (&versions(&directory, "a")[0], text(&directory, "a"));
        assert!(error.contains(version) && error.contains("/a and ") && error.contains("/b "), "{error}");
        assert!(!error.contains(seed.split_whitespace().next_back().unwrap()));
        assert!(!path(&directory, "c").exists());
    }

    #[test]
    fn a_file_that_is_no_key_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(path(&directory, "x"), "nonsense").unwrap();
        let error = keys(&directory, "generate --input /x --output /a").unwrap_err();
        assert!(error.contains("x cannot be used: line 1: accepted is"), "{error}");
        let error = keys(&directory, "combine /missing --output /a").unwrap_err();
        assert!(error.contains("missing cannot be read"), "{error}");
    }
}
