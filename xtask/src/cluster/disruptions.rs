//! What a cluster does to a gateway while requests go on: rolling updates, killed processes, an API server that is away.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use super::installed::{CONTROLLER, Cluster, until};
use super::site::{GATEWAY, NAMESPACE, Site};
use crate::lab;

/// `kubectl rollout restart` of a Gateway's proxies.
pub(super) async fn rolling_proxies(site: &Site<'_>) -> anyhow::Result<String> {
    let cluster = site.cluster;
    let before = site.pods().await?;
    let work = async {
        let started = Instant::now();
        cluster.restart(NAMESPACE, &format!("deployment/sealway-{GATEWAY}")).await?;
        site.until_settled().await?;
        let after = site.pods().await?;
        ensure!(
            after.iter().all(|pod| !before.contains(pod)),
            "a proxy was not replaced: {after:?}"
        );
        Ok(format!(
            "both proxies replaced and gone in {:.0} s",
            started.elapsed().as_secs_f64()
        ))
    };
    site.unnoticed(work).await
}

/// The same of the controllers; a change is served at once afterwards.
pub(super) async fn rolling_controller(site: &Site<'_>) -> anyhow::Result<String> {
    let cluster = site.cluster;
    let work = async {
        cluster.restart(lab::NAMESPACE, CONTROLLER).await?;
        let changed = site.change("rolled").await?;
        Ok(format!(
            "both controllers replaced, a change served after {} ms",
            changed.as_millis()
        ))
    };
    site.unnoticed(work).await
}

/// The leader is killed with its pod; another leads, and changes are served before it does.
pub(super) async fn leader_killed(site: &Site<'_>) -> anyhow::Result<String> {
    let cluster = site.cluster;
    let work = async {
        let leader = leader(cluster).await?;
        let pod = leader.split('_').next().unwrap_or_default();
        let uid = cluster
            .kubectl(["get", "pod", pod, "-n", lab::NAMESPACE, "-o=jsonpath={.metadata.uid}"])
            .await?;
        let killed = Instant::now();
        kill(cluster, &uid)?;
        cluster
            .kubectl(["delete", "pod", pod, "-n", lab::NAMESPACE, "--force", "--grace-period=0"])
            .await?;
        let changed = site.change("leaderless").await?;
        until("another controller leads", LEADS, async || {
            Ok(self::leader(cluster).await? != leader)
        })
        .await?;
        let led = killed.elapsed();
        Ok(format!(
            "a change served after {} ms, another controller leads after {:.0} s",
            changed.as_millis(),
            led.as_secs_f64()
        ))
    };
    let evidence = site.unnoticed(work).await?;
    cluster.rolled_out(lab::NAMESPACE, CONTROLLER).await?;
    Ok(evidence)
}

/// The API server answers nobody for a while: neither controllers nor the cluster's own parts.
pub(super) async fn api_cut(site: &Site<'_>, cut: Duration) -> anyhow::Result<String> {
    let cluster = site.cluster;
    let work = async {
        let servers = cluster.node().processes("kube-apiserver", "")?;
        ensure!(servers.len() == 1, "not one API server: {servers:?}");
        let stopped = Stopped::new(servers)?;
        sleep(cut).await;
        drop(stopped);
        let before = heartbeat(cluster).await?;
        let changed = site.change("restored").await?;
        // What a cluster makes of nodes that it has not heard of comes late: the load sees that, too.
        until("the node is heard of again", HEARD, async || {
            Ok(heartbeat(cluster).await? != before)
        })
        .await?;
        sleep(JUDGED).await;
        Ok(format!(
            "{} s without an API server, a change served {} ms after the first write",
            cut.as_secs(),
            changed.as_millis()
        ))
    };
    let evidence = site.unnoticed(work).await?;
    site.until_settled().await?;
    Ok(evidence)
}

/// The proxies are killed one by one. What was under way in a killed one is lost, and so are new connections until its endpoint is gone.
pub(super) async fn proxies_killed(site: &Site<'_>) -> anyhow::Result<String> {
    let cluster = site.cluster;
    let mut excused = Vec::new();
    let work = async {
        let mut evidence = Vec::new();
        for pod in site.pods().await? {
            let of_pod = async || {
                let pods = site.pods().await?;
                pods.into_iter().find(|other| other.uid == pod.uid).context("the pod is gone")
            };
            let killed = Instant::now();
            kill(cluster, &pod.uid)?;
            until("the endpoint of the killed proxy is gone", ENDPOINT, async || {
                Ok(!of_pod().await?.is_ready)
            })
            .await?;
            let gone = killed.elapsed();
            excused.push((killed, Instant::now() + RULES));
            until("the killed proxy is back", BACK, async || Ok(of_pod().await?.is_ready)).await?;
            evidence.push(format!(
                "not ready {} ms after its death and back after {:.1} s",
                gone.as_millis(),
                killed.elapsed().as_secs_f64()
            ));
        }
        Ok(evidence.join(", "))
    };
    let (evidence, figures) = site.under_load(work).await?;
    ensure!(figures.failed_outside(&excused) == 0, "{evidence}; {figures}");
    Ok(format!("{evidence}; {figures}"))
}

/// Who holds the Lease.
async fn leader(cluster: &Cluster) -> anyhow::Result<String> {
    let lease = [
        "get",
        "lease",
        "sealway-controller",
        "-n",
        lab::NAMESPACE,
        "-o=jsonpath={.spec.holderIdentity}",
    ];
    cluster.kubectl(lease).await
}

/// When the node was last heard of, by its Lease.
async fn heartbeat(cluster: &Cluster) -> anyhow::Result<String> {
    let node = cluster.place().name();
    let lease = ["get", "lease", node, "-n", "kube-node-lease", "-o=jsonpath={.spec.renewTime}"];
    cluster.kubectl(lease).await
}

/// SIGKILL to the gateway's process in a pod.
fn kill(cluster: &Cluster, uid: &str) -> anyhow::Result<()> {
    let processes = cluster.node().processes("sealway", &format!("pod{uid}"))?;
    ensure!(processes.len() == 1, "not one process in pod {uid}: {processes:?}");
    signal(&processes, Signal::KILL)
}

/// Processes that stand still until this is dropped.
struct Stopped {
    processes: Vec<Pid>,
}

impl Stopped {
    fn new(processes: Vec<Pid>) -> anyhow::Result<Self> {
        signal(&processes, Signal::STOP)?;
        Ok(Self { processes })
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = signal(&self.processes, Signal::CONT);
    }
}

fn signal(processes: &[Pid], signal: Signal) -> anyhow::Result<()> {
    for process in processes {
        kill_process(*process, signal).with_context(|| format!("{signal:?} to {process:?}"))?;
    }
    Ok(())
}

/// A Lease lasts 15 s, and whoever wants it looks every 2 s.
const LEADS: Duration = Duration::from_secs(40);
/// Longest that a kubelet may take to see that a process has ended.
const ENDPOINT: Duration = Duration::from_secs(30);
/// From an endpoint that is not ready to the rules that kube-proxy has made of it, and to the end of what was asked meanwhile.
const RULES: Duration = Duration::from_secs(1);
/// A kubelet renews its Lease every 10 s, and backs off while it cannot.
const HEARD: Duration = Duration::from_secs(60);
/// Several looks of the node controller, which looks every 5 s, and of one that has to be started first.
const JUDGED: Duration = Duration::from_secs(30);
const BACK: Duration = Duration::from_secs(60);
