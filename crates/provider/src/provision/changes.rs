//! What is to be applied and what is to go.
//!
//! Input: the objects that are wanted, and those that carry the Gateway's label. Output: [`Changes`]. Invariant: what this very Gateway
//! (by uid) does not own is neither deleted nor taken over, whatever it is called and labelled. A Gateway of which nothing is wanted may
//! have gone to another controller, which takes over what it finds: only what is still of our class is deleted then.

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
    /// Value of its label [`GATEWAY_CLASS_LABEL`](super::GATEWAY_CLASS_LABEL).
    pub class: Option<String>,
    /// `resourceVersion`.
    pub version: String,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// In this order.
    pub apply: Vec<Value>,
    /// After everything has been applied, each if it is still of that `resourceVersion`.
    pub delete: Vec<(Identity, String)>,
    /// Somebody else's, by a name that we need.
    pub taken: Vec<Identity>,
}

/// `present`: everything by a name that is wanted, and everything that carries the Gateway's label. `class`: the label's value on what is
/// ours.
#[must_use]
pub fn changes(wanted: Vec<Value>, present: &[Present], gateway_uid: &str, class: &str) -> Changes {
    let is_own = |object: &Present| object.owner.as_deref() == Some(gateway_uid);
    let is_to_go = |object: &Present| !wanted.is_empty() || object.class.as_deref() == Some(class);
    let identities: Vec<_> = wanted.iter().map(Identity::of).collect();
    let mut delete: Vec<_> = present
        .iter()
        .filter(|object| is_own(object) && is_to_go(object) && !identities.contains(&object.identity))
        .map(|object| (object.identity.clone(), object.version.clone()))
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
