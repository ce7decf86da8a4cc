//! What the parts of a node are told in files: containerd, the network plugins, kubelet, kube-proxy. And the lab's addresses.

use std::fs;

use anyhow::Context as _;
use serde_json::json;

use super::place::Place;
use crate::image::PAUSE;

/// Writes all of them for a new lab.
pub(super) fn write(place: &Place) -> anyhow::Result<()> {
    let settings = place.state().join("settings");
    fs::create_dir_all(settings.join("network"))?;
    let own_score = fs::read_to_string("/proc/self/oom_score_adj").context("oom_score_adj")?;
    let own_score: i32 = own_score.trim().parse()?;
    fs::write(settings.join("containerd.toml"), containerd(place))?;
    for (file, content) in [
        ("network/lab.conflist", network()),
        ("kubelet.json", kubelet(place, own_score)),
        ("kube-proxy.json", kube_proxy(place, own_score)),
    ] {
        fs::write(settings.join(file), content.to_string())?;
    }
    Ok(())
}

/// `restrict_oom_score_adj`: a process without CAP_SYS_RESOURCE, even root's, may not lower its own score.
fn containerd(place: &Place) -> String {
    let (state, programs) = (place.state(), place.programs().join("runtime"));
    format!(
        r#"version = 3
root = "{state}/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{PAUSE}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{programs}"]
  conf_dir = "{state}/settings/network"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"#,
        state = state.display(),
        programs = programs.display(),
    )
}

/// Nothing is masqueraded: there is nothing outside.
fn network() -> serde_json::Value {
    let ranges: Vec<_> = POD_RANGES.iter().map(|range| json!([{"subnet": range}])).collect();
    json!({"cniVersion": "1.0.0", "name": "lab", "plugins": [{
        "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
        "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]},
    }]})
}

/// Images cannot be pulled again, so that none may be collected; no service of the node knows iptables.
fn kubelet(place: &Place, own_score: i32) -> serde_json::Value {
    let keys = place.keys();
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": NODE_IPS[0],
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs", "failCgroupV1": false,
        "makeIPTablesUtilChains": false,
        "authentication": {
            "anonymous": {"enabled": false}, "webhook": {"enabled": true}, "x509": {"clientCAFile": keys.join("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": keys.join("kubelet.crt"), "tlsPrivateKeyFile": keys.join("kubelet.key"),
        "featureGates": {"ClusterTrustBundle": true, "ClusterTrustBundleProjection": true},
        "resolvConf": "",
        "clusterDomain": "cluster.local",
        "oomScoreAdj": own_score,
        "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "maxPods": 250,
        "eventRecordQPS": 0, "kubeAPIQPS": 200, "kubeAPIBurst": 400,
    })
}

/// The limits of conntrack are the machine's: they stay as they are.
fn kube_proxy(place: &Place, own_score: i32) -> serde_json::Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": POD_RANGES.join(","),
        "clientConnection": {"kubeconfig": place.kubeconfig("kube-proxy")},
        "hostnameOverride": place.name(),
        "oomScoreAdj": own_score,
        "nftables": {"minSyncPeriod": "0s"},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    })
}

/// The environment of `node.sh`.
pub(super) fn environment(place: &Place) -> Vec<(&'static str, String)> {
    vec![
        ("NAME", place.name().to_owned()),
        ("PROGRAMS", place.programs().display().to_string()),
        ("IMAGES", place.images().display().to_string()),
        ("NODE_IPS", NODE_IPS.join(",")),
        ("NODE_PREFIXES", NODE_PREFIXES.to_owned()),
        ("SERVICE_RANGES", SERVICE_RANGES.join(",")),
        ("LOAD_BALANCER_POOLS", LOAD_BALANCER_POOLS.join(" ")),
    ]
}

// IPv4, then IPv6, in each of them.
/// Addresses of the node itself, which is also the client.
pub(crate) const NODE_IPS: [&str; 2] = ["172.30.0.1", "fd00:172:30::1"];
const NODE_PREFIXES: &str = "23 64";
/// 254 addresses of each family.
const LOAD_BALANCER_POOLS: [&str; 2] = ["172.30.1.1-172.30.1.254", "fd00:172:30::1:1-fd00:172:30::1:fe"];
/// Of the load balancer's pool, and the last that it gives unasked.
pub(crate) const USABLE_ADDRESS: &str = "172.30.1.254";
/// Of no pool (RFC 5737).
pub(crate) const UNUSABLE_ADDRESS: &str = "192.0.2.1";
const POD_RANGES: [&str; 2] = ["10.244.0.0/24", "fd00:10:244::/64"];
const SERVICE_RANGES: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];
/// The first address of each range of Services is the API server's.
pub(super) const SERVICE_OF_API_SERVER: [&str; 2] = ["10.96.0.1", "fd00:10:96::1"];
