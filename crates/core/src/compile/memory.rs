//! What the compiler keeps between calls, so that one change does not parse a thousand Secrets again and what is equal stays the same
//! `Arc`. Nothing here changes what a compilation says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealway_api::{ClusterTrustBundle, ConfigMap, ObjectKey, ObjectRef, Secret};

use super::http::RouteRequests;
use crate::pki::{Authorities, AuthoritiesFault, Identity, Unusable};
use crate::revocation::RevocationList;
use crate::snapshot::{BackendTls, Pattern, TrustBundle};

/// Of one compilation: only what it used.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// What was read from Secrets with certificates.
    pub(super) identities: BTreeMap<ObjectKey, Arc<KnownIdentity>>,
    /// What was read from objects with authorities.
    pub(super) authorities: BTreeMap<ObjectRef, Arc<KnownAuthorities>>,
    /// Lists from elsewhere for which those authorities answer.
    pub(super) lists: BTreeMap<ObjectRef, KnownLists>,
    /// Bundles by where they came from.
    pub(super) bundles: BTreeMap<Vec<ObjectRef>, KnownBundle>,
    /// What each BackendTLSPolicy asks for.
    pub(super) upstreams: BTreeMap<ObjectKey, Arc<BackendTls>>,
    /// What routes do with requests.
    pub(super) requests: BTreeMap<ObjectRef, Arc<RouteRequests>>,
    /// Regular expressions by their text.
    pub(super) patterns: BTreeMap<String, Pattern>,
}

impl Memory {
    /// Of a compilation that looked at these routes only.
    pub(super) fn follow(&mut self, next: Self, routes: &BTreeSet<ObjectRef>) {
        let mut last = std::mem::replace(self, next);
        for route in routes {
            last.requests.remove(route);
        }
        // One by one: `append` walks all that there is.
        last.requests.extend(std::mem::take(&mut self.requests));
        last.patterns.extend(std::mem::take(&mut self.patterns));
        self.requests = last.requests;
        self.patterns = last.patterns;
    }
}

/// A Secret and what was read from it.
#[derive(Debug)]
pub(super) struct KnownIdentity {
    pub(super) source: Arc<Secret>,
    pub(super) found: Result<Identity, Unusable>,
}

/// An object and what was read from it.
#[derive(Debug)]
pub(super) struct KnownAuthorities {
    pub(super) source: AuthoritySource,
    pub(super) found: Result<Authorities, AuthoritiesFault>,
}

/// The lists from elsewhere for which authorities answer: signatures are verified once.
#[derive(Clone, Debug)]
pub(super) struct KnownLists {
    pub(super) authorities: Arc<KnownAuthorities>,
    /// All that there were.
    pub(super) among: Vec<Arc<RevocationList>>,
    pub(super) lists: Vec<Arc<RevocationList>>,
}

/// A bundle and what it was made of.
#[derive(Clone, Debug)]
pub(super) struct KnownBundle {
    pub(super) parts: Vec<BundlePart>,
    pub(super) bundle: Arc<TrustBundle>,
}

/// The authorities of one object, and the lists from elsewhere for which they answer.
#[derive(Clone, Debug)]
pub(super) struct BundlePart {
    pub(super) authorities: Arc<KnownAuthorities>,
    pub(super) lists: Vec<Arc<RevocationList>>,
}

/// An object that may hold authorities.
#[derive(Clone, Debug)]
pub(super) enum AuthoritySource {
    ConfigMap(Arc<ConfigMap>),
    Secret(Arc<Secret>),
    Cluster(Arc<ClusterTrustBundle>),
}

impl KnownIdentity {
    /// Whether a Secret says what this one said.
    pub(super) fn is_of(&self, secret: &Arc<Secret>) -> bool {
        Arc::ptr_eq(&self.source, secret) || self.source.data == secret.data
    }
}

impl BundlePart {
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.authorities, &other.authorities) && self.lists == other.lists
    }
}

impl KnownAuthorities {
    /// Whether an object says what this one said.
    pub(super) fn is_of(&self, source: &AuthoritySource) -> bool {
        match (&self.source, source) {
            (AuthoritySource::ConfigMap(one), AuthoritySource::ConfigMap(two)) => Arc::ptr_eq(one, two) || one.data == two.data,
            (AuthoritySource::Secret(one), AuthoritySource::Secret(two)) => Arc::ptr_eq(one, two) || one.data == two.data,
            (AuthoritySource::Cluster(one), AuthoritySource::Cluster(two)) => Arc::ptr_eq(one, two) || one.spec == two.spec,
            _ => false,
        }
    }
}
