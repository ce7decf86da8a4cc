//! What a controller asks of the API server about its own installation.
//!
//! Job: the address of the feed, the image of its pod, the Secret with the feed's authority, and whose tokens are shown to it. Each is one
//! request. Invariant: key bytes are in zeroizing texts only.

use std::collections::BTreeMap;

use kube::Client;
use kube::api::{GetParams, PostParams};
use kube::core::Request;
use sealway_api::ObjectKey;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::call::{Refusal, call};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The API server says no.
    #[error("{0}")]
    Refused(String),
    /// It cannot be reached, or has no time.
    #[error("{0}")]
    Unreachable(String),
    /// Somebody else has written in the meantime, or made it first.
    #[error("written by somebody else in the meantime")]
    Conflict,
}

impl From<Refusal> for Unanswered {
    fn from(refusal: Refusal) -> Self {
        match refusal.code() {
            Some(409) => Self::Conflict,
            _ if refusal.is_passing() => Self::Unreachable(refusal.to_string()),
            _ => Self::Refused(refusal.to_string()),
        }
    }
}

/// Reads one object; `None`: there is none.
pub(super) async fn get(client: &Client, collection: &str, name: &str) -> Result<Option<Value>, Refusal> {
    match call(client, Request::new(collection).get(name, &GetParams::default())).await {
        Ok(raw) => Ok(Some(raw.0)),
        Err(refusal) if refusal.code() == Some(404) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

fn core(namespace: &str, plural: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{plural}")
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array);
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// Addresses of a Service inside the cluster.
///
/// # Errors
/// When it is not there, or nobody answers.
pub async fn service_addresses(client: &Client, service: &ObjectKey) -> Result<Vec<String>, Unanswered> {
    let found = get(client, &core(&service.namespace, "services"), &service.name).await?;
    let found = found.ok_or_else(|| Unanswered::Refused(format!("there is no Service {service}")))?;
    let mut addresses = texts(found.pointer("/spec/clusterIPs"));
    addresses.retain(|address| address != "None");
    if addresses.is_empty() {
        return Err(Unanswered::Refused(format!(
            "Service {service} has no address in the cluster"
        )));
    }
    Ok(addresses)
}

/// The image of a pod's first container.
///
/// # Errors
/// When the pod is not there, or nobody answers.
pub async fn pod_image(client: &Client, pod: &ObjectKey) -> Result<String, Unanswered> {
    let found = get(client, &core(&pod.namespace, "pods"), &pod.name).await?;
    let image = found.as_ref().and_then(|found| found.pointer("/spec/containers/0/image"));
    let image = image.and_then(Value::as_str).map(str::to_owned);
    image.ok_or_else(|| Unanswered::Refused(format!("there is no Pod {pod}")))
}

/// A Secret of our own, as it was read.
pub struct OwnSecret {
    /// By key; what is no text is left out.
    pub data: BTreeMap<String, Zeroizing<String>>,
    /// Labels and annotations are not ours alone: an installer's stand there.
    metadata: Value,
}

/// Reads a Secret of our own; `None`: there is none.
///
/// # Errors
/// When nobody answers, or the answer is no.
pub async fn read_secret(client: &Client, key: &ObjectKey) -> Result<Option<OwnSecret>, Unanswered> {
    let Some(found) = get(client, &core(&key.namespace, "secrets"), &key.name).await? else {
        return Ok(None);
    };
    let metadata = found.get("metadata").cloned().unwrap_or_default();
    let secret: sealway_api::Secret = serde_json::from_value(found).map_err(|error| Unanswered::Refused(error.to_string()))?;
    let text = |bytes: &sealway_api::SecretBytes| String::from_utf8(bytes.expose().to_vec()).ok().map(Zeroizing::new);
    let data = secret
        .data
        .iter()
        .filter_map(|(name, bytes)| Some((name.clone(), text(bytes)?)));
    Ok(Some(OwnSecret {
        data: data.collect(),
        metadata,
    }))
}

/// Writes a Secret of our own in place of what was read, or makes it.
///
/// # Errors
/// [`Unanswered::Conflict`] when somebody was faster: read again.
pub async fn write_secret(
    client: &Client,
    key: &ObjectKey,
    before: Option<&OwnSecret>,
    data: &BTreeMap<&'static str, Zeroizing<String>>,
) -> Result<(), Unanswered> {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": key.name, "namespace": key.namespace,
            "labels": { "app.kubernetes.io/managed-by": "sealway" },
        },
        "data": data.iter().map(|(name, text)| (*name, base64(text.as_bytes()))).collect::<BTreeMap<_, _>>(),
    });
    let requests = Request::new(core(&key.namespace, "secrets"));
    let parameters = PostParams::default();
    let request = match before {
        None => requests.create(&parameters, object.to_string().into_bytes()),
        Some(before) => {
            object["metadata"] = before.metadata.clone();
            requests.replace(&key.name, &parameters, object.to_string().into_bytes())
        }
    };
    call(client, request).await?;
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOwner {
    /// Namespace and name.
    pub service_account: ObjectKey,
    /// The pod that it is bound to.
    pub pod: String,
}

/// Asks whether a token is genuine and meant for `audience` (TokenReview). `None`: it is not, or is no pod's.
///
/// # Errors
/// When nobody answers, or we may not ask.
pub async fn review_token(client: &Client, token: &str, audience: &str) -> Result<Option<TokenOwner>, Unanswered> {
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": { "token": token, "audiences": [audience] },
    });
    let requests = Request::new("/apis/authentication.k8s.io/v1/tokenreviews");
    let answer = call(
        client,
        requests.create(&PostParams::default(), review.to_string().into_bytes()),
    )
    .await?
    .0;
    Ok(owner(&answer, audience))
}

fn owner(answer: &Value, audience: &str) -> Option<TokenOwner> {
    let status = answer.get("status")?;
    // An authenticator that knows no audiences leaves them out, and takes any token then.
    let is_meant = texts(status.get("audiences")).iter().any(|named| named == audience);
    if status.get("authenticated") != Some(&Value::Bool(true)) || !is_meant {
        return None;
    }
    let name = status.pointer("/user/username")?.as_str()?;
    let (namespace, name) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let pod = texts(status.pointer("/user/extra/authentication.kubernetes.io~1pod-name")).pop()?;
    Some(TokenOwner {
        service_account: ObjectKey::new(namespace, name),
        pod,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(authenticated: bool, audiences: &[&str], user: &str) -> Value {
        json!({ "status": {
            "authenticated": authenticated, "audiences": audiences,
            "user": { "username": user, "extra": { "authentication.kubernetes.io/pod-name": ["edge-1"] } },
        }})
    }

    #[test]
    fn only_a_genuine_token_of_a_pod_for_our_audience_has_an_owner() {
        let user = "system:serviceaccount:infra:sealway-edge";
        let wanted = Some(TokenOwner {
            service_account: ObjectKey::new("infra", "sealway-edge"),
            pod: "edge-1".to_owned(),
        });
        assert_eq!(owner(&answer(true, &["feed"], user), "feed"), wanted);
        assert_eq!(owner(&answer(false, &["feed"], user), "feed"), None);
        assert_eq!(owner(&answer(true, &[], user), "feed"), None);
        assert_eq!(owner(&answer(true, &["https://kubernetes.default.svc"], user), "feed"), None);
        assert_eq!(owner(&answer(true, &["feed"], "kubernetes-admin"), "feed"), None);
        let mut no_pod = answer(true, &["feed"], user);
        no_pod["status"]["user"]["extra"] = json!({});
        assert_eq!(owner(&no_pod, "feed"), None);
    }
}
