//! Five thousand HTTPRoutes and as many TLSRoutes over a hundred ListenerSets, of which one changes each second.
//!
//! Output: figures, not a verdict: what writing all of it takes, the memory of controllers and proxies, and the time from the write of a
//! change to the first byte that is served by it: from before the write is sent, and from its answer. It goes to the API server over a
//! connection that is kept; so does the request that looks for the change.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Pid;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::installed::{Cluster, until};
use super::load::Connection;
use super::tenant;

/// Writes everything, then changes one route after the other.
pub(super) async fn scale(cluster: &Cluster) -> anyhow::Result<String> {
    let _backend = tenant::backend().await?;
    cluster.apply(include_str!("../../testdata/cluster/scale.yaml")).await?;
    let gateway = SocketAddr::new(cluster.programmed(NAMESPACE, GATEWAY).await?, 80);
    let api = Api::start(cluster).await?;
    let begun = Instant::now();
    api.create((0..SETS).map(|set| ("listenersets", listener_set(set))).collect())
        .await?;
    let routes = (0..ROUTES).flat_map(|route| [("httproutes", http_route(route)), ("tlsroutes", tls_route(route))]);
    api.create(routes.collect()).await?;
    let written = begun.elapsed();
    until("every route has its status", STATUSES, async || {
        Ok(accepted(cluster, "httproutes").await? == ROUTES && accepted(cluster, "tlsroutes").await? == ROUTES)
    })
    .await?;
    let told = begun.elapsed();
    until("the last route is served", SERVED, async || {
        let ask = async { Connection::plain(gateway).await?.ask(&hostname(ROUTES - 1)).await };
        Ok(ask.await.is_ok())
    })
    .await?;
    let at_rest = memory(cluster)?;

    let mut client = Connection::plain(gateway).await?;
    let mut kept = api.connect().await?;
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut writes, mut times) = (Vec::with_capacity(CHANGES), Vec::with_capacity(CHANGES));
    for turn in 0..CHANGES {
        seconds.tick().await;
        let route = turn * STRIDE % ROUTES;
        let (hostname, value) = (hostname(route), format!("turn-{turn}"));
        let wanted = format!("x-change: {value}\r\n");
        let write = Instant::now();
        change(&mut kept, route, &value).await?;
        writes.push(write.elapsed());
        until_served(&mut client, &hostname, &wanted).await?;
        times.push(write.elapsed());
    }
    let waits = times
        .iter()
        .zip(&writes)
        .map(|(served, written)| served.saturating_sub(*written));
    Ok(format!(
        "{ROUTES} HTTPRoutes and {ROUTES} TLSRoutes over {SETS} ListenerSets written in {:.0} s, all statuses after {:.0} s; \
         {at_rest}; {CHANGES} changes, one a second, each served after {}: the API server had answered after {}, and the rest took {}; \
         then {}",
        written.as_secs_f64(),
        told.as_secs_f64(),
        shares(times.clone()),
        shares(writes.clone()),
        shares(waits.collect()),
        memory(cluster)?,
    ))
}

fn shares(mut times: Vec<Duration>) -> String {
    times.sort();
    let share = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
    let [half, most, longest] = [50, 99, 100].map(|percent| share(percent).copied().unwrap_or_default().as_millis());
    format!("p50 {half} ms, p99 {most} ms, longest {longest} ms")
}

async fn change(api: &mut Connection, route: usize, value: &str) -> anyhow::Result<()> {
    let path = "/spec/rules/0/filters/0/responseHeaderModifier/set/0/value";
    let patch = json!([{"op": "replace", "path": path, "value": value}]).to_string();
    let request = format!(
        "PATCH {}/httproutes/r{route} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json-patch+json\r\ncontent-length: {}\r\n\r\n{patch}",
        collection(),
        patch.len()
    );
    api.exchange(&request, &["200"]).await.map(drop)
}

