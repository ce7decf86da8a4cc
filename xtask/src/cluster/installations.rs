//! Installations beside the one that every case has: one in chosen namespaces, and one by Helm.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::installed::{CONTROLLER, Cluster, until};
use super::tenant::{self, Tenant, was_permitted_everything};
use crate::e2e::process::run_within;
use crate::{chart, lab};

/// Two of them, of which the second may only look after the namespace `second`: neither touches what is the other's, a Gateway moves from
/// one to the other, and when the second goes, the first goes on.
pub(super) async fn side_by_side(cluster: &Cluster) -> anyhow::Result<String> {
    let _backend = tenant::backend().await?;
    let second_install = crate::root().join("xtask/testdata/cluster/second").display().to_string();
    cluster.kubectl(["apply", "--server-side", "-k", &second_install]).await?;
    let first = Tenant::new(cluster, "first", "first");
    let mut second = Tenant::new(cluster, "second", "second");
    // Of the second's class, where the second has no rights.
    let outside = Tenant::new(cluster, "outside", "second");
    cluster.apply(FIRST_CLASS).await?;
    for tenant in [&first, &second, &outside] {
        tenant.apply("begun").await?;
    }
    let binding = ["create", "rolebinding", "sealway", "-n", "second"];
    let to = [
        "--clusterrole=sealway-namespaces:sealway-second",
        "--serviceaccount=sealway-second:sealway-controller",
    ];
    cluster.kubectl(binding.into_iter().chain(to)).await?;
    cluster.rolled_out(SECOND, CONTROLLER).await?;
    let (at_first, at_second) = (first.serves("begun").await?, second.serves("begun").await?);
    ensure!(at_first != at_second, "both Gateways are at {at_first}");
    let untouched = outside.seen().await?;
    ensure!(!untouched.contains("Deployment"), "outside of its namespaces: {untouched}");

    let before = (first.seen().await?, second.seen().await?);
    cluster.restart(SECOND, CONTROLLER).await?;
    cluster.restart(lab::NAMESPACE, CONTROLLER).await?;
    let after = (first.seen().await?, second.seen().await?);
    ensure!(before == after, "touched: {before:?}, then {after:?}");
    for namespace in [lab::NAMESPACE, SECOND] {
        was_permitted_everything(cluster, namespace).await?;
    }

    second.class = "first";
    let moved = second.serves("moved").await?;
    ensure!(moved == at_second, "its address was {at_second} and is {moved}");
    second.class = "second";
    let moved = second.serves("back").await?;
    ensure!(moved == at_second, "its address was {at_second} and is {moved}");

    let before = first.seen().await?;
    cluster.kubectl(["delete", "-k", &second_install]).await?;
    nothing_is_left(cluster, SECOND, "second").await?;
    first.serves("alone").await?;
    ensure!(before == first.seen().await?, "touched: {before}");
    for tenant in [first, second, outside] {
        tenant.remove().await?;
    }
    Ok(format!(
        "{at_first} and {at_second} served side by side; a Gateway moved there and back; the first serves alone"
    ))
}

/// By Helm: the same as by kustomize, installed, upgraded and uninstalled.
pub(super) async fn chart(cluster: &Cluster) -> anyhow::Result<String> {
    let helm = Helm {
        cluster,
        program: cluster.helm()?,
    };
    let same = same_as_kustomize(&helm).await?;
    let _backend = tenant::backend().await?;
    let tenant = Tenant::new(cluster, "chart", "chart");
    tenant.apply("installed").await?;
    let values = [
        "image.tag=cluster",
        "controllerName=example.com/chart",
        "gatewayClass=chart",
        "watchNamespaces={chart}",
        "proxies.replicas=1",
    ];
    helm.run(["install", "--create-namespace", "--wait", "--timeout=120s"], &values)
        .await?;
    tenant.serves("installed").await?;
    ensure!(tenant.has_proxies(1).await?, "not one proxy");
    let mut upgraded = values;
    upgraded[4] = "proxies.replicas=2";
    let upgraded = [&upgraded[..], &["replicas=1"]].concat();
    helm.run(["upgrade", "--wait", "--timeout=120s"], &upgraded).await?;
    until("both proxies are there", ROLLED_OUT, async || tenant.has_proxies(2).await).await?;
    let controllers = cluster.get(["-n", CHART, "deployment/sealway-controller"]).await?;
    ensure!(
        controllers["spec"]["replicas"] == 1,
        "not one controller: {}",
        controllers["spec"]["replicas"]
    );
    tenant.serves("upgraded").await?;
    was_permitted_everything(cluster, CHART).await?;
    tenant.remove_gateway().await?;
    helm.run(["uninstall", "--wait", "--timeout=120s"], &[]).await?;
    nothing_is_left(cluster, CHART, "chart").await?;
    tenant.remove().await?;
    cluster.kubectl(["delete", "namespace", CHART]).await?;
    Ok(format!(
        "{same} objects as by kustomize; one proxy, then two; nothing is left"
    ))
}

