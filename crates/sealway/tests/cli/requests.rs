//! What is told of requests: the access log, the metrics, and the status of the policy that a backend fails.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sealway_testkit::backends::{Backend, ClientCertificates, Https};
use sealway_testkit::certificates::{Authority, Identity, LEAF_VALIDITY, Request};
use sealway_testkit::clients::{Client, Failure};
use sealway_testkit::{LOOPBACK, free_port, loopback};
use serde_json::Value;

use crate::process::Running;
use crate::yaml::{Manifests, service};

/// A gateway that ends TLS for `pay.example.com` and encrypts again to a backend of `inner`.
struct Stage {
    outer: Authority,
    inner: Authority,
    backend: Backend,
    manifests: Manifests,
    gateway: Running,
    address: SocketAddr,
}

impl Stage {
    /// `trusts` the backend's authority, or another.
    async fn start(trusts: bool) -> Self {
        let now = SystemTime::now();
        let [outer, inner] = ["outer", "inner"].map(|name| Authority::generate(name, now).expect("authority"));
        let issue = |authority: &Authority, name: &str| authority.issue(&Request::server(name, &[name], now)).expect("identity");
        let backend = Https {
            name: "pay",
            identity: &issue(&inner, "pay.inside"),
            clients: ClientCertificates::Ignored,
        };
        let backend = backend.start(LOOPBACK).await.expect("backend");
        let address = loopback(free_port());
        let trusted = if trusts { &inner } else { &outer };
        let manifests = Manifests::new(&[
            ("gateway.yaml", &gateway(address.port())),
            ("secret.yaml", &secret(&issue(&outer, HOST))),
            ("authority.yaml", &authority(trusted)),
        ]);
        let path = manifests.path().display().to_string();
        let endpoint = format!("infra/pay:443={}", backend.address());
        let gateway = Running::ready(["-f", &path, "--endpoint", &endpoint]).await;
        Self {
            outer,
            inner,
            backend,
            manifests,
            gateway,
            address,
        }
    }

    async fn ask(&self, path: &str) -> Result<String, Failure> {
        let client = Client::trusting(&self.outer).expect("client");
        client.https(self.address, HOST, path).await.map(|seen| seen.answer.backend)
    }

    /// The access log's line about a path.
    async fn line(&self, path: &str) -> Value {
        let find = || {
            let mut log = self.gateway.log().into_iter();
            log.find(|line| line["message"] == "request" && line["path"] == path)
        };
        self.gateway.until("an access log line", || find().is_some()).await;
        find().expect("just seen")
    }

    fn has_metric(&self, line: &str) -> bool {
        self.gateway.get("/metrics").lines().any(|found| found == line)
    }