async fn until_served(client: &mut Connection, hostname: &str, wanted: &str) -> anyhow::Result<()> {
    let end = Instant::now() + SERVED;
    while !client.ask(hostname).await?.head.contains(wanted) {
        ensure!(Instant::now() < end, "{wanted:?} is not served at {hostname}");
        // Asking without a pause would take a processor from those who are waited for.
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// The API server over plain HTTP: `kubectl proxy`.
struct Api {
    address: SocketAddr,
    _proxy: Child,
}

impl Api {
    async fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let mut proxy = Command::from(cluster.node().in_network("kubectl"));
        proxy.args(["proxy", "--port", &PROXY.to_string()]);
        let proxy = proxy.kill_on_drop(true).stdout(std::process::Stdio::null()).spawn()?;
        let api = Self {
            address: SocketAddr::from(([127, 0, 0, 1], PROXY)),
            _proxy: proxy,
        };
        until("kubectl proxy listens", SERVED, async || Ok(api.connect().await.is_ok())).await?;
        Ok(api)
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        Connection::plain(self.address).await
    }

    /// Writes objects, several at a time; one that is there already is left as it is.
    async fn create(&self, objects: Vec<(&'static str, Value)>) -> anyhow::Result<()> {
        let mut writers = JoinSet::new();
        for share in objects.chunks(objects.len().div_ceil(WRITERS)) {
            let (share, mut connection) = (share.to_vec(), self.connect().await?);
            writers.spawn(async move {
                for (resource, object) in share {
                    let object = object.to_string();
                    let request = format!(
                        "POST {}/{resource} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{object}",
                        collection(),
                        object.len()
                    );
                    connection.exchange(&request, &["201", "409"]).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(outcome) = writers.join_next().await {
            outcome??;
        }
        Ok(())
    }
}

fn collection() -> String {
    format!("/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}")
}

fn hostname(route: usize) -> String {
    format!("r{route}.s{}.example.com", route % SETS)
}

fn listener_set(set: usize) -> Value {
    let hostname = format!("*.s{set}.example.com");
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "ListenerSet", "metadata": {"name": format!("s{set}")},
        "spec": {"parentRef": {"name": GATEWAY}, "listeners": [
            {"name": "http", "port": 80, "protocol": "HTTP", "hostname": hostname},
            {"name": "tls", "port": 8443, "protocol": "TLS", "hostname": hostname, "tls": {"mode": "Passthrough"}}]}})
}

fn http_route(route: usize) -> Value {
    let set = json!([{"name": "x-change", "value": "none"}]);
    let filter = json!({"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": set}});
    let rule = json!({"filters": [filter], "backendRefs": [{"name": "plain", "port": 80}]});
    self::route("HTTPRoute", route, &rule)
}

fn tls_route(route: usize) -> Value {
    let rule = json!({"backendRefs": [{"name": "plain", "port": 80}]});
    self::route("TLSRoute", route, &rule)
}

fn route(kind: &str, route: usize, rule: &Value) -> Value {
    let parent = json!({"kind": "ListenerSet", "name": format!("s{}", route % SETS)});
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": {"name": format!("r{route}")},
        "spec": {"parentRefs": [parent], "hostnames": [hostname(route)], "rules": [rule]}})
}

/// How many routes of a kind are accepted.
async fn accepted(cluster: &Cluster, resource: &str) -> anyhow::Result<usize> {
    let each = r#"jsonpath={range .items[*]}{.status.parents[0].conditions[?(@.type=="Accepted")].status}{"\n"}{end}"#;
    let statuses = cluster.kubectl(["get", resource, "-n", NAMESPACE, "-o", each]).await?;
    Ok(statuses.lines().filter(|status| *status == "True").count())
}

/// Of every controller, and of every proxy of the Gateway.
fn memory(cluster: &Cluster) -> anyhow::Result<String> {
    let mut figures = Vec::new();
    for process in cluster.node().processes("sealway", "")? {
        let arguments = fs::read_to_string(format!("/proc/{}/cmdline", Pid::as_raw(Some(process)))).unwrap_or_default();
        let Some(command) = arguments.split('\0').nth(1).map(str::to_owned) else {
            continue;
        };
        let status = fs::read_to_string(format!("/proc/{}/status", Pid::as_raw(Some(process)))).context("status")?;
        let mebibytes = |field: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
        };
        let (now, most) = (
            mebibytes("VmRSS:").unwrap_or_default(),
            mebibytes("VmHWM:").unwrap_or_default(),
        );
        figures.push(format!("{command} {now} MiB (at most {most})"));
    }
    figures.sort();
    Ok(figures.join(", "))
}

const NAMESPACE: &str = "scale";
const GATEWAY: &str = "scale";
/// Of `kubectl proxy`.
const PROXY: u16 = 18001;
/// Of each kind.
const ROUTES: usize = 5_000;
const SETS: usize = 100;
/// Objects that are written at a time.
const WRITERS: usize = 8;
/// One a second.
const CHANGES: usize = 120;
/// From one changed route to the next: so that all sets have their turn.
const STRIDE: usize = 37;
/// Longest that all statuses may take.
const STATUSES: Duration = Duration::from_secs(600);
/// Longest that a change may take to be served.
const SERVED: Duration = Duration::from_secs(60);
