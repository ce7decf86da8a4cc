//! The commands below `sealway certs`, and their flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};

use super::{IssuerBehaviour, OutputArgs};

/// `sealway certs`.
#[derive(Debug, Subcommand)]
pub(crate) enum CertsCommand {
    /// Show every certificate: who issued it, who serves it, until when
    #[command(after_help = "Exit status: 0, also when there is none; 2 when nobody could be asked.")]
    List(CertsListArgs),
    /// Show everything about one certificate
    #[command(after_help = "Exit status: 0 when it was found, 1 when not, 2 when nobody could be asked.")]
    Inspect(CertsInspectArgs),
    /// Issue certificates anew, now
    #[command(
        after_help = "A running gateway is asked over the socket `control` in its state directory. When none runs, it is done here with the \
                      manifests of -f, or else noted for the next `sealway run`.\n\
                      Exit status: 0 when all were issued or noted, 1 when one was not, 2 when it could not be tried."
    )]
    Renew(CertsRenewArgs),
    /// Take a certificate back that was issued here, after asking
    #[command(
        after_help = "Its CA's revocation list says so from then on. A running gateway is asked over the socket `control` in its state \
                      directory; when none runs, it is done here.\n\
                      Exit status: 0 when it is revoked, 1 when it is not, 2 when it could not be tried."
    )]
    Revoke(CertsRevokeArgs),
    /// Let the programs of this machine believe a CA, and take that back
    #[command(subcommand)]
    Trust(TrustCommand),
}

/// Where the answer comes from.
#[derive(Clone, Debug, Args)]
pub(crate) struct CertsSourceArgs {
    /// Ask no gateway, but read these manifests: file, directory or `-`; repeatable
    #[arg(
        short = 'f',
        long = "file",
        env = "SEALWAY_FILE",
        value_name = "PATH",
        conflicts_with = "admin"
    )]
    pub(crate) paths: Vec<PathBuf>,
    /// Ask the gateway with this admin address [default: 127.0.0.1:15000, else the state directory]
    #[arg(long, env = "SEALWAY_ADMIN", value_name = "ADDR")]
    pub(crate) admin: Option<SocketAddr>,
    /// Ask no gateway, but read what was issued in this state directory; with -f, both
    #[arg(long, env = "SEALWAY_STATE_DIR", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// How Certificates are issued, as `run` is told; with -f
    #[arg(long, env = "SEALWAY_ISSUER_BEHAVIOUR", value_name = "BEHAVIOUR", default_value = "sealway")]
    pub(crate) issuer_behaviour: IssuerBehaviour,
    /// What was typed, and does not only stand in the environment of every command.
    #[arg(skip)]
    pub(crate) typed: Typed,
}

/// See [`CertsSourceArgs::typed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Typed {
    /// Neither.
    #[default]
    Nothing,
    /// `--admin`.
    Admin,
    /// `-f` or `--state-dir`.
    Disk,
}

/// `sealway certs list`.
#[derive(Debug, Args)]
pub(crate) struct CertsListArgs {
    #[command(flatten)]
    pub(crate) source: CertsSourceArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `sealway certs inspect`.
#[derive(Debug, Args)]
pub(crate) struct CertsInspectArgs {
    /// Secret or Certificate as NAMESPACE/NAME, a serial number, a PEM file, or `-` for PEM on standard input
    #[arg(value_name = "NAMESPACE/NAME|SERIAL|FILE|-")]
    pub(crate) which: String,
    #[command(flatten)]
    pub(crate) source: CertsSourceArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `sealway certs renew`.
#[derive(Debug, Args)]
pub(crate) struct CertsRenewArgs {
    /// Certificates
    #[arg(value_name = "NAMESPACE/NAME", required_unless_present = "all", conflicts_with = "all", value_parser = certificate_name)]
    pub(crate) certificates: Vec<(String, String)>,
    /// Every Certificate that was issued here
    #[arg(long, env = "SEALWAY_ALL", value_parser = FalseyValueParser::new())]
    pub(crate) all: bool,
    /// When no gateway runs: the manifests to issue by; file, directory or `-`; repeatable
    #[arg(short = 'f', long = "file", env = "SEALWAY_FILE", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// How Certificates are issued, as `run` is told; with -f
    #[arg(long, env = "SEALWAY_ISSUER_BEHAVIOUR", value_name = "BEHAVIOUR", default_value = "sealway")]
    pub(crate) issuer_behaviour: IssuerBehaviour,
    /// Where state is kept [default: $XDG_STATE_HOME/sealway]
    #[arg(long, env = "SEALWAY_STATE_DIR", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `sealway certs revoke`.
#[derive(Debug, Args)]
pub(crate) struct CertsRevokeArgs {
    /// Serial number in hexadecimal, as `certs list` or openssl shows it
    #[arg(value_name = "SERIAL", value_parser = serial_number)]
    pub(crate) serial: String,
    /// Why (RFC 5280 section 5.3.1)
    #[arg(long, env = "SEALWAY_REASON", value_name = "REASON", default_value = "unspecified", value_parser = [
        "unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation",
        "certificateHold", "privilegeWithdrawn", "aACompromise",
    ])]
    pub(crate) reason: String,
    /// Where state is kept [default: $XDG_STATE_HOME/sealway]
    #[arg(long, env = "SEALWAY_STATE_DIR", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) consent: ConsentArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

fn certificate_name(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("name the Certificate as NAMESPACE/NAME".to_owned()),
    }
}

fn serial_number(text: &str) -> Result<String, String> {
    sealway_issuer::read_serial(text).ok_or_else(|| "a serial number is hexadecimal; colons and 0x may stand in it".to_owned())
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
