#!/usr/bin/env bash
# The lab's node: the first process of namespaces of its own, made to look like a machine. `cargo xtask lab up` starts it as
# `node.sh enter STATE CGROUP...`; with its death the kernel ends everything inside.
#
# Needs in the environment: NAME; the directories PROGRAMS and IMAGES; NODE_IPS and SERVICE_RANGES, each as `IPV4,IPV6`;
# NODE_PREFIXES, the lengths of the node's subnets, and LOAD_BALANCER_POOLS, two words each. In STATE: keys/, kubeconfigs/ and
# settings/. Nothing that it mounts or sets is seen outside.
set -euo pipefail
shopt -s nullglob
act=$1 state=$2
shift 2

# The node's cgroups lie below the caller's own, so that what limits the caller limits the node too.
if [ "$act" = enter ]; then
    for cgroup; do
        mkdir -p "$cgroup"
        for file in cpuset.cpus cpuset.mems; do
            [ ! -e "$cgroup/$file" ] || cat "$(dirname "$cgroup")/$file" >"$cgroup/$file"
        done
        [ ! -e "$cgroup/cgroup.clone_children" ] || echo 1 >"$cgroup/cgroup.clone_children"
        echo $$ >"$cgroup/cgroup.procs"
    done
    exec setsid unshare --pid --fork --kill-child --mount --net --uts --ipc --cgroup "$0" run "$state"
fi

# Until /proc is mounted anew it is still the machine's, and so are the numbers in it.
read -r pid _ </proc/self/stat
echo "$pid" >"$state/node.pid.new"
mv "$state/node.pid.new" "$state/node.pid"

# --- a machine's file systems
mount --make-rprivate /
mount -t proc proc /proc
controllers=()
for directory in /sys/fs/cgroup/*/; do controllers+=("$(basename "$directory")"); done
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
for controller in "${controllers[@]}"; do
    case $controller in
    unified) continue ;; # a second hierarchy without controllers only confuses runc
    systemd) options=none,name=systemd ;;
    *) options=$controller ;;
    esac
    mkdir "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/$controller"
done
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=755 lib /var/lib # the kubelet keeps sockets of devices there, whatever its root is
mkdir -p "$state"/{logs,pods,kubelet,containerd,etcd} /var/lib/kubelet
mount --bind "$state/pods" /var/log
mount --bind "$state/kubelet" /var/lib/kubelet
mount --make-rshared /var/lib/kubelet

# The kubelet insists on these, and they are the whole machine's: it is shown what it wants to see.
while read -r key value; do
    echo "$value" >"$state/settings/${key//\//.}"
    mount --bind "$state/settings/${key//\//.}" "/proc/sys/$key"
done <<'SYSCTLS'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
SYSCTLS

# --- a network that leads nowhere. Addresses of Services need some route to get as far as the rules of kube-proxy.
node_ip=${NODE_IPS%,*}
hostname "$NAME"
printf '127.0.0.1 localhost\n::1 localhost\n%s %s\n' "$node_ip" "$NAME" >"$state/settings/hosts"
mount --bind "$state/settings/hosts" /etc/hosts
echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6
echo 0 >/proc/sys/net/ipv6/conf/default/disable_ipv6
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
ip link set lo up
ip link add node0 type bridge
ip link set node0 up
prefixes=($NODE_PREFIXES)
ip address add "$node_ip/${prefixes[0]}" dev node0
ip address add "${NODE_IPS#*,}/${prefixes[1]}" dev node0 nodad
ip route add default dev node0
ip -6 route add default dev node0

# --- services
export PATH=$PROGRAMS/cluster:$PROGRAMS/runtime:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
keys=$state/keys kubeconfigs=$state/kubeconfigs
service() { # service NAME COMMAND...
    local log=$state/logs/$1.log
    shift
    setsid "$@" </dev/null >"$log" 2>&1 &
}
until_succeeds() {
    local deadline=$((SECONDS + 60))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || { echo "60 s and still failing: $*" >&2; exit 1; }
        sleep 0.1
    done
}
trust_bundles=ClusterTrustBundle=true,ClusterTrustBundleProjection=true

service containerd containerd --config "$state/settings/containerd.toml"
service etcd server --data-dir "$state/etcd" --unsafe-no-fsync --log-level warn
service kube-apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 \
    --advertise-address "$node_ip" --secure-port 6443 --allow-privileged --service-cluster-ip-range "$SERVICE_RANGES" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
    --runtime-config certificates.k8s.io/v1beta1/clustertrustbundles=true --feature-gates "$trust_bundles" \
    --tls-cert-file "$keys/kube-apiserver.crt" --tls-private-key-file "$keys/kube-apiserver.key" --client-ca-file "$keys/ca.crt" \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file "$keys/service-accounts.pub" --service-account-signing-key-file "$keys/service-accounts.key" \
    --kubelet-certificate-authority "$keys/ca.crt" --kubelet-preferred-address-types InternalIP \
    --kubelet-client-certificate "$keys/admin.crt" --kubelet-client-key "$keys/admin.key"
until_succeeds ctr version
for image in "$IMAGES"/*.tar; do ctr --namespace k8s.io images import --local "$image" >>"$state/logs/images.log" 2>&1; done
until_succeeds kubectl --kubeconfig "$kubeconfigs/admin" get --raw /readyz
# As in a cluster: one that has missed its Lease ends, and what comes after it judges nodes only by what it has seen itself. One that went
# on after an API server was away would take every node for dead, and all endpoints with it.
service kube-controller-manager bash -c 'while :; do "$@" || true; sleep 1; done' again \
    kube-controller-manager --kubeconfig "$kubeconfigs/kube-controller-manager" \
    --leader-elect=true --use-service-account-credentials --service-cluster-ip-range "$SERVICE_RANGES" \
    --root-ca-file "$keys/ca.crt" --service-account-private-key-file "$keys/service-accounts.key" \
    --cluster-signing-cert-file "$keys/ca.crt" --cluster-signing-key-file "$keys/ca.key" \
    --kube-api-qps 200 --kube-api-burst 400 --feature-gates "$trust_bundles"
service kube-scheduler kube-scheduler --kubeconfig "$kubeconfigs/kube-scheduler" --leader-elect=false
service kubelet kubelet --config "$state/settings/kubelet.json" --kubeconfig "$kubeconfigs/kubelet" \
    --hostname-override "$NAME" --node-ip "$NODE_IPS"
service kube-proxy kube-proxy --config "$state/settings/kube-proxy.json"
service loadbalancer loadbalancer "$kubeconfigs/admin" $LOAD_BALANCER_POOLS

# --- a first process takes in orphans, and says which service has ended
while :; do
    wait -n -p ended || true
    if [ -n "${ended:-}" ]; then echo "process $ended ended" >&2; else sleep 1; fi
done
