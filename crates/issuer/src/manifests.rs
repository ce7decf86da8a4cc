//! For tests: manifests as YAML.

use sealway_api::{Kind, Resource, Resources};
use serde_json::Value;

pub(crate) fn resources(text: &str) -> Resources {
    let mut resources = Resources::default();
    for document in serde_saphyr::from_multiple::<Value>(text).expect("YAML") {
        let kind = Kind::from(document["kind"].as_str().expect("a kind"));
        let resource = Resource::read(&kind, document)
            .expect("a kind that is read")
            .expect("an object");
        resources.insert(resource.with_generation(1));
    }
    resources
}
