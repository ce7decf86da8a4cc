//! XBackends: a host that no Service describes, over verified TLS.

use sealway_api::{ConditionStatus, Kind, ObjectKey, ObjectRef};
use sealway_testkit::LOOPBACK;
use sealway_testkit::backends::{ClientCertificates, Https};
use sealway_testkit::certificates::Authority;
use sealway_testkit::gateway::{Setup, TestGateway};

use crate::manifests::Pki;
use crate::requests::{self, status};

const HOST: &str = "partner.example.org";

/// A route to an XBackend whose authority is `authority`.
fn manifests(authority: &str, mode: &str) -> String {
    let certificate: String = authority.lines().map(|line| format!("    {line}\n")).collect();
    let gateway = requests::gateway("default");
    format!(
        "{gateway}apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web, namespace: default}}
spec:
  parentRefs: [{{name: gateway}}]
  rules:
    - backendRefs: [{{group: gateway.networking.x-k8s.io, kind: XBackend, name: partner}}]
---
apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackend
metadata: {{name: partner, namespace: default}}
spec:
  type: ExternalHostname
  port: {{number: 443}}
  externalHostname: {{hostname: {HOST}}}
  tls: {mode}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: partner-ca, namespace: default}}
data:
  ca.crt: |
{certificate}"
    )
}

const VERIFIED: &str = "{mode: ServerOnly, validation: {hostname: partner.example.org, caCertificateRefs: \
                        [{group: \"\", kind: ConfigMap, name: partner-ca}]}}";
const MUTUAL: &str = "{mode: ClientAndServer, clientCertificateRef: {name: own}, validation: {hostname: partner.example.org, \
                      caCertificateRefs: [{group: \"\", kind: ConfigMap, name: partner-ca}]}}";

/// Whether the route's reference leads somewhere, and whether the XBackend is accepted.
fn conditions(gateway: &TestGateway) -> (ConditionStatus, ConditionStatus) {
    let route = gateway.route(&ObjectRef::new(Kind::HttpRoute, "default", "web"));
    let backend = &gateway.statuses().x_backends[&ObjectKey::new("default", "partner")];
    let resolved = route.parents[0].conditions[1].status.clone();
    (resolved, backend.ancestors[0].conditions[0].status.clone())
}

#[tokio::test]
async fn a_host_outside_is_reached_over_tls_and_verified() {
    let pki = Pki::new();
    let identity = pki.identity(&[HOST]);
    let backend = Https {
        name: "partner",
        identity: &identity,
        clients: ClientCertificates::Ignored,
    };
    let backend = backend.start(LOOPBACK).await.expect("backend");
    let setup = Setup::default().endpoint("default/xbackend/partner", 443, backend.address());
    let mut gateway = setup.start(&manifests(pki.authority_pem(), VERIFIED)).await;
    assert_eq!(conditions(&gateway), (ConditionStatus::True, ConditionStatus::True));
    assert_eq!(status(&gateway, 8080).await, "200");

    // Whom another authority vouches for is not believed.
    let other = Authority::generate("other", std::time::SystemTime::now()).expect("authority");
    gateway.apply(&manifests(other.certificate_pem(), VERIFIED)).await;
    assert_eq!(status(&gateway, 8080).await, "502");

    // What is not served costs no verification: nothing is sent.
    gateway.apply(&manifests(pki.authority_pem(), MUTUAL)).await;
    assert_eq!(conditions(&gateway), (ConditionStatus::False, ConditionStatus::False));
    assert_eq!(status(&gateway, 8080).await, "500");
}
