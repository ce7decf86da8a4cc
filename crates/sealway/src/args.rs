//! What may be typed: commands and flags as clap sees them, and nothing about what they do.
//!
//! Every flag has an environment variable `SEALWAY_…` of its name; what is typed wins. Lists in a variable are separated by commas,
//! paths by the system's path separator.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::parser::ValueSource;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

mod certs;
mod check;
mod controller;
mod demo;
mod proxy;
mod run;
mod values;

pub(crate) use certs::{
    CertsCommand, CertsInspectArgs, CertsListArgs, CertsRenewArgs, CertsRevokeArgs, CertsSourceArgs, ConsentArgs, TrustCommand,
    TrustInstallArgs, TrustUninstallArgs, Typed,
};
pub(crate) use check::CheckArgs;
pub(crate) use controller::ControllerArgs;
pub(crate) use demo::DemoArgs;
pub(crate) use proxy::ProxyArgs;
pub(crate) use run::{IssuerBehaviour, RejectionStyle, RunArgs};
pub(crate) use values::AddressFlags;

/// A Kubernetes Gateway API gateway that specialises in TLS.
#[derive(Debug, Parser)]
#[command(
    name = "sealway",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = "Exit status: 0 yes, 1 no, 2 could not run. Each flag can be given by its environment variable SEALWAY_… too."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) talk: TalkArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve Gateway API manifests on this machine
    Run(Box<RunArgs>),
    /// Look after the Gateways of a Kubernetes cluster
    Controller(Box<ControllerArgs>),
    /// Carry the connections of one Gateway, as a controller says
    Proxy(Box<ProxyArgs>),
    /// Compile manifests and say what is wrong with them
    Check(CheckArgs),
    /// Show the whole gateway at work, with sample backends and certificates
    Demo(DemoArgs),
    /// Look after certificates and who believes them
    #[command(subcommand)]
    Certs(CertsCommand),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
    /// Write the man pages into a directory
    Man(ManArgs),
}

/// How much is said, and how it looks.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Talk")]
pub(crate) struct TalkArgs {
    /// Say only what is wrong
    #[arg(short, long, global = true, env = "SEALWAY_QUIET", value_parser = FalseyValueParser::new())]
    pub(crate) quiet: bool,
    /// Say more; twice for everything
    #[arg(short, long, global = true, env = "SEALWAY_VERBOSE", action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colours; NO_COLOR is honoured
    #[arg(long, global = true, env = "SEALWAY_COLOR", value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    /// How log lines look
    #[arg(
        long,
        global = true,
        env = "SEALWAY_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(crate) log_format: LogFormat,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// How the answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    Text,
    /// The documented schema
    Json,
    /// The same as YAML
    Yaml,
}

/// Where the answer goes.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct OutputArgs {
    /// How to print the answer
    #[arg(
        short = 'o',
        long = "output",
        env = "SEALWAY_OUTPUT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(crate) format: OutputFormat,
}

/// Which manifests are read.
#[derive(Clone, Debug, Args)]
pub(crate) struct ManifestArgs {
    /// File, directory (with all below it) or `-` for standard input; repeatable
    #[arg(short = 'f', long = "file", env = "SEALWAY_FILE", value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

/// `sealway completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// `sealway man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where to write them; made if missing
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

/// Reads a command line, the program's name first.
pub(crate) fn parse(line: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(line)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    // A path may hold a comma, so clap's own list separator will not do for SEALWAY_FILE.
    let mut innermost = &matches;
    while let Some((_, below)) = innermost.subcommand() {
        innermost = below;
    }
    let has_paths = innermost.try_contains_id("paths").is_ok();
    let from_variable = has_paths && innermost.value_source("paths") == Some(ValueSource::EnvVariable);
    let paths = match &mut cli.command {
        Command::Run(run) => Some(&mut run.manifests.paths),
        Command::Check(check) => Some(&mut check.manifests.paths),
        Command::Certs(
            CertsCommand::List(CertsListArgs { source, .. }) | CertsCommand::Inspect(CertsInspectArgs { source, .. }),
        ) => {
            let typed = |id| innermost.value_source(id) == Some(ValueSource::CommandLine);
            source.typed = match (typed("admin"), typed("paths") || typed("state_dir")) {
                (true, true) => {
                    let text = "--admin asks a gateway, -f and --state-dir ask none: give one or the other\n";
                    return Err(command.error(clap::error::ErrorKind::ArgumentConflict, text));
                }
                (true, false) => Typed::Admin,
                (false, true) => Typed::Disk,
                (false, false) => Typed::Nothing,
            };
            Some(&mut source.paths)
        }
        Command::Certs(CertsCommand::Renew(renew)) => Some(&mut renew.paths),
        Command::Certs(CertsCommand::Revoke(_) | CertsCommand::Trust(_))
        | Command::Demo(_)
        | Command::Controller(_)
        | Command::Proxy(_)
        | Command::Completions(_)
        | Command::Man(_) => None,
    };
    if let Some(paths) = paths.filter(|_| from_variable) {
        *paths = paths.iter().flat_map(std::env::split_paths).collect();
    }
    Ok(cli)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_its_environment_variable() {
        fn walk(command: &clap::Command) {
            for argument in command.get_arguments() {
                let Some(long) = argument.get_long().filter(|long| !["help", "version"].contains(long)) else {
                    continue;
                };
                let expected = format!("SEALWAY_{}", long.to_uppercase().replace('-', "_"));
                let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
                assert_eq!(variable, Some(expected), "--{long} of {}", command.get_name());
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }

    #[test]
    fn flags_may_follow_the_command() {
        let cli = parse(words("sealway check -f a.yaml -f b,c.yaml -vv --color never -o json")).expect("parses");
        assert_eq!((cli.talk.verbose, cli.talk.color), (2, Color::Never));
        let Command::Check(check) = cli.command else {
            panic!("check was asked for")
        };
        assert_eq!(check.manifests.paths, [PathBuf::from("a.yaml"), PathBuf::from("b,c.yaml")]);
        assert_eq!(check.output.format, OutputFormat::Json);
    }

    #[test]
    fn a_gateway_is_asked_unless_the_disk_is_typed() {
        let typed = |line: &str| match parse(words(line)).map(|cli| cli.command) {
            Ok(Command::Certs(CertsCommand::List(list))) => Some(list.source.typed),
            _ => None,
        };
        assert_eq!(typed("sealway certs list"), Some(Typed::Nothing));
        assert_eq!(typed("sealway certs list --admin 127.0.0.1:1"), Some(Typed::Admin));
        assert_eq!(typed("sealway certs list -f a.yaml --state-dir b"), Some(Typed::Disk));
        assert_eq!(typed("sealway certs list -f a.yaml --admin 127.0.0.1:1"), None);
    }

    #[test]
    fn a_command_without_manifests_is_a_usage_error() {
        let error = parse(words("sealway check")).expect_err("no -f");
        assert_eq!(error.kind(), clap::error::ErrorKind::MissingRequiredArgument);
    }
}
