//! The flags of `sealway demo`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::OutputArgs;

/// `sealway demo`: the whole article in one process.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 when every row passed, 1 otherwise, 2 when it could not start.")]
pub(crate) struct DemoArgs {
    /// End after the rows instead of staying up
    #[arg(long, env = "SEALWAY_ONCE", value_parser = FalseyValueParser::new(), conflicts_with = "backends")]
    pub(crate) once: bool,
    /// Run the sample backends alone, on fixed ports, and print the flags with which `sealway run` serves them
    #[arg(long, env = "SEALWAY_BACKENDS", value_parser = FalseyValueParser::new())]
    pub(crate) backends: bool,
    /// Where ca.crt, client.crt, client.key and secrets.yaml go [default: `demo` below the state directory]
    #[arg(long, env = "SEALWAY_OUT", value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Where state is kept [default: $XDG_STATE_HOME/sealway]
    #[arg(long, env = "SEALWAY_STATE_DIR", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
