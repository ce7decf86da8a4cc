//! An object as the API server sends it: JSON that is read no further than needed, so that reading it cannot fail.

use sealway_api::{Kind, ObjectKey, ObjectRef, Resource};
use sealway_core::{Cause, Problem};
use serde::Deserialize;
use serde_json::Value;

use super::kinds::Watched;

/// One object, whatever stands in it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Raw(pub(super) Value);

impl std::fmt::Debug for Raw {
    /// It may be a Secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Raw").field(&self.key()).finish()
    }
}

/// One page of a list.
#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    pub(super) metadata: PageMeta,
    /// `null` in an empty list of metadata.
    pub(super) items: Option<Vec<Raw>>,
}

/// Where a list stands.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PageMeta {
    pub(super) resource_version: String,
    #[serde(rename = "continue")]
    pub(super) continue_token: String,
}

/// What an object is to us.
pub(super) struct Read {
    pub(super) reference: ObjectRef,
    /// What can be used, or what keeps it from being read, in words without any value of a Secret.
    pub(super) resource: Result<Resource, String>,
}

impl Raw {
    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Namespace and name; `None` without a name.
    pub(super) fn key(&self) -> Option<ObjectKey> {
        let name = self.text("/metadata/name");
        (!name.is_empty()).then(|| ObjectKey::new(self.text("/metadata/namespace"), name))
    }

    pub(super) fn resource_version(&self) -> &str {
        self.text("/metadata/resourceVersion")
    }

    /// Reads it as `watched` has it. What is never read is dropped first: managed fields, kubectl's own copy, and statuses, save those of
    /// Services, which hold the addresses of load balancers.
    pub(super) fn read(mut self, watched: &Watched, key: &ObjectKey, version: &str) -> Read {
        let reference = ObjectRef::of(watched.kind.clone(), key);
        if let Value::Object(object) = &mut self.0 {
            if watched.kind != Kind::Service {
                object.remove("status");
            }
            // Items of a list of built-in kinds come without.
            object.insert("apiVersion".to_owned(), watched.api_version(version).into());
            if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
                metadata.remove("managedFields");
                if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
                    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
                }
            }
            // A null is what an absent field is, to the API server and to us.
            object.retain(|_, value| !value.is_null());
        }
        let resource = match Resource::read(&watched.kind, self.0) {
            Some(Ok(resource)) => Ok(resource),
            Some(Err(error)) if watched.kind != Kind::Secret => Err(error.to_string()),
            Some(Err(_)) | None => Err(format!("cannot be read as a {}", watched.kind)),
        };
        Read { reference, resource }
    }
}

/// The problem of an object that cannot be read.
pub(super) fn odd(reference: ObjectRef, detail: String) -> Problem {
    Problem::new(reference, "", Cause::Invalid { detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_without_secrets_has_an_empty_list() {
        let list = r#"{"kind":"PartialObjectMetadataList","metadata":{"resourceVersion":"697"},"items":null}"#;
        let page: Page = serde_json::from_str(list).expect("a list");
        assert_eq!(page.metadata.resource_version, "697");
        assert!(page.items.is_none());
    }
}
