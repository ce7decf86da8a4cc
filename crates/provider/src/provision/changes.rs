//! What is to be applied and what is to go.
//!
//! Input: the objects that are wanted, and those that carry the Gateway's label. Output: [`Changes`]. Invariant: what this very Gateway
//! (by uid) does not own is neither deleted nor taken over, whatever it is called and labelled.

use serde_json::Value;

/// Kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// As in `Deployment`.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Identity {
    /// Of an object that [`super::provision`] has made.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            kind: text("/kind"),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
        }
    }
}

/// An object that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Which.
    pub identity: Identity,
    /// `uid` of the owner that is its controller.
    pub owner: Option<String>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// In this order.
    pub apply: Vec<Value>,
    /// After everything has been applied.
    pub delete: Vec<Identity>,
    /// Somebody else's, by a name that we need.
    pub taken: Vec<Identity>,
}

/// `present`: everything by a name that is wanted, and everything that carries the Gateway's label.
#[must_use]
pub fn changes(wanted: Vec<Value>, present: &[Present], gateway_uid: &str) -> Changes {
    let is_own = |object: &Present| object.owner.as_deref() == Some(gateway_uid);
    let identities: Vec<_> = wanted.iter().map(Identity::of).collect();
    let mut delete: Vec<_> = present
        .iter()
        .filter(|object| is_own(object) && !identities.contains(&object.identity))
        .map(|object| object.identity.clone())
        .collect();
    delete.sort();
    let is_taken = |identity: &Identity| present.iter().any(|object| object.identity == *identity && !is_own(object));
    let (taken, apply): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|object| is_taken(&Identity::of(object)));
    Changes {
        apply,
        delete,
        taken: taken.iter().map(Identity::of).collect(),
    }
}
