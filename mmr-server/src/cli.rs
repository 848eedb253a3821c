//! The command line: one file per subcommand.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

mod check_config;
mod dev;
mod doctor;
mod keys;
mod migrate;
mod render_program;
mod render_worker;
mod serve;
mod thumbnail;

/// A media repository for Matrix: stores, de-duplicates, thumbnails and serves the files that people send.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "\
Without a command, mmr-server serves. To look around without any configuration, run `mmr-server dev`.

Configuration is matrix-media-repo's YAML. Send requests for /_matrix/media, /_matrix/client/v1/media,
/_matrix/federation/v1/media and /_matrix/client/v3/logout here and everything else to the homeserver."
)]
struct Cli {
    /// Configuration: a YAML file, or a directory of them. The variable `REPO_CONFIG` wins over it.
    #[arg(long, global = true, value_name = "FILE|DIRECTORY", default_value = "media-repo.yaml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve media (the default).
    Serve,
    /// Read the configuration and print everything that is wrong, ineffective or unknown in it.
    CheckConfig,
    /// Check what no configuration file shows: whether the homeservers answer and publish our signing keys, whether the
    /// datastores take files, and how well thumbnails are locked in while they are rendered.
    Doctor,
    /// Bring the database to this version's schema, with no server running. `serve` does the same when it starts.
    Migrate(migrate::Options),
    /// Serve on loopback with no configuration at all: SQLite and a directory, a random token, commands to try.
    Dev(dev::Options),
    /// Make, convert and combine the keys with which a homeserver signs requests to other servers.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Make a thumbnail of one file as the server would.
    Thumbnail(Box<thumbnail::Options>),
    /// Render thumbnails for the server that started this.
    #[command(name = RENDER_WORKER, hide = true)]
    RenderWorker,
    /// Become a program that renders for the server that started this.
    #[command(name = RENDER_PROGRAM, hide = true)]
    RenderProgram {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// The word under which the server starts its render workers.
pub(crate) const RENDER_WORKER: &str = "render-worker";
/// The word under which the server starts programs of others.
pub(crate) const RENDER_PROGRAM: &str = "render-program";

/// Runs the command that `args` name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<_> = args.into_iter().collect();
    let for_others = args.get(1).is_some_and(|word| word == RENDER_PROGRAM);
    let args = args.into_iter().map(|arg| if for_others { arg } else { gnu_style(arg) });
    let Cli { config, command } = Cli::parse_from(args);
    let outcome = match command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&config),
        Command::CheckConfig => Ok(check_config::run(&config)),
        Command::Doctor => doctor::run(&config),
        Command::Migrate(options) => migrate::run(&config, &options),
        Command::Dev(options) => dev::run(&options),
        Command::Keys(command) => keys::run(&command),
        Command::Thumbnail(options) => thumbnail::run(&options),
        Command::RenderWorker => render_worker::run(),
        Command::RenderProgram { arguments } => Ok(render_program::run(arguments)),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// matrix-media-repo takes `-config FILE`; so do unit files and scripts written for it.
fn gnu_style(arg: OsString) -> OsString {
    const FLAGS: [&str; 5] = ["config", "version", "input", "format", "output"];
    let name = arg.to_str().and_then(|text| text.strip_prefix('-'));
    match name.map(|name| name.split_once('=').map_or(name, |(name, _)| name)) {
        Some(name) if FLAGS.contains(&name) => {
            let mut long = OsString::from("-");
            long.push(arg);
            long
        }
        _ => arg,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(args: &[&str]) -> Cli {
        Cli::parse_from(args.iter().map(|arg| gnu_style((*arg).into())))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_flags_of_matrix_media_repo_are_understood() {
        for args in [["mmr-server", "-config", "x.yaml"].as_slice(), &["mmr-server", "-config=x.yaml"]] {
            let cli = parse(args);
            assert_eq!(cli.config, PathBuf::from("x.yaml"));
            assert!(cli.command.is_none());
        }
    }

    #[test]
    fn the_flags_of_its_key_tools_are_understood_too() {
        let cli =
            parse(&["mmr-server", "keys", "generate", "-input=a", "-format", "synapse", "-output", "b"]);
        assert!(matches!(cli.command, Some(Command::Keys(keys::Command::Generate(_)))));
    }

    #[test]
    fn the_flags_of_its_thumbnailer_are_understood_too() {
        let args = ["mmr-server", "thumbnail", "-config", "x", "-i", "a", "-o", "b", "-w", "9", "-h", "9"];
        let cli = parse(&[&args[..], &["-m", "crop", "-a", "-f", "image/jpg"]].concat());
        assert!(matches!(cli.command, Some(Command::Thumbnail(_))));
    }

    #[test]
    fn what_a_program_is_to_do_reaches_it_untouched() {
        let arguments =
            ["{}", "/usr/bin/ffmpeg", "-hide_banner", "--config", "-i", "file:source", "--", "pipe:1"];
        let cli = Cli::parse_from(["mmr-server", RENDER_PROGRAM].iter().chain(&arguments));
        let Some(Command::RenderProgram { arguments: passed }) = cli.command else { panic!("{cli:?}") };
        assert_eq!(passed, arguments);
    }

    #[test]
    fn the_configuration_may_be_named_behind_the_command_too() {
        assert_eq!(parse(&["mmr-server", "serve", "--config", "x"]).config, PathBuf::from("x"));
    }
}
