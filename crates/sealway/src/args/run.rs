//! The flags of `sealway run`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sealway_core::CrlFailure;
use sealway_issuer::Behaviour;
use sealway_proxy::Rejections;

use super::values::duration;
use super::{AddressFlags, ManifestArgs};

/// `sealway run`: the standalone gateway.
#[derive(Debug, Args)]
#[command(after_help = "SIGTERM or Ctrl-C lets connections end for the drain timeout; a second one ends at once.")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) manifests: ManifestArgs,
    #[command(flatten)]
    pub(crate) addresses: AddressFlags,
    /// Serve only GatewayClasses of this controller [default: every class found]
    #[arg(long, env = "SEALWAY_CONTROLLER_NAME", value_name = "NAME")]
    pub(crate) controller_name: Option<String>,
    /// Where state that outlives the process is kept [default: $XDG_STATE_HOME/sealway]
    #[arg(long, env = "SEALWAY_STATE_DIR", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Keep each issued Secret as files too: DIR/NAMESPACE/NAME/{tls.crt,tls.key,ca.crt}, switched together
    #[arg(long, env = "SEALWAY_EXPORT_CERTS", value_name = "DIR")]
    pub(crate) export_certs: Option<PathBuf>,
    /// Run by /bin/sh after each issued Secret has changed, with SEALWAY_NAMESPACE, SEALWAY_NAME and so on in its environment
    #[arg(long, env = "SEALWAY_ON_RENEW", value_name = "CMD")]
    pub(crate) on_renew: Option<String>,
    /// How Certificates are issued
    #[arg(long, env = "SEALWAY_ISSUER_BEHAVIOUR", value_name = "BEHAVIOUR", default_value = "sealway")]
    pub(crate) issuer_behaviour: IssuerBehaviour,
    /// Address of the admin API, read-only and without authentication: keep it on loopback
    #[arg(long, env = "SEALWAY_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:15000")]
    pub(crate) admin: SocketAddr,
    /// Address that serves /livez, /readyz and /metrics alone, for kubelets and load balancers
    #[arg(long, env = "SEALWAY_HEALTH", value_name = "ADDR")]
    pub(crate) health: Option<SocketAddr>,
    /// How a connection is refused
    #[arg(long, env = "SEALWAY_REJECTIONS", value_name = "STYLE", default_value = "alert")]
    pub(crate) rejections: RejectionStyle,
    /// How long connections may go on after the end was asked for, or after their route went
    #[arg(long, env = "SEALWAY_DRAIN_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) drain_timeout: Duration,
    /// How long a client may take for its whole ClientHello
    #[arg(long, env = "SEALWAY_HELLO_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(crate) hello_timeout: Duration,
    /// Connections that one listener holds at most; the limit of open descriptors bounds all of them together
    #[arg(long, env = "SEALWAY_MAX_CONNECTIONS", value_name = "N", default_value = "100000")]
    pub(crate) max_connections: NonZeroUsize,
    /// Connections that one source address holds at most [default: no limit]
    #[arg(long, env = "SEALWAY_MAX_CONNECTIONS_PER_SOURCE", value_name = "N")]
    pub(crate) max_connections_per_source: Option<NonZeroUsize>,
    /// What becomes of a peer whose certificate names a distribution point, when no current revocation list of its issuer is known
    #[arg(long, env = "SEALWAY_CRL_FAILURE", value_name = "POLICY", default_value = "soft")]
    pub(crate) crl_failure: CrlFailureFlag,
    /// Threads that carry connections [default: one per core]
    #[arg(long, env = "SEALWAY_WORKERS", value_name = "N")]
    pub(crate) workers: Option<NonZeroUsize>,
}

/// What becomes of peers about whose revocation nothing current is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CrlFailureFlag {
    /// It is refused, and its list asked for
    Hard,
    /// It is let in, and its list asked for
    Soft,
}

impl From<CrlFailureFlag> for CrlFailure {
    fn from(flag: CrlFailureFlag) -> Self {
        match flag {
            CrlFailureFlag::Hard => Self::Hard,
            CrlFailureFlag::Soft => Self::Soft,
        }
    }
}

/// How a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RejectionStyle {
    /// With a fatal TLS alert that says why
    Alert,
    /// By closing without a word
    Close,
}

impl From<RejectionStyle> for Rejections {
    fn from(style: RejectionStyle) -> Self {
        match style {
            RejectionStyle::Alert => Self::Alert,
            RejectionStyle::Close => Self::Close,
        }
    }
}

impl From<IssuerBehaviour> for Behaviour {
    fn from(behaviour: IssuerBehaviour) -> Self {
        match behaviour {
            IssuerBehaviour::Sealway => Self::Sealway,
            IssuerBehaviour::CertManager => Self::CertManager,
        }
    }
}

/// How Certificates are issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IssuerBehaviour {
    /// A leaf ends with its CA; a new CA is published before it signs; leaves follow their CA; revocation lists
    Sealway,
    /// Exactly as cert-manager does
    CertManager,
}
