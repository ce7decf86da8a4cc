//! What every pass sees, and where it leaves what it finds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use ipnet::IpNet;
use sealway_api::{
    EndpointSlice, Gateway, LabelSelector, Listener, ObjectKey, ObjectRef, Objects, ParentRef, Reason, Resources, RouteGroupKind,
    SERVICE_NAME_LABEL, Timestamp, TlsMode,
};

use super::backends::{Known, LastBackends};
use super::extent::{Extent, Uses};
use super::gateways;
use super::grants::Grants;
use super::http::ListenerRequests;
use super::listeners::{self, Knocking};
use super::memory::Memory;
use super::policies::Policies;
use super::sets::SetWork;
use super::traffic::TrafficPolicies;
use super::x_backends::XBackends;
use crate::hostname::{HostnamePattern, NameIndex};
use crate::keys::KeyMaterial;
use crate::problem::{Cause, Problem};
use crate::settings::{Fleet, Observed, Settings};
use crate::snapshot::{
    CertificateSlot, ClientCertificateHeaders, ClientValidation, ContentHash, Forward, ListenerFate, PortKey, ServedCertificate,
    Termination, TlsOptions, Tracing, Transport,
};

/// Inputs, indexes over them, and the problems found so far.
pub(super) struct World<'a> {
    pub(super) settings: &'a Settings,
    pub(super) resources: &'a Resources,
    pub(super) observed: &'a Observed,
    pub(super) grants: Grants<'a>,
    /// EndpointSlices by the Service that they belong to.
    pub(super) slices: BTreeMap<ObjectKey, Vec<&'a EndpointSlice>>,
    /// Labels of every namespace that has a manifest, or that holds a Gateway, a ListenerSet or a route: it exists even without one.
    namespaces: BTreeMap<&'a str, Labels>,
    /// Whether selectors select any of them, by their text.
    selectors: BTreeMap<String, bool>,
    /// Routes by the parents that they name; gathered when a listener asks who wanted in.
    pub(super) knocking: Option<Knocking<'a>>,
    pub(super) backends: Known<'a>,
    pub(super) x_backends: XBackends,
    pub(super) last_backends: &'a LastBackends,
    /// What the compilation before kept, and what this one keeps for the next.
    pub(super) last: &'a Memory,
    pub(super) memory: Memory,
    /// Which routes are looked at.
    pub(super) extent: &'a Extent,
    /// What routes lead to; those that are not looked at included. Filters of listeners count as routes of what holds the listener.
    pub(super) uses: BTreeMap<ObjectRef, Uses>,
    /// BackendTLSPolicies by what they target.
    pub(super) policies: Policies<'a>,
    /// XBackendTrafficPolicies by what they target.
    pub(super) traffic: TrafficPolicies<'a>,
    /// Keys of all certificates that are shown.
    pub(super) keys: BTreeMap<ContentHash, Arc<KeyMaterial>>,
    pub(super) problems: Vec<Problem>,
    pub(super) names: BTreeSet<String>,
    /// The next moment at which something would be said otherwise.
    pub(super) wake_at: Option<Timestamp>,
}

