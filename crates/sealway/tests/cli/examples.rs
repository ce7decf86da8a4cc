//! `examples/`: nothing is wrong with them, and each is served as its first lines say, from the demo's backends and Secrets.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sealway_testkit::backends::{Endpoint, Ports, SampleBackends};
use sealway_testkit::certificates::{Authority, Certificates, Request};
use sealway_testkit::clients::{Client, Failure};
use sealway_testkit::{free_port, loopback, output};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::process::{Running, finish, sealway};
use crate::yaml::Manifests;

/// The sample backends, their certificates, and examples that are served from them.
struct Stage {
    certificates: Certificates,
    _backends: SampleBackends,
    _secrets: Manifests,
    gateway: Running,
    offset: u16,
}

impl Stage {
    /// `services` are pairs of a Service port that an example names and of one that the sample backends stand for.
    async fn start(examples: &[&str], ports: &[u16], services: &[(&str, &str)]) -> Self {
        let certificates = sealway_testkit::sample_certificates();
        let backends = SampleBackends::start(&certificates, Ports::Free).await.expect("backends");
        let secrets = Manifests::new(&[(output::SECRETS_FILE, &output::secrets_manifest(&certificates))]);
        let examples = examples.iter().map(|name| example(name));
        let files: Vec<PathBuf> = examples.chain([secrets.path()]).collect();
        let files: Vec<String> = files.iter().map(|file| format!("-f{}", file.display())).collect();

        let mut check = sealway(["check", "-o", "json"]);
        check.args(&files);
        let checked = finish(check, "");
        // A note says what an example shows on purpose.
        let problems = checked.json()["problems"].as_array().cloned().expect("problems");
        let wrong: Vec<_> = problems.iter().filter(|problem| problem["severity"] != "note").collect();
        assert!(wrong.is_empty() && checked.code == Some(0), "{wrong:#?}");

        let offset = free_offset(ports);
        let mut flags = files;
        flags.extend(["--port-offset".to_owned(), offset.to_string()]);
        for (service, sample) in services {
            let stands_for = |endpoint: &Endpoint| endpoint.to_string().starts_with(&format!("{sample}="));
            let endpoint = backends.endpoints().into_iter().find(stands_for).expect("a sample backend");
            flags.extend(["--endpoint".to_owned(), format!("{service}={}", endpoint.address)]);
        }
        Self {
            certificates,
            _backends: backends,
            _secrets: secrets,
            gateway: Running::ready(flags).await,
            offset,
        }
    }

    fn at(&self, port: u16) -> SocketAddr {
        loopback(port + self.offset)
    }

    fn anonymous(&self) -> Client {
        Client::trusting(&self.certificates.authority).expect("client")
    }

