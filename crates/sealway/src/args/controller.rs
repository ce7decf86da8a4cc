//! The flags of `sealway controller`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use sealway_core::CONTROLLER_NAME;

use super::RejectionStyle;

/// `sealway controller`: watches a cluster and looks after its Gateways.
#[derive(Debug, Args)]
#[command(after_help = "In a pod, POD_NAME, POD_NAMESPACE and POD_IP say who it is (deploy/controller.yaml).")]
pub(crate) struct ControllerArgs {
    /// Serve GatewayClasses of this controller
    #[arg(long, env = "SEALWAY_CONTROLLER_NAME", value_name = "NAME", default_value = CONTROLLER_NAME)]
    pub(crate) controller_name: String,
    /// Namespaces to watch, separated by commas [default: all]
    #[arg(long, env = "SEALWAY_WATCH_NAMESPACES", value_name = "NAMESPACE", value_delimiter = ',')]
    pub(crate) watch_namespaces: Vec<String>,
    /// How proxies refuse a connection
    #[arg(long, env = "SEALWAY_REJECTIONS", value_name = "STYLE", default_value = "alert")]
    pub(crate) rejections: RejectionStyle,
    /// Address of the admin API, read-only and without authentication: keep it on loopback
    #[arg(long, env = "SEALWAY_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:15000")]
    pub(crate) admin: SocketAddr,
    /// Address that serves /livez, /readyz and /metrics alone, for kubelets and scrapers
    #[arg(long, env = "SEALWAY_HEALTH", value_name = "ADDR")]
    pub(crate) health: Option<SocketAddr>,
    /// Address at which proxies get their configuration
    #[arg(long, env = "SEALWAY_FEED", value_name = "ADDR", default_value = "[::]:15443")]
    pub(crate) feed: SocketAddr,
    /// Service that leads to it; in the controller's namespace
    #[arg(
        long,
        env = "SEALWAY_FEED_SERVICE",
        value_name = "NAME",
        default_value = "sealway-controller"
    )]
    pub(crate) feed_service: String,
    /// Token that shows the other controllers who we are
    #[arg(
        long,
        env = "SEALWAY_FEED_TOKEN",
        value_name = "FILE",
        default_value = "/var/run/secrets/sealway.dev/feed/token"
    )]
    pub(crate) feed_token: PathBuf,
    /// Image of the proxies [default: that of our own pod]
    #[arg(long, env = "SEALWAY_PROXY_IMAGE", value_name = "IMAGE")]
    pub(crate) proxy_image: Option<String>,
    /// Where files of this process lie; emptied with the pod
    #[arg(long, env = "SEALWAY_RUN_DIR", value_name = "DIR", default_value = "/run/sealway")]
    pub(crate) run_dir: PathBuf,
    /// How to reach the API server [default: as kubectl does, or as pods do]
    #[arg(long, env = "SEALWAY_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}
