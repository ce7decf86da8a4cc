//! What the cluster's CRDs can hold, for the features that a GatewayClass claims.
//!
//! Looked at again when the served versions change, and now and then, for CRDs are updated in place. Invariant: a look that failed
//! changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use sealway_api::Kind;
use sealway_core::Served as Features;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use super::call::Refusal;
use super::discovery::Served;
use super::kinds::WATCHED;
use super::own::get;
use super::pause::about;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const LOOK: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Looks for ever; `None` until the first look has succeeded.
pub async fn follow_features(
    client: Client,
    mut served: watch::Receiver<Arc<Served>>,
    features: watch::Sender<Option<Features>>,
) {
    loop {
        let now = Arc::clone(&served.borrow_and_update());
        let wait = match look(&client, &now).await {
            Ok(found) => {
                features.send_if_modified(|before| {
                    let is_new = before.as_ref() != Some(&found);
                    *before = Some(found);
                    is_new
                });
                LOOK
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read the CustomResourceDefinitions of the Gateway API; trying again");
                LOOK_AGAIN
            }
        };
        tokio::select! {
            changed = served.changed() => if changed.is_err() { return },
            () = sleep(about(wait)) => {}
        }
    }
}

async fn look(client: &Client, served: &Served) -> Result<Features, Refusal> {
    let kinds: BTreeSet<Kind> = WATCHED
        .iter()
        .filter(|watched| served.api_version(&watched.kind).is_some())
        .map(|watched| watched.kind.clone())
        .collect();
    let class = get(client, DEFINITIONS, "gatewayclasses.gateway.networking.k8s.io").await?;
    let gateway = get(client, DEFINITIONS, "gateways.gateway.networking.k8s.io").await?;
    let version = class.as_ref().and_then(|class| {
        let version = class.pointer("/metadata/annotations/gateway.networking.k8s.io~1bundle-version")?;
        version.as_str().map(str::to_owned)
    });
    let has = |path: &str| gateway.as_ref().is_some_and(|gateway| has_field(gateway, path));
    Ok(Features {
        kinds,
        listener_filters: has("/listeners/items/properties/filters"),
        address_routability: has("/addresses/items/properties/routability"),
        bundle_version: version,
    })
}

/// Whether some served version of a definition has a field below `spec`.
fn has_field(definition: &Value, path: &str) -> bool {
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
    let path = format!("/schema/openAPIV3Schema/properties/spec/properties{path}");
    versions
        .into_iter()
        .flatten()
        .any(|version| version.get("served") == Some(&Value::Bool(true)) && version.pointer(&path).is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_counts_when_a_served_version_has_it() {
        let version = |served: bool, field: &str| {
            let spec = json!({ "properties": { "listeners": { "items": { "properties": { field: {} } } } } });
            json!({ "served": served, "schema": { "openAPIV3Schema": { "properties": { "spec": spec } } } })
        };
        let definition = json!({ "spec": { "versions": [version(true, "name"), version(false, "filters")] } });
        assert!(has_field(&definition, "/listeners/items/properties/name"));
        assert!(!has_field(&definition, "/listeners/items/properties/filters"));
    }
}
