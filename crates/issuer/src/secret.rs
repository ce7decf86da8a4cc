//! Secrets as text.

use base64::Engine as _;
use sealway_api::{Secret, SecretBytes};
use serde_json::json;

/// A Secret as a Kubernetes manifest in JSON, keys of its data sorted.
#[must_use]
pub(crate) fn json(secret: &Secret) -> SecretBytes {
    let head = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": secret.metadata,
        "type": secret.kind,
    });
    let mut text = head.to_string();
    text.pop();
    text.push_str(",\"data\":{");
    for (number, (key, value)) in secret.data.iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        text.push_str(&json!(key).to_string());
        text.push_str(":\"");
        base64::engine::general_purpose::STANDARD.encode_string(value.expose(), &mut text);
        text.push('"');
    }
    text.push_str("}}");
    SecretBytes::new(text.into_bytes())
}
