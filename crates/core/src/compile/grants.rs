//! ReferenceGrants as a set of permissions.

use std::collections::BTreeMap;

use sealway_api::{ObjectRef, ReferenceGrant, Resources};

/// Who may refer to what across namespaces. Without a grant: nobody (GEP-709).
pub(super) struct Grants<'a> {
    by_namespace: BTreeMap<&'a str, Vec<&'a ReferenceGrant>>,
}

impl<'a> Grants<'a> {
    pub(super) fn new(resources: &'a Resources) -> Self {
        let mut by_namespace: BTreeMap<&str, Vec<&ReferenceGrant>> = BTreeMap::new();
        for (key, grant) in &resources.reference_grants {
            by_namespace.entry(&key.namespace).or_default().push(grant);
        }
        Self { by_namespace }
    }

    /// Whether `from` may refer to `to`: always inside a namespace, else only by a grant in the namespace of `to`.
    pub(super) fn permit(&self, from: &ObjectRef, to: &ObjectRef) -> bool {
        from.key.namespace == to.key.namespace
            || self.by_namespace.get(to.key.namespace.as_str()).is_some_and(|grants| {
                grants.iter().any(|grant| {
                    let from_fits = grant.spec.from.iter().any(|entry| {
                        entry.group == from.kind.group()
                            && entry.kind == from.kind.as_str()
                            && entry.namespace == from.key.namespace
                    });
                    let to_fits = grant.spec.to.iter().any(|entry| {
                        // An empty name is how some clients write "every one".
                        let name = entry.name.as_deref().filter(|name| !name.is_empty());
                        entry.group == to.kind.group()
                            && entry.kind == to.kind.as_str()
                            && name.is_none_or(|name| name == to.key.name)
                    });
                    from_fits && to_fits
                })
            })
    }
}
