//! Which Secret stands under a name: that of the manifests, or else the one that was issued.

use std::sync::Arc;

use sealway_api::{Kind, ObjectKey, ObjectRef, Resources, Secret};

use crate::issued::{Issued, IssuedSecret};

/// The Secrets of the manifests and the issued ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secrets<'a> {
    pub(super) resources: &'a Resources,
    pub(super) issued: &'a Issued,
}

impl<'a> Secrets<'a> {
    /// The Secret in force.
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&'a Arc<Secret>> {
        if self.is_given(key) {
            return self.resources.secrets.get(key);
        }
        self.issued.secrets.get(key).map(|issued| &issued.secret)
    }

    /// Whether the manifests carry it, be it in a form that cannot be used: then nothing is ever issued in its place.
    pub(super) fn is_given(&self, key: &ObjectKey) -> bool {
        self.resources.secrets.contains_key(key)
            || (!self.resources.refused.is_empty() && self.resources.refused.contains(&ObjectRef::of(Kind::Secret, key)))
    }

    /// The issued Secret in force.
    pub(super) fn issued(&self, key: &ObjectKey) -> Option<&'a Arc<IssuedSecret>> {
        if self.is_given(key) {
            None
        } else {
            self.issued.secrets.get(key)
        }
    }
}