    fn known(&self) -> Client {
        Client::presenting(&self.certificates.authority, &self.certificates.order_client).expect("client")
    }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// An offset that brings these ports to free ones; where 8443 comes to lie is for the testkit to say.
fn free_offset(ports: &[u16]) -> u16 {
    let mut offsets = std::iter::repeat_with(|| free_port() - 8443).take(100);
    let is_free = |offset: &u16| ports.iter().all(|port| TcpListener::bind(loopback(port + offset)).is_ok());
    offsets.find(is_free).expect("a free offset")
}

#[tokio::test(flavor = "multi_thread")]
async fn mixed_mode_ends_passes_and_relays_on_one_port() {
    let shop = "shop/shop-service:8080";
    let services = [
        ("default/web:8080", shop),
        ("default/api:8080", shop),
        ("default/queue:5672", shop),
        ("default/ledger:9443", "payment/ledger-service:9443"),
    ];
    let stage = Stage::start(&["mixed-mode"], &[443], &services).await;
    let (anonymous, address) = (stage.anonymous(), stage.at(443));
    let ended = stage.certificates.wildcard.serial();

    let seen = anonymous.https(address, "shop.example.com", "/").await.expect("served");
    assert_eq!(
        (seen.answer.backend.as_str(), &seen.peer.certificate.serial),
        ("shop", &ended)
    );
    let session = anonymous.connect(address, "shop.example.com").await.expect("handshake");
    let mut stream = session.stream;
    let request = "GET /api/orders HTTP/1.1\r\nhost: shop.example.com\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("answered");
    assert!(response.contains("\"path\":\"/orders\""), "{response}");

    // The backend's own certificate, and the client's reaches it.
    let passed = stage
        .known()
        .https(address, "ledger.example.com", "/")
        .await
        .expect("passed through");
    assert_eq!(passed.peer.certificate.serial, stage.certificates.ledger.serial());
    assert_eq!(passed.answer.client.as_deref(), Some("CN=order-service"));
    let refused = anonymous
        .https(address, "ledger.example.com", "/")
        .await
        .expect_err("by the backend");
    assert_eq!(refused.to_string(), "alert certificate_required (116)");

    // TLS ends, and what is inside is relayed as it is: here to a server that happens to speak HTTP.
    let relayed = anonymous.https(address, "queue.example.com", "/").await.expect("relayed");
    assert_eq!(
        (relayed.answer.backend.as_str(), &relayed.peer.certificate.serial),
        ("shop", &ended)
    );

    for host in ["ledger.example.com", "queue.example.com"] {
        let session = anonymous.connect(address, "shop.example.com").await.expect("handshake");
        let failure = session.request(host, "/").await.expect_err("another listener's");
        assert!(matches!(failure, Failure::Status(421)), "{host}: {failure}");
    }
    let failure = anonymous
        .https(address, "other.example.com", "/")
        .await
        .expect_err("no route");
    assert!(matches!(failure, Failure::Status(404)), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mtls_gateway_takes_partners_only_and_on_the_other_port_everyone() {
    let services = [("default/orders:8080", "shop/shop-service:8080")];
    let stage = Stage::start(&["mtls-gateway"], &[443, 8443], &services).await;
    let stranger = Authority::generate("stranger", SystemTime::now()).expect("authority");
    let request = Request::client("stranger", &["stranger.example.com"], SystemTime::now());
    let identity = stranger.issue(&request).expect("identity");
    let stranger = Client::presenting(&stage.certificates.authority, &identity).expect("client");
    let (host, path) = ("partners.example.com", "/orders");

    for port in [443, 8443] {
        let seen = stage.known().https(stage.at(port), host, path).await.expect("served");
        assert_eq!(seen.answer.client.as_deref(), Some("CN=order-service"), "{port}");
        assert_eq!(seen.peer.certificate.serial, stage.certificates.wildcard.serial());
    }
    for (client, alert) in [
        (stage.anonymous(), "alert certificate_required (116)"),
        (stranger, "alert unknown_ca (48)"),
    ] {
        let refused = client.https(stage.at(443), host, path).await.expect_err("refused");
        assert_eq!(refused.to_string(), alert);
        let fallback = client.https(stage.at(8443), host, path).await.expect("served");
        assert_eq!(fallback.answer.client, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_client_certificate_the_strict_backend_refuses_and_everything_says_so() {
    let ledger = "payment/ledger-service:9443";
    let examples = ["article", "without-client-certificate"];
    let stage = Stage::start(&examples, &[443, 8443, 9443, 9444], &[(ledger, ledger)]).await;
    let (client, host) = (stage.anonymous(), "ledger.example.com");
    let served = client.https(stage.at(443), host, "/").await.expect("the article's Gateway");
    assert_eq!(served.answer.client.as_deref(), Some("CN=tls-gateway"));
    let refused = client.https(stage.at(9444), host, "/").await.expect_err("the bare Gateway");
    assert!(matches!(refused, Failure::Status(502)), "{refused}");

    let gateway = &stage.gateway;
    let reason = "tls_client_certificate_refused";
    let is_it = |line: &serde_json::Value| line["message"] == "request" && line["outcome"] == reason;
    gateway.until("a log line", || gateway.log().iter().any(is_it)).await;
    let metric = format!("sealway_http_refusals_total{{route=\"HTTPRoute payment/ledger-api-bare\",reason=\"{reason}\"}} 1");
    assert!(
        gateway.get("/metrics").lines().any(|line| line == metric),
        "{}",
        gateway.get("/metrics")
    );
    let policy = || gateway.json("/api/v1/status")["statuses"]["backendTlsPolicies"]["payment/ledger-backend-tls"].to_string();
    gateway
        .until("evidence in the policy's status", || {
            policy().contains("refused the gateway for want of a client certificate")
        })
        .await;
}
