//! One request to the API server, with what a refusal says about trying again.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http_body_util::{BodyExt as _, Limited};
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::time::timeout;

use super::raw::Raw;

/// An answer takes no longer, or counts as none.
const TIMEOUT: Duration = Duration::from_secs(10);
/// No object is larger: etcd takes 1.5 MiB.
const MOST: usize = 4 << 20;
/// No wait that a header asks for is longer.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The API server says no.
    #[error("{code}: {message}")]
    Status {
        code: u16,
        message: String,
        /// Not before that.
        retry_after: Option<Duration>,
    },
    /// It does not answer.
    #[error("{0}")]
    Unreachable(String),
}

impl Refusal {
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } => Some(*code),
            Self::Unreachable(_) => None,
        }
    }

    /// Whether the same request may succeed later.
    pub(super) fn is_passing(&self) -> bool {
        self.code().is_none_or(|code| code == 429 || code >= 500)
    }

    pub(super) fn retry_after(&self) -> Duration {
        match self {
            Self::Status {
                retry_after: Some(wait), ..
            } => (*wait).min(LONGEST_RETRY),
            // Priority and fairness asks for a second.
            Self::Status { code: 429, .. } => Duration::from_secs(1),
            _ => Duration::ZERO,
        }
    }
}

/// Sends a request whose answer is one object.
pub(super) async fn call(
    client: &Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<Raw, Refusal> {
    let unreachable = |error: &dyn std::fmt::Display| Refusal::Unreachable(error.to_string());
    let request = request.map_err(|error| unreachable(&error))?.map(Body::from);
    let exchange = async {
        let response = client.send(request).await.map_err(|error| unreachable(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MOST)
            .collect()
            .await
            .map_err(|error| unreachable(&error))?
            .to_bytes();
        let read = serde_json::from_slice::<Value>(&body);
        if head.status.is_success() {
            return read.map(Raw).map_err(|error| unreachable(&error));
        }
        let header = head
            .headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let body = read.unwrap_or_default();
        let in_body = body.pointer("/details/retryAfterSeconds").and_then(Value::as_u64);
        let message = body
            .get("message")
            .and_then(Value::as_str)
            .map_or_else(|| head.status.to_string(), str::to_owned);
        Err(Refusal::Status {
            code: head.status.as_u16(),
            message,
            retry_after: header.or(in_body).map(Duration::from_secs),
        })
    };
    timeout(TIMEOUT, exchange)
        .await
        .unwrap_or_else(|_| Err(Refusal::Unreachable("no answer in time".to_owned())))
}
