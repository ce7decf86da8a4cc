//! Names that a listener serves and none of its certificates covers: clients would refuse them.
//!
//! Input: listeners with certificates and routes. Output: problems only; such names are served all the same.

use std::collections::BTreeSet;

use sealway_api::{Kind, ObjectRef, Resources};

use super::world::{GatewayWork, ListenerWork, World};
use crate::hostname::HostnamePattern;
use crate::problem::Cause;
use crate::snapshot::CertificateSlot;

/// Compares names and certificates of every listener that ends TLS.
pub(super) fn check(world: &mut World<'_>, gateways: &[GatewayWork<'_>]) {
    for gateway in gateways.iter().filter(|gateway| gateway.refused.is_none()) {
        for work in gateway.listeners.iter().filter(|work| work.refused.is_none()) {
            let Some(covered) = Covered::by(work) else { continue };
            let missing = |hostname: &HostnamePattern| Cause::CertificateNameMissing {
                gateway: gateway.key.clone(),
                listener: work.name.clone(),
                hostname: hostname.to_string(),
                names: covered.names.iter().map(ToString::to_string).collect(),
            };
            if !covered.has_some_of(&work.hostname) {
                world.report(&work.owner, format!("{}.hostname", work.field), missing(&work.hostname));
                continue;
            }
            for (pattern, route) in work.names_of_routes() {
                // A route's wider name stands for the listener's own, which has been looked at.
                let is_narrower = work.hostname.includes(&pattern) && pattern != work.hostname;
                if is_narrower && !covered.has_some_of(&pattern) {
                    let field = hostname_field(world.resources, route, &pattern);
                    world.report(route, field, missing(&pattern));
                }
            }
        }
    }
}

/// Names of a listener's certificates.
struct Covered<'a> {
    names: BTreeSet<&'a HostnamePattern>,
}

impl<'a> Covered<'a> {
    /// `None` where nothing can be said: no certificate, or one that cannot be read.
    fn by(work: &'a ListenerWork<'_>) -> Option<Self> {
        let mut names = BTreeSet::new();
        for slot in &work.certificates {
            match slot {
                CertificateSlot::Served(certificate) => names.extend(&certificate.names),
                CertificateSlot::Broken { names: Some(broken), .. } => names.extend(broken),
                CertificateSlot::Broken { names: None, .. } => return None,
            }
        }
        let serves = work.ends_tls() && work.lacks_certificate().is_none();
        serves.then_some(Self { names })
    }

    /// Whether a name is covered, or for a wildcard any name under it: which ones clients use cannot be known.
    fn has_some_of(&self, pattern: &HostnamePattern) -> bool {
        match pattern {
            HostnamePattern::Any => true,
            HostnamePattern::Exact(name) => {
                // A wildcard of a certificate stands for one label (RFC 9525 section 6.3).
                let wildcard = name
                    .split_once('.')
                    .map(|(_, suffix)| HostnamePattern::Wildcard(suffix.into()));
                self.names.contains(pattern) || wildcard.is_some_and(|wildcard| self.names.contains(&wildcard))
            }
            HostnamePattern::Wildcard(_) => self.names.contains(pattern) || self.names.iter().any(|name| pattern.includes(name)),
        }
    }
}

/// Where a route has a hostname.
fn hostname_field(resources: &Resources, route: &ObjectRef, pattern: &HostnamePattern) -> String {
    let hostnames = match route.kind {
        Kind::TlsRoute => resources.tls_routes.get(&route.key).map(|found| &found.spec.hostnames),
        Kind::HttpRoute => resources.http_routes.get(&route.key).map(|found| &found.spec.hostnames),
        Kind::GrpcRoute => resources.grpc_routes.get(&route.key).map(|found| &found.spec.hostnames),
        _ => None,
    };
    let position = hostnames.and_then(|hostnames| {
        let is_it = |name: &String| HostnamePattern::parse(Some(name)) == *pattern;
        hostnames.iter().position(is_it)
    });
    position.map_or_else(|| "spec".to_owned(), |position| format!("spec.hostnames[{position}]"))
}