/// The program, for one release.
struct Helm<'a> {
    cluster: &'a Cluster,
    program: &'a Path,
}

impl Helm<'_> {
    async fn run<const WORDS: usize>(&self, words: [&str; WORDS], values: &[&str]) -> anyhow::Result<String> {
        let mut helm = Command::from(self.cluster.node().in_network(self.program));
        helm.args(words).args(["--namespace", CHART, "sealway"]);
        if words[0] != "uninstall" {
            helm.arg(chart::directory());
        }
        helm.args(values.iter().map(|value| format!("--set={value}")));
        self.finish(helm).await
    }

    /// What the chart gives unasked.
    async fn template(&self) -> anyhow::Result<String> {
        let mut helm = Command::from(self.cluster.node().in_network(self.program));
        helm.args(["template", "--namespace", lab::NAMESPACE, "sealway"])
            .arg(chart::directory());
        self.finish(helm).await
    }

    async fn finish(&self, helm: Command) -> anyhow::Result<String> {
        let what = format!("{:?}", helm.as_std());
        run_within(HELM, helm, "").await?.success().context(what)
    }
}

/// Compares what the chart gives unasked with `deploy/`, which makes its namespace, too; gives the number of objects.
async fn same_as_kustomize(helm: &Helm<'_>) -> anyhow::Result<usize> {
    let deploy = crate::root().join("deploy").display().to_string();
    let mut kustomized = objects(&helm.cluster.kubectl(["kustomize", &deploy]).await?)?;
    let namespace = kustomized.remove(&format!("Namespace {}", lab::NAMESPACE));
    ensure!(namespace.is_some(), "deploy/ makes no namespace");
    let templated = objects(&helm.template().await?)?;
    let names = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
    ensure!(
        names(&kustomized) == names(&templated),
        "by kustomize {:?}, by Helm {:?}",
        names(&kustomized),
        names(&templated)
    );
    for (name, object) in &kustomized {
        ensure!(
            templated.get(name) == Some(object),
            "{name}: by kustomize {object}, by Helm {:?}",
            templated.get(name)
        );
    }
    Ok(kustomized.len())
}

/// By kind and name.
fn objects(manifests: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(manifests)?;
    let of = |object: Value| {
        let name = object["metadata"]["name"].as_str()?;
        Some((format!("{} {name}", object["kind"].as_str()?), object))
    };
    Ok(objects.into_iter().filter_map(of).collect())
}

/// Waits until nothing is left of the installation in that namespace with that class: its pods end after all else.
async fn nothing_is_left(cluster: &Cluster, namespace: &str, class: &str) -> anyhow::Result<()> {
    let mut left = String::new();
    let gone = until("the installation is gone", ROLLED_OUT, async || {
        left = left_of(cluster, namespace, class).await?;
        Ok(left.is_empty())
    });
    gone.await.with_context(|| format!("left of {namespace}: {left}"))
}

/// What is left of the installation in that namespace with that class, by name.
async fn left_of(cluster: &Cluster, namespace: &str, class: &str) -> anyhow::Result<String> {
    let kinds = "clusterroles,clusterrolebindings,gatewayclasses";
    let cluster_wide = cluster.kubectl(["get", kinds, "-o", "name"]).await?;
    let kinds = "all,roles,rolebindings,secrets,configmaps,leases,serviceaccounts,networkpolicies,poddisruptionbudgets";
    let namespaced = cluster
        .kubectl(["get", kinds, "-n", namespace, "-o", "name", "--ignore-not-found"])
        .await?;
    let (suffix, class) = (
        format!(":{namespace}"),
        format!("gatewayclass.gateway.networking.k8s.io/{class}"),
    );
    let wide = cluster_wide.lines().filter(|line| line.ends_with(&suffix) || *line == class);
    let namespaced = namespaced.lines().filter(|line| line.contains("sealway"));
    Ok(wide.chain(namespaced).collect::<Vec<_>>().join(", "))
}

/// Of the installation that every case has.
const FIRST_CLASS: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: first}
spec: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
";
/// Of `testdata/cluster/second`.
const SECOND: &str = "sealway-second";
const CHART: &str = "sealway-chart";
const ROLLED_OUT: Duration = Duration::from_secs(120);
const HELM: Duration = Duration::from_secs(180);
