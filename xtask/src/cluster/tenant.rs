//! A namespace with a Gateway, a route and a backend beside the cluster, as each of several installations has its own.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use sealway_demo::backends::Backend;
use sealway_demo::certificates::Authority;
use sealway_demo::clients::Client;

use super::installed::{Cluster, until};
use super::load::Target;
use super::site::answer;
use crate::lab::NODE_IPS;

/// See the module.
pub(super) struct Tenant<'a> {
    cluster: &'a Cluster,
    pub(super) namespace: &'static str,
    pub(super) class: &'static str,
}

/// What stands behind every tenant's route, and behind those of `scale`.
pub(super) async fn backend() -> anyhow::Result<Backend> {
    Ok(Backend::start(SocketAddr::new(NODE_IPS[0].parse()?, BACKEND), answer).await?)
}

impl<'a> Tenant<'a> {
    pub(super) fn new(cluster: &'a Cluster, namespace: &'static str, class: &'static str) -> Self {
        Self {
            cluster,
            namespace,
            class,
        }
    }

    /// Makes it, or changes its class and what its route says.
    pub(super) async fn apply(&self, value: &str) -> anyhow::Result<()> {
        let manifest = include_str!("../../testdata/cluster/tenant.yaml");
        let manifest = [("NAMESPACE", self.namespace), ("CLASS", self.class), ("VALUE", value)]
            .iter()
            .fold(manifest.to_owned(), |text, (name, value)| text.replace(name, value));
        self.cluster.apply(&manifest).await
    }

    /// Applies, and waits until what the route says comes with answers through the Gateway.
    pub(super) async fn serves(&self, value: &str) -> anyhow::Result<IpAddr> {
        self.apply(value).await?;
        let gateway = self.cluster.programmed(self.namespace, GATEWAY).await?;
        let authority = Authority::generate("tenant", SystemTime::now())?;
        let client = Client::trusting(&authority)?;
        let (target, wanted) = (Target { gateway, client }, format!("x-tenant: {value}\r\n"));
        let host = format!("{}.example.com", self.namespace);
        until(&format!("{host} is served as {value}"), SERVED, async || {
            Ok(target.ask_http(&host).await.is_ok_and(|answer| answer.head.contains(&wanted)))
        })
        .await?;
        Ok(gateway)
    }

    /// Its Gateway's status, and names and uids of what was made for it.
    pub(super) async fn seen(&self) -> anyhow::Result<String> {
        let gateway = format!("gateway/{GATEWAY}");
        let gateway = self.cluster.get(["-n", self.namespace, &gateway]).await?;
        let made = ["deployments,services,serviceaccounts,configmaps", "-n", self.namespace, "-l"];
        let made = self
            .cluster
            .get(made.into_iter().chain(["app.kubernetes.io/managed-by=sealway"]))
            .await?;
        let items = made["items"].as_array().cloned().unwrap_or_default();
        let of = |object: &serde_json::Value| {
            format!(
                "{} {} {}",
                object["kind"], object["metadata"]["name"], object["metadata"]["uid"]
            )
        };
        Ok(format!(
            "{}\n{}",
            gateway["status"],
            items.iter().map(of).collect::<Vec<_>>().join("\n")
        ))
    }

    /// The Deployment of its proxies has so many that are ready.
    pub(super) async fn has_proxies(&self, count: u64) -> anyhow::Result<bool> {
        let deployment = format!("deployment/sealway-{GATEWAY}");
        let deployment = self.cluster.get(["-n", self.namespace, &deployment]).await?;
        Ok(deployment["spec"]["replicas"] == count && deployment["status"]["readyReplicas"] == count)
    }

    /// Removes its Gateway, and waits until what was made for it is gone.
    pub(super) async fn remove_gateway(&self) -> anyhow::Result<()> {
        let gateway = format!("gateway/{GATEWAY}");
        self.cluster.kubectl(["delete", &gateway, "-n", self.namespace]).await?;
        until("what was made for the Gateway is gone", SERVED, async || {
            let made = [
                "deployments,services",
                "-n",
                self.namespace,
                "-l",
                "app.kubernetes.io/managed-by=sealway",
            ];
            Ok(self.cluster.get(made).await?["items"].as_array().is_some_and(Vec::is_empty))
        })
        .await
    }

    /// Removes its namespace.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        self.cluster.kubectl(["delete", "namespace", self.namespace]).await.map(drop)
    }
}

/// No controller of that namespace was refused anything by the API server.
pub(super) async fn was_permitted_everything(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    let selector = "app.kubernetes.io/name=sealway-controller";
    let logs = ["logs", "-n", namespace, "-l", selector, "--tail=-1", "--prefix"];
    let mut said = String::new();
    // A pod that has just been replaced may go while it is asked.
    until("the controllers' logs can be read", SERVED, async || {
        said = cluster.kubectl(logs).await.unwrap_or_default();
        Ok(said.contains("everything is listed"))
    })
    .await
    .with_context(|| namespace.to_owned())?;
    let refused: Vec<&str> = said
        .lines()
        .filter(|line| line.to_lowercase().contains("forbidden"))
        .collect();
    ensure!(refused.is_empty(), "in {namespace}:\n{}", refused.join("\n"));
    Ok(())
}

/// Of `testdata/cluster/tenant.yaml`.
const GATEWAY: &str = "edge";
/// There, and in `testdata/cluster/scale.yaml`.
const BACKEND: u16 = 18081;
/// Longest that proxies may take to come and a change to arrive.
const SERVED: Duration = Duration::from_secs(120);
