//! Where to shake hands, and with which name.
//!
//! Input: the snapshots and what is expected. Output: [`Target`]s. The snapshot's own matcher says whether a name leads to a certificate, so what is
//! asked for is what a client would get.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use sealway_api::{ObjectKey, ObjectRef};
use sealway_core::{
    Action, CertificateChoice, HelloFacts, HostnamePattern, NoTrace, PortPlan, ProxyProtocol, ServerName, Snapshot,
    Target as Behind, Termination, TlsListener,
};

use super::Expected;

/// One handshake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    /// Whose certificate should arrive: the Secret.
    pub(crate) secret: ObjectKey,
    /// Who is asked.
    pub(crate) place: Place,
    /// Where.
    pub(crate) address: SocketAddr,
    /// With which name.
    pub(crate) server_name: String,
    /// What has to be sent first: nothing, or a PROXY protocol header that names nobody.
    pub(crate) preface: &'static [u8],
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The gateway itself.
    Gateway,
    /// An endpoint of a Service, behind a listener that passes TLS through.
    Backend(ObjectKey),
}

/// Every handshake that tells something.
pub(crate) fn of(snapshots: &BTreeMap<ObjectRef, Arc<Snapshot>>, expected: &BTreeMap<ObjectKey, Expected>) -> BTreeSet<Target> {
    let mut targets = BTreeSet::new();
    for snapshot in snapshots.values() {
        for (address, _, plan) in snapshot.sockets() {
            let PortPlan::Tls(tls) = plan.as_ref() else { continue };
            for listener in &tls.listeners {
                match &listener.termination {
                    Some(termination) => gateway(&mut targets, snapshot, address, plan, listener, termination, expected),
                    None => backends(&mut targets, listener, expected),
                }
            }
        }
    }
    targets
}

fn gateway(
    targets: &mut BTreeSet<Target>,
    snapshot: &Snapshot,
    address: SocketAddr,
    plan: &PortPlan,
    listener: &TlsListener,
    termination: &Termination,
    expected: &BTreeMap<ObjectKey, Expected>,
) {
    let address = reachable(address);
    let is_trusted_proxy = snapshot.trusted_proxies.iter().any(|trusted| trusted.contains(&address.ip()));
    let preface = if is_trusted_proxy { PROXY_V1 } else { &[] };
    for (secret, expected) in expected {
        let names = expected.names.iter().flat_map(|name| askable(name, listener));
        for server_name in names.filter(|name| arrives(plan, termination, secret, name)).take(NAMES_MAX) {
            targets.insert(Target {
                secret: secret.clone(),
                place: Place::Gateway,
                address,
                server_name,
                preface,
            });
        }
    }
}

/// Names that a client could ask this listener for, and that the certificate's name covers.
fn askable(name: &HostnamePattern, listener: &TlsListener) -> BTreeSet<String> {
    let routes = listener.routes.iter().map(|(pattern, _)| pattern);
    let hosts = listener
        .requests
        .iter()
        .flat_map(|requests| requests.hosts.iter().map(|(pattern, _)| pattern));
    let patterns = routes.chain(hosts).chain([listener.hostname.clone(), name.clone()]);
    let exact = patterns.filter_map(|pattern| match pattern {
        HostnamePattern::Exact(exact) => Some(exact.into_string()),
        // Any label will do.
        HostnamePattern::Wildcard(suffix) => Some(format!("sealway-closed-loop.{suffix}")),
        HostnamePattern::Any => None,
    });
    exact.filter(|exact| is_covered(name, exact)).collect()
}

/// A wildcard of a certificate stands for one label (RFC 9525 section 6.3).
fn is_covered(name: &HostnamePattern, exact: &str) -> bool {
    match name {
        HostnamePattern::Wildcard(suffix) => exact.split_once('.').is_some_and(|(_, rest)| *rest == **suffix),
        name => name.covers(exact),
    }
}

/// Whether a hello with this name gets this Secret's certificate.
fn arrives(plan: &PortPlan, termination: &Termination, secret: &ObjectKey, name: &str) -> bool {
    let hello = HelloFacts {
        server_name: ServerName::Name(name),
        alpn: &[],
        source: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    };
    let chosen = match plan.connection(Some(&hello), &mut NoTrace) {
        Action::Terminate { termination, .. } => termination,
        Action::Requests {
            listener: Some((_, _, termination)),
        } => termination,
        _ => return false,
    };
    let first = match chosen.certificates(Some(name)) {
        CertificateChoice::Candidates(candidates) => candidates.first().map(|served| &served.secret),
        CertificateChoice::Broken(_) => None,
    };
    **chosen == *termination && first == Some(secret)
}

fn backends(targets: &mut BTreeSet<Target>, listener: &TlsListener, expected: &BTreeMap<ObjectKey, Expected>) {
    for (pattern, forward) in listener.routes.iter() {
        let HostnamePattern::Exact(server_name) = &pattern else {
            continue;
        };
        let covering = expected
            .iter()
            .filter(|(_, expected)| expected.names.iter().any(|name| is_covered(name, server_name)));
        for (secret, _) in covering {
            for backend in &forward.backends {
                let Behind::Backend(backend) = &backend.target else { continue };
                for address in backend.endpoints.iter().take(ENDPOINTS_MAX) {
                    targets.insert(Target {
                        secret: secret.clone(),
                        place: Place::Backend(backend.service.clone()),
                        address: *address,
                        server_name: server_name.to_string(),
                        preface: match backend.proxy_protocol {
                            Some(ProxyProtocol::V1) => PROXY_V1,
                            Some(ProxyProtocol::V2) => PROXY_V2,
                            None => &[],
                        },
                    });
                }
            }
        }
    }
}

/// Where a socket that is bound to every address can be reached.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Of one certificate on one listener: one name tells most, all of thousands tell little more.
const NAMES_MAX: usize = 16;
const ENDPOINTS_MAX: usize = 64;
/// UNKNOWN, and LOCAL: the connection speaks for itself.
const PROXY_V1: &[u8] = b"PROXY UNKNOWN\r\n";
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