impl<'a> World<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        resources: &'a Resources,
        observed: &'a Observed,
        last_backends: &'a LastBackends,
        last: &'a Memory,
        extent: &'a Extent,
    ) -> Self {
        let mut slices: BTreeMap<ObjectKey, Vec<&EndpointSlice>> = BTreeMap::new();
        for (key, slice) in &resources.endpoint_slices {
            if let Some(service) = slice.metadata.labels.get(SERVICE_NAME_LABEL) {
                slices.entry(ObjectKey::new(&key.namespace, service)).or_default().push(slice);
            }
        }
        Self {
            settings,
            resources,
            observed,
            grants: Grants::new(resources),
            slices,
            namespaces: namespaces(resources),
            selectors: BTreeMap::new(),
            knocking: None,
            backends: Known::new(),
            x_backends: XBackends::default(),
            last_backends,
            last,
            memory: Memory::default(),
            extent,
            uses: BTreeMap::new(),
            policies: Policies::default(),
            traffic: TrafficPolicies::default(),
            keys: BTreeMap::new(),
            problems: Vec::new(),
            names: BTreeSet::new(),
            wake_at: None,
        }
    }

    /// Notes a problem.
    pub(super) fn report(&mut self, object: &ObjectRef, field: impl Into<String>, cause: Cause) {
        self.problems.push(Problem::new(object.clone(), field, cause));
    }

    /// Why an object is not there: `missing`, unless it is written and refused.
    pub(super) fn absence(&self, object: &ObjectRef, missing: Cause) -> Cause {
        if !self.resources.refused.contains(object) {
            return missing;
        }
        Cause::ReferentRefused {
            object: object.clone(),
            missing: Box::new(missing),
        }
    }

    /// Asks to be compiled again at a moment, unless that has passed.
    pub(super) fn wake(&mut self, at: Timestamp) {
        if at > self.observed.now {
            self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// Labels of a namespace that has a manifest, or holds a Gateway, a ListenerSet or a route.
    pub(super) fn labels(&self, namespace: &str) -> Labels {
        self.namespaces.get(namespace).cloned().unwrap_or_default()
    }

    /// Whether a selector selects any namespace. Asked once for selectors that read alike: thousands of listeners may have one.
    pub(super) fn selects_any(&mut self, selector: &LabelSelector) -> bool {
        let Self {
            namespaces, selectors, ..
        } = self;
        let any = || namespaces.values().any(|labels| selector.matches(labels));
        *selectors.entry(listeners::selector_text(selector)).or_insert_with(any)
    }
}

/// Labels of a namespace, shared by all its routes.
pub(super) type Labels = Arc<BTreeMap<String, String>>;

fn namespaces(resources: &Resources) -> BTreeMap<&str, Labels> {
    let written = resources.namespaces.keys().map(|key| &*key.name);
    let names = (written)
        .chain(namespaces_of(&resources.gateways))
        .chain(namespaces_of(&resources.listener_sets))
        .chain(namespaces_of(&resources.tls_routes))
        .chain(namespaces_of(&resources.http_routes))
        .chain(namespaces_of(&resources.grpc_routes))
        .chain(namespaces_of(&resources.tcp_routes))
        .chain(namespaces_of(&resources.udp_routes));
    let mut namespaces: BTreeMap<&str, Labels> = BTreeMap::new();
    for name in names {
        namespaces
            .entry(name)
            .or_insert_with(|| Arc::new(resources.namespace_labels(name)));
    }
    namespaces
}

/// Each once: keys come sorted, so that a search finds the first of the next namespace.
fn namespaces_of<T>(objects: &Objects<T>) -> impl Iterator<Item = &str> {
    let first = objects.keys().next();
    let keys = std::iter::successors(first, |last| {
        let next = ObjectKey::new(format!("{}\0", last.namespace), "");
        objects.range(next..).next().map(|(key, _)| key)
    });
    keys.map(|key| &*key.namespace)
}

/// A Gateway of ours on its way through the passes.
pub(super) struct GatewayWork<'a> {
    pub(super) key: ObjectKey,
    pub(super) object: ObjectRef,
    pub(super) gateway: &'a Gateway,
    /// To bind.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) trusted_proxies: Vec<IpNet>,
    /// Its own certificate towards backends.
    pub(super) client_certificate: Option<Arc<ServedCertificate>>,
    pub(super) client_certificate_headers: ClientCertificateHeaders,
    /// As an XTelemetryPolicy has it.
    pub(super) tracing: Option<Arc<Tracing>>,
    /// A reference of the Gateway itself, not of a listener, that leads nowhere.
    pub(super) unresolved: Option<(Reason, Cause)>,
    /// Where clients are served whatever certificate they show: `by default`, `on port 443`.
    pub(super) insecure: Vec<String>,
    /// Why nothing of it is served.
    pub(super) refused: Option<Cause>,
    /// An address that was asked for and cannot be bound.
    pub(super) unusable_address: Option<Cause>,
    /// In a cluster: its Services and proxies.
    pub(super) fleet: Option<&'a Fleet>,
    /// Addresses that are bound.
    pub(super) bound: Vec<IpAddr>,
    /// Its own, then those of `sets`, by precedence.
    pub(super) listeners: Vec<ListenerWork<'a>>,
    /// ListenerSets that name it, by precedence.
    pub(super) sets: Vec<SetWork<'a>>,
    /// Positions in `listeners` by the hostname that each claims, for every port where names decide.
    pub(super) names: BTreeMap<u16, NameIndex<usize>>,
}

impl<'a> GatewayWork<'a> {
    /// Its own listeners.
    pub(super) fn own(&self) -> &[ListenerWork<'a>] {
        self.listeners_at(&(0..self.gateway.spec.listeners.len()))
    }

    /// Of which routes it is a default Gateway.
    pub(super) fn default_scope(&self) -> Option<&'a str> {
        gateways::scope(self.gateway.spec.default_scope.as_deref())
    }

    /// Listeners by position.
    pub(super) fn listeners_at(&self, positions: &Range<usize>) -> &[ListenerWork<'a>] {
        self.listeners.get(positions.clone()).unwrap_or_default()
    }
}

