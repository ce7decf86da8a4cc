//! The flags of `sealway proxy`, which the controller writes.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sealway_api::ObjectKey;

use super::RejectionStyle;
use super::values::{duration, object_key};

/// `sealway proxy`: carries the connections of one Gateway.
#[derive(Debug, Args)]
#[command(
    after_help = "The controller writes these flags. SIGTERM lets connections end for the drain timeout; a second one ends at once."
)]
pub(crate) struct ProxyArgs {
    /// Whose connections it carries, for the log; what it gets is the controller's to say
    #[arg(long, env = "SEALWAY_GATEWAY", value_name = "NAMESPACE/NAME", value_parser = object_key)]
    pub(crate) gateway: ObjectKey,
    /// A controller; repeatable
    #[arg(
        long,
        env = "SEALWAY_FEED",
        value_name = "HOST:PORT",
        required = true,
        value_delimiter = ','
    )]
    pub(crate) feed: Vec<String>,
    /// Authorities of the controller's certificate
    #[arg(long, env = "SEALWAY_FEED_CA", value_name = "FILE")]
    pub(crate) feed_ca: PathBuf,
    /// Token that shows who we are
    #[arg(long, env = "SEALWAY_FEED_TOKEN", value_name = "FILE")]
    pub(crate) feed_token: PathBuf,
    /// Where the last good configuration is kept, keys included: a tmpfs
    #[arg(long, env = "SEALWAY_KEEP", value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Address that serves /livez, /readyz and /metrics alone
    #[arg(long, env = "SEALWAY_HEALTH", value_name = "ADDR")]
    pub(crate) health: Option<SocketAddr>,
    /// Address of the admin API, read-only and without authentication: keep it on loopback
    #[arg(long, env = "SEALWAY_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:15000")]
    pub(crate) admin: SocketAddr,
    /// How a connection is refused
    #[arg(long, env = "SEALWAY_REJECTIONS", value_name = "STYLE", default_value = "alert")]
    pub(crate) rejections: RejectionStyle,
    /// How long connections may go on after the end was asked for, or after their route went
    #[arg(long, env = "SEALWAY_DRAIN_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) drain_timeout: Duration,
    /// Threads that carry connections [default: one per core]
    #[arg(long, env = "SEALWAY_WORKERS", value_name = "N")]
    pub(crate) workers: Option<NonZeroUsize>,
}
