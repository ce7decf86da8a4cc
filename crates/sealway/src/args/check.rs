//! The flags of `sealway check`.

use clap::Args;
use clap::builder::FalseyValueParser;

use super::{AddressFlags, IssuerBehaviour, ManifestArgs, OutputArgs};

/// `sealway check`: compile only.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 without errors and warnings, 1 with, 2 when a PATH cannot be opened.")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) manifests: ManifestArgs,
    /// Exit 0 with warnings, as long as there is no error
    #[arg(long, env = "SEALWAY_WARNINGS_OK", value_parser = FalseyValueParser::new())]
    pub(crate) warnings_ok: bool,
    /// How Certificates are issued, as `run` is told
    #[arg(long, env = "SEALWAY_ISSUER_BEHAVIOUR", value_name = "BEHAVIOUR", default_value = "sealway")]
    pub(crate) issuer_behaviour: IssuerBehaviour,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) addresses: AddressFlags,
}