/// A listener on its way through the passes.
pub(super) struct ListenerWork<'a> {
    pub(super) listener: &'a Listener,
    /// Unique in its Gateway: the listener's own name, or `NAMESPACE/SET/NAME` where a ListenerSet holds it.
    pub(super) name: String,
    /// The object that holds it.
    pub(super) owner: ObjectRef,
    /// Its path in that object.
    pub(super) field: String,
    /// 0 for the Gateway itself, then ListenerSets by age: only listeners of one rank lose together.
    pub(super) rank: usize,
    pub(super) hostname: HostnamePattern,
    pub(super) transport: Transport,
    /// Kinds of routes that it takes.
    pub(super) kinds: Vec<RouteGroupKind>,
    /// Why it is not accepted; the port's plan does not hold its routes.
    pub(super) refused: Option<Cause>,
    /// In the order of `certificateRefs`, when it ends TLS.
    pub(super) certificates: Vec<CertificateSlot>,
    pub(super) client_validation: Option<Arc<ClientValidation>>,
    pub(super) options: TlsOptions,
    /// Set as well when it is refused for a conflict.
    pub(super) conflicted: bool,
    /// Set as well when what it lost to comes first and keeps what it has.
    pub(super) beaten: bool,
    /// Set as well when it is refused only until something else in the manifests has written the authorities that it asks for. A
    /// condition says so; it is nobody's mistake.
    pub(super) is_awaited: bool,
    /// A reference that leads nowhere.
    pub(super) unresolved: Option<Cause>,
    /// Other listeners of the port with overlapping names.
    pub(super) overlaps: Vec<String>,
    pub(super) binding: Binding,
    pub(super) attached: i32,
    /// Of TLSRoutes, and of TCPRoutes and UDPRoutes, all of which claim every name.
    pub(super) routes: NameIndex<Arc<Forward>>,
    /// Of HTTPRoutes and GRPCRoutes.
    pub(super) requests: ListenerRequests,
}

impl ListenerWork<'_> {
    pub(super) fn port(&self) -> u16 {
        self.listener.port
    }

    pub(super) fn port_key(&self) -> PortKey {
        PortKey {
            transport: self.transport,
            port: self.port(),
        }
    }

    /// Whether a reference to its object means this listener.
    pub(super) fn is_meant_by(&self, reference: &ParentRef) -> bool {
        let section = reference.section_name.as_deref().filter(|section| !section.is_empty());
        section.is_none_or(|section| section == self.listener.name) && reference.port.is_none_or(|port| port == self.port())
    }

    /// Whether TLS ends at the gateway.
    pub(super) fn ends_tls(&self) -> bool {
        listeners::speaks_tls(self.listener) && listeners::mode(self.listener) == TlsMode::Terminate
    }

    /// How it ends TLS; `None` when it does not, or has no certificate to do it with.
    pub(super) fn termination(&self) -> Option<Termination> {
        let is_served = |slot: &CertificateSlot| matches!(slot, CertificateSlot::Served(_));
        (self.ends_tls() && self.certificates.iter().any(is_served)).then(|| Termination {
            certificates: self.certificates.clone(),
            client_validation: self.client_validation.clone(),
            options: self.options.clone(),
        })
    }

    /// Hostnames that routes have claimed on it, each with its route.
    pub(super) fn names_of_routes(&self) -> impl Iterator<Item = (HostnamePattern, &ObjectRef)> {
        let connections = self.routes.iter().map(|(pattern, forward)| (pattern, &forward.route));
        connections.chain(self.requests.names())
    }

    /// Why it refuses every connection on its open port: it ends TLS and none of its certificates can be served.
    pub(super) fn lacks_certificate(&self) -> Option<&Cause> {
        let is_served = |slot: &CertificateSlot| matches!(slot, CertificateSlot::Served(_));
        if self.ends_tls() && !self.certificates.iter().any(is_served) {
            self.unresolved.as_ref()
        } else {
            None
        }
    }

    /// What the data plane does with connections for its names.
    pub(super) fn fate(&self) -> ListenerFate {
        match (&self.refused, self.lacks_certificate()) {
            (Some(cause), _) | (None, Some(cause)) => ListenerFate::Refuses(cause.reason()),
            (None, None) => ListenerFate::Serves,
        }
    }

    /// Whether its port is open for its sake. One without a certificate stays open, to tell clients by an alert.
    pub(super) fn serves(&self) -> bool {
        self.refused.is_none()
    }
}

/// What became of a listener's sockets.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Binding {
    /// All of them accept connections (or are assumed to).
    Bound,
    /// Some are still being opened.
    Pending,
    /// One could not be opened; the data plane goes on trying.
    Failed(Cause),
}
