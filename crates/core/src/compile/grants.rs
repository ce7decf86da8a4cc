//! ReferenceGrants as a set of permissions.

use std::collections::BTreeMap;

use sealway_api::{GrantFrom, GrantTo, ObjectRef, ReferenceGrant, Resources};

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
            || self.candidates(to).iter().any(|grant| {
                grant.spec.from.iter().any(|entry| from_misfit(entry, from).is_none())
                    && grant.spec.to.iter().any(|entry| to_misfit(entry, to).is_none())
            })
    }

    /// A grant that one entry keeps from permitting the reference, and what is wrong with that entry.
    pub(super) fn nearest(&self, from: &ObjectRef, to: &ObjectRef) -> Option<String> {
        self.candidates(to).iter().find_map(|grant| {
            let from_fits = grant.spec.from.iter().any(|entry| from_misfit(entry, from).is_none());
            let to_fits = grant.spec.to.iter().any(|entry| to_misfit(entry, to).is_none());
            let misfit = match (from_fits, to_fits) {
                (false, true) => grant.spec.from.iter().find_map(|entry| from_misfit(entry, from)),
                (true, false) => grant.spec.to.iter().find_map(|entry| to_misfit(entry, to)),
                _ => None,
            };
            misfit.map(|misfit| {
                let Misfit { field, written, needed } = misfit;
                format!(
                    "ReferenceGrant {} has {field} {written:?}, not {needed:?}",
                    grant.metadata.key()
                )
            })
        })
    }

    fn candidates(&self, to: &ObjectRef) -> &[&'a ReferenceGrant] {
        self.by_namespace
            .get(to.key.namespace.as_str())
            .map_or(&[], |grants| grants.as_slice())
    }
}

/// What keeps an entry from holding for a reference. Thousands of entries may be asked, so that it is put into words only when it is told.
struct Misfit<'a> {
    field: &'static str,
    written: &'a str,
    needed: &'a str,
}

fn from_misfit<'a>(entry: &'a GrantFrom, from: &'a ObjectRef) -> Option<Misfit<'a>> {
    misfit("from.group", &entry.group, from.kind.group())
        .or_else(|| misfit("from.kind", &entry.kind, from.kind.as_str()))
        .or_else(|| misfit("from.namespace", &entry.namespace, &from.key.namespace))
}

fn to_misfit<'a>(entry: &'a GrantTo, to: &'a ObjectRef) -> Option<Misfit<'a>> {
    // An empty name is how some clients write "every one".
    let name = entry.name.as_deref().filter(|name| !name.is_empty());
    misfit("to.group", &entry.group, to.kind.group())
        .or_else(|| misfit("to.kind", &entry.kind, to.kind.as_str()))
        .or_else(|| name.and_then(|name| misfit("to.name", name, &to.key.name)))
}

fn misfit<'a>(field: &'static str, written: &'a str, needed: &'a str) -> Option<Misfit<'a>> {
    (written != needed).then_some(Misfit { field, written, needed })
}