    /// The message of condition Accepted in the policy's status.
    fn policy(&self) -> String {
        let status = self.gateway.json("/api/v1/status");
        let conditions = &status["statuses"]["backendTlsPolicies"]["infra/pay"]["ancestors"][0]["conditions"];
        let accepted = conditions
            .as_array()
            .and_then(|all| all.iter().find(|one| one["type"] == "Accepted"));
        accepted.map_or_else(String::new, |accepted| accepted["message"].to_string())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_request_has_its_line_and_its_counts() {
    let stage = Stage::start(true).await;
    assert_eq!(stage.ask("/served?secret=1").await.expect("served"), "pay");
    let line = stage.line("/served").await;
    assert_eq!(
        (&line["level"], &line["outcome"]),
        (&"INFO".into(), &"served".into()),
        "{line}"
    );
    assert_eq!(
        (&line["method"], &line["host"], &line["status"]),
        (&"GET".into(), &HOST.into(), &200.into())
    );
    assert_eq!(line["route"], "HTTPRoute infra/pay");
    assert_eq!(line["endpoint"], stage.backend.address().to_string());
    assert!(
        line["client"].is_string() && line["backend"].is_string() && line["duration_ms"].is_number(),
        "{line}"
    );
    assert_eq!((&line["reason"], &line["side"]), (&Value::Null, &Value::Null));
    // A query may hold what nobody should read in a log.
    assert!(!line.to_string().contains("secret"), "{line}");

    for metric in [
        "sealway_http_requests_total{route=\"HTTPRoute infra/pay\",code=\"200\"} 1",
        "sealway_http_request_seconds_count{route=\"HTTPRoute infra/pay\"} 1",
    ] {
        assert!(stage.has_metric(metric), "no {metric} in {}", stage.gateway.get("/metrics"));
    }
    let metrics = stage.gateway.get("/metrics");
    let series = "sealway_certificate_not_after_timestamp_seconds{namespace=\"infra\",name=\"pay-cert\",source=\"manifest\"} ";
    let expiry = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.parse::<u64>().ok());
    let expected = (SystemTime::now() + LEAF_VALIDITY)
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let apart = Duration::from_secs(expiry.expect("the series")).abs_diff(expected);
    assert!(apart < Duration::from_secs(600), "{apart:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_fails_its_policy_is_told_of_until_the_policy_is_mended() {
    let stage = Stage::start(false).await;
    let failure = stage.ask("/refused").await.expect_err("not trusted");
    assert!(matches!(failure, Failure::Status(502)), "{failure}");
    let line = stage.line("/refused").await;
    assert_eq!((&line["level"], &line["status"]), (&"WARN".into(), &502.into()), "{line}");
    assert_eq!(
        (&line["outcome"], &line["side"]),
        (&"tls_unknown_authority".into(), &"backend".into())
    );
    assert_eq!(line["endpoint"], stage.backend.address().to_string());
    // Why, and the detail that only the handshake knew.
    let reason = line["reason"].as_str().expect("a reason");
    let (why, detail) = reason.rsplit_once(": ").expect("why: detail");
    assert!(
        why.starts_with("the backend did not prove itself: tls_unknown_authority"),
        "{reason}"
    );
    assert!(!detail.is_empty() && detail != "tls_unknown_authority", "{reason}");

    for metric in [
        "sealway_http_requests_total{route=\"HTTPRoute infra/pay\",code=\"502\"} 1",
        "sealway_http_refusals_total{route=\"HTTPRoute infra/pay\",reason=\"tls_unknown_authority\"} 1",
    ] {
        assert!(stage.has_metric(metric), "no {metric} in {}", stage.gateway.get("/metrics"));
    }
    let evidence = "Service infra/pay:443 presented a certificate of an authority that the policy does not name";
    stage.gateway.until("evidence", || stage.policy().contains(evidence)).await;

    stage.manifests.write("authority.yaml", &authority(&stage.inner));
    let mut served = stage.ask("/mended").await;
    for _ in 0..500 {
        if served.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        served = stage.ask("/mended").await;
    }
    assert_eq!(served.expect("served"), "pay");
    stage.gateway.until("mended", || !stage.policy().contains(evidence)).await;
}

fn authority(authority: &Authority) -> String {
    let mut yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: inside, namespace: infra}\ndata:\n".to_owned();
    entry(&mut yaml, "ca.crt", authority.certificate_pem());
    yaml
}

fn secret(identity: &Identity) -> String {
    let mut yaml = "apiVersion: v1\nkind: Secret\nmetadata: {name: pay-cert, namespace: infra}\nstringData:\n".to_owned();
    entry(&mut yaml, "tls.crt", identity.chain_pem());
    entry(&mut yaml, "tls.key", identity.key().expose_pem());
    yaml
}

fn entry(yaml: &mut String, key: &str, pem: &str) {
    yaml.push_str(&format!("  {key}: |\n"));
    yaml.extend(pem.lines().map(|line| format!("    {line}\n")));
}

fn gateway(port: u16) -> String {
    service("pay")
        + &format!(
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: sealway}}
spec: {{controllerName: sealway.dev/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: infra}}
spec:
  gatewayClassName: sealway
  listeners:
    - {{name: https, port: {port}, protocol: HTTPS, tls: {{certificateRefs: [{{name: pay-cert}}]}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: pay, namespace: infra}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [{HOST}]
  rules: [{{backendRefs: [{{name: pay, port: 443}}]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: pay, namespace: infra}}
spec:
  targetRefs: [{{group: \"\", kind: Service, name: pay}}]
  validation:
    hostname: pay.inside
    caCertificateRefs: [{{group: \"\", kind: ConfigMap, name: inside}}]
"
        )
}

const HOST: &str = "pay.example.com";
