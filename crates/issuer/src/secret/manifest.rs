//! A Secret as a manifest. Secret has no Serialize on purpose: nothing writes keys but what calls this.

use base64::Engine as _;
use sealway_api::{Secret, SecretBytes};

/// JSON of a Secret that `kubectl apply` takes, `data` in base64; what reads manifests reads it back as it was.
#[must_use]
pub fn json(secret: &Secret) -> SecretBytes {
    let data: serde_json::Map<String, serde_json::Value> = secret
        .data
        .iter()
        .map(|(key, value)| {
            (
                key.clone(),
                base64::engine::general_purpose::STANDARD.encode(value.expose()).into(),
            )
        })
        .collect();
    let manifest = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": secret.metadata,
        "type": secret.kind,
        "data": data,
    });
    SecretBytes::new(manifest.to_string().into_bytes())
}
