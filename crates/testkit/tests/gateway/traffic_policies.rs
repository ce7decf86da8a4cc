//! XBackendTrafficPolicies: how often a backend that fails is asked again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealway_api::{ConditionStatus, ObjectKey};
use sealway_testkit::LOOPBACK;
use sealway_testkit::backends::Backend;
use sealway_testkit::gateway::{Setup, TestGateway};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::requests::{self, answer};

const PORT: u16 = 8080;

/// A rule that asks twice again; and the policy.
fn manifests(policy: &str) -> String {
    let gateway = requests::gateway("shop");
    format!(
        "{gateway}apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web, namespace: shop}}
spec:
  parentRefs: [{{name: gateway}}]
  rules:
    - backendRefs: [{{name: web, port: 80}}]
      retry: {{codes: [503], attempts: 2, backoff: 1ms}}
---
{policy}"
    )
}

fn policy(percent: u32) -> String {
    format!(
        "apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackendTrafficPolicy
metadata: {{name: web, namespace: shop}}
spec:
  targetRefs: [{{group: \"\", kind: Service, name: web}}]
  retryConstraint:
    budget: {{percent: {percent}, interval: 10s}}
    minRetryRate: {{count: 1, interval: 1h}}
"
    )
}

const ANOTHER_ROUTE: &str = "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: other, namespace: shop}
spec:
  parentRefs: [{name: gateway}]
  hostnames: [other.test]
  rules: [{backendRefs: [{name: web, port: 80}]}]
";

/// Answers every request with 503, and counts them.
async fn failing() -> (Backend, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let backend = Backend::start(LOOPBACK, move |stream: TcpStream| {
        let count = Arc::clone(&count);
        async move {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).await? > 0 {
                if line == "\r\n" {
                    count.fetch_add(1, Ordering::SeqCst);
                    let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nsick";
                    stream.write_all(answer).await?;
                }
                line.clear();
            }
            Ok(())
        }
    });
    (backend.await.expect("backend"), asked)
}

/// What a client gets, and how often the backend was asked for it.
async fn ask(gateway: &TestGateway, asked: &AtomicUsize) -> (String, usize) {
    let before = asked.load(Ordering::SeqCst);
    let answer = answer(gateway, PORT, "").await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("head");
    assert!(head.starts_with("HTTP/1.1 503 "), "{answer}");
    (body.to_owned(), asked.load(Ordering::SeqCst) - before)
}

#[tokio::test]
async fn a_backend_that_fails_is_asked_again_as_often_as_its_budget_permits() {
    let (backend, asked) = failing().await;
    let setup = Setup::default().endpoint("shop/web", 80, backend.address());
    let mut gateway = setup.start(&manifests("")).await;
    let its_own = |tries| ("sick".to_owned(), tries);
    let refused = |tries| ("retry_budget_spent".to_owned(), tries);
    for _ in 0..5 {
        assert_eq!(ask(&gateway, &asked).await, its_own(3), "as the rule says");
    }

    // None of them may be retries, but one an hour.
    gateway.apply(&manifests(&policy(0))).await;
    let status = &gateway.statuses().x_backend_traffic_policies[&ObjectKey::new("shop", "web")];
    assert_eq!(status.ancestors[0].conditions[0].status, ConditionStatus::True);
    assert_eq!(ask(&gateway, &asked).await, refused(2));
    for _ in 0..5 {
        assert_eq!(ask(&gateway, &asked).await, refused(1));
    }
    // What was counted is not forgotten because something else changes.
    gateway.apply(&(manifests(&policy(0)) + ANOTHER_ROUTE)).await;
    assert_eq!(ask(&gateway, &asked).await, refused(1));

    gateway.apply(&manifests(&policy(100))).await;
    assert_eq!(ask(&gateway, &asked).await, its_own(3));
    gateway.apply(&manifests("")).await;
    assert_eq!(ask(&gateway, &asked).await, its_own(3));
}

/// The page's own.
#[tokio::test]
async fn the_documented_policy_is_accepted() {
    let page = include_str!("../../../../docs/gateway-api.md");
    let mut blocks = page.split("```yaml\n").filter_map(|rest| rest.split("```").next());
    let policy = blocks.find(|block| block.contains("kind: XBackendTrafficPolicy"));
    let (backend, asked) = failing().await;
    let setup = Setup::default().endpoint("shop/web", 80, backend.address());
    let gateway = setup.start(&manifests(policy.expect("a policy"))).await;
    let status = &gateway.statuses().x_backend_traffic_policies[&ObjectKey::new("shop", "web")];
    assert_eq!(status.ancestors[0].conditions[0].status, ConditionStatus::True);
    // The least that is permitted is more than what the rule wants.
    assert_eq!(ask(&gateway, &asked).await, ("sick".to_owned(), 3));
}
