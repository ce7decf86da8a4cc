//! The cluster of a run: its node, what kubectl says, and the gateway in it.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::sleep;

use crate::e2e::cert_manager::programs::Programs;
use crate::e2e::context::Context;
use crate::e2e::process::run_within;
use crate::lab::{self, Node, Place};

/// See the module.
#[derive(Debug)]
pub(super) struct Cluster {
    node: Node,
    place: Place,
    context: Context,
    programs: Option<Programs>,
    helm: Option<PathBuf>,
}

impl Cluster {
    /// Around a node that is up. `programs`: cert-manager, and `helm`: Helm, if a case needs it.
    pub(super) fn new(node: Node, place: Place, context: Context, programs: Option<Programs>, helm: Option<PathBuf>) -> Self {
        Self {
            node,
            place,
            context,
            programs,
            helm,
        }
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn programs(&self) -> anyhow::Result<&Programs> {
        self.programs.as_ref().context("cert-manager was not built")
    }

    pub(super) fn helm(&self) -> anyhow::Result<&Path> {
        self.helm.as_deref().context("Helm was not built")
    }

    /// Installs the gateway, under the controller name that the overlay has.
    pub(super) fn install(&self) -> anyhow::Result<()> {
        let overlay = crate::root().join("xtask/testdata/cluster/install");
        lab::install(&self.node, &self.place, &self.context.binary, IMAGE, &overlay)
    }

    /// What kubectl says; it must succeed.
    pub(super) async fn kubectl<Word: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = Word>) -> anyhow::Result<String> {
        self.kubectl_reading(arguments, "").await
    }

    /// The same, of objects as JSON.
    pub(super) async fn get<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Value> {
        let arguments = ["get", "-o", "json"].into_iter().chain(arguments);
        Ok(serde_json::from_str(&self.kubectl(arguments).await?)?)
    }

    /// Applies manifests.
    pub(super) async fn apply(&self, manifests: &str) -> anyhow::Result<()> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.kubectl_reading(arguments, manifests).await.map(drop)
    }

    async fn kubectl_reading<Word: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = Word>,
        input: &str,
    ) -> anyhow::Result<String> {
        let mut kubectl = Command::from(self.node.in_network("kubectl"));
        kubectl.args(arguments);
        let what = format!("{:?}", kubectl.as_std());
        run_within(KUBECTL, kubectl, input).await?.success().context(what)
    }

    /// Restarts the pods of a Deployment, and waits until all of them are new and ready.
    pub(super) async fn restart(&self, namespace: &str, deployment: &str) -> anyhow::Result<()> {
        self.kubectl(["rollout", "restart", deployment, "-n", namespace]).await?;
        self.rolled_out(namespace, deployment).await
    }

    /// Waits until all pods of a Deployment are as it says, and ready.
    pub(super) async fn rolled_out(&self, namespace: &str, deployment: &str) -> anyhow::Result<()> {
        let status = ["rollout", "status", deployment, "-n", namespace, "--timeout=180s"];
        self.kubectl(status).await.map(drop)
    }

    /// Waits until a Gateway is programmed; gives its first IPv4 address.
    pub(super) async fn programmed(&self, namespace: &str, name: &str) -> anyhow::Result<IpAddr> {
        let gateway = format!("gateway/{name}");
        self.kubectl([
            "wait",
            "--for=condition=Programmed",
            &gateway,
            "-n",
            namespace,
            "--timeout=120s",
        ])
        .await?;
        let gateway = self.get(["-n", namespace, &gateway]).await?;
        let addresses = gateway["status"]["addresses"].as_array().cloned().unwrap_or_default();
        addresses
            .iter()
            .filter_map(|address| address["value"].as_str()?.parse().ok())
            .find(IpAddr::is_ipv4)
            .with_context(|| format!("no address in {}", gateway["status"]))
    }
}

/// Looks until `holds`; an error when that does not come about in time.
pub(super) async fn until(
    what: &str,
    within: Duration,
    mut holds: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let end = Instant::now() + within;
    while !holds().await? {
        ensure!(
            Instant::now() < end,
            "after {} s still waiting until {what}",
            within.as_secs()
        );
        sleep(INTERVAL).await;
    }
    Ok(())
}

/// Status of a condition.
pub(super) fn condition<'a>(conditions: &'a Value, kind: &str) -> Option<&'a str> {
    let condition = conditions.as_array()?.iter().find(|condition| condition["type"] == kind)?;
    condition["status"].as_str()
}

/// Of every installation, in its namespace.
pub(super) const CONTROLLER: &str = "deployment/sealway-controller";
/// Set in the overlay, too.
const IMAGE: &str = "sealway:cluster";
const INTERVAL: Duration = Duration::from_millis(100);
/// Longest that kubectl may wait for something.
const KUBECTL: Duration = Duration::from_secs(300);
