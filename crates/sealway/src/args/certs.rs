//! The commands below `sealway certs`, and their flags.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};

use super::OutputArgs;

/// `sealway certs`.
#[derive(Debug, Subcommand)]
pub(crate) enum CertsCommand {
    /// Let the programs of this machine believe a CA, and take that back
    #[command(subcommand)]
    Trust(TrustCommand),
}

/// `sealway certs trust`.
#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// Put a CA certificate into the system's trust store, after asking
    #[command(
        after_help = "Stores: Debian and Ubuntu, Fedora and RHEL, macOS. Programs with a store of their own, such as Firefox, do not look there.\n\
                      Exit status: 0 when the CA is trusted, 1 when the answer was no, 2 when it could not be done."
    )]
    Install(TrustInstallArgs),
    /// Take out of the system's trust store what `install` has put there, after asking
    #[command(after_help = "What somebody else has put there, or has changed since, stays.\n\
                      Exit status: 0 when it is gone, 1 when the answer was no, 2 when it could not be done.")]
    Uninstall(TrustUninstallArgs),
}

/// `sealway certs trust install`.
#[derive(Debug, Args)]
pub(crate) struct TrustInstallArgs {
    /// The certificate of the CA, PEM [default: `demo/ca.crt` below the state directory]
    #[arg(long, env = "SEALWAY_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Where state is kept [default: $XDG_STATE_HOME/sealway]
    #[arg(long, env = "SEALWAY_STATE_DIR", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) consent: ConsentArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `sealway certs trust uninstall`.
#[derive(Debug, Args)]
pub(crate) struct TrustUninstallArgs {
    /// The certificate of one CA, PEM [default: all that Sealway has installed]
    #[arg(long, env = "SEALWAY_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) consent: ConsentArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Whether there is somebody to ask.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ConsentArgs {
    /// Do it without asking
    #[arg(short, long, env = "SEALWAY_YES", value_parser = FalseyValueParser::new())]
    pub(crate) yes: bool,
}
