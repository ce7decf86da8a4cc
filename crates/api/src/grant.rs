//! ReferenceGrant: who may refer across namespaces (GEP-709).

use serde::Deserialize;

use crate::ObjectMeta;

/// Allows objects of other namespaces to refer to objects of its own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReferenceGrant {
    /// Its namespace is the one that is opened.
    pub metadata: ObjectMeta,
    /// What is allowed.
    pub spec: ReferenceGrantSpec,
}

/// Every `from` may refer to every `to`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReferenceGrantSpec {
    /// Who may refer.
    pub from: Vec<GrantFrom>,
    /// To what.
    pub to: Vec<GrantTo>,
}

/// A kind of a namespace that may refer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrantFrom {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
}

/// What may be referred to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrantTo {
    /// API group; empty is core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Absent: every object of that kind.
    pub name: Option<String>,
}
