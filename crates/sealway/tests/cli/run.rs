//! `sealway run`: serving, reloading, reporting, draining.

use std::net::{SocketAddr, TcpListener};
use std::time::SystemTime;

use rustix::process::Signal;
use sealway_testkit::backends::{ClientCertificates, Https};
use sealway_testkit::certificates::{Authority, Request};
use sealway_testkit::clients::{Client, Failure};
use sealway_testkit::{LOOPBACK, free_port, loopback};

use crate::process::{Running, finish, get, sealway};
use crate::yaml::{Manifests, gateway, route, service};

/// An authority, a backend with certificates for two hosts, and where a gateway for it is to listen.
struct Stage {
    client: Client,
    backend: sealway_testkit::backends::Backend,
    address: SocketAddr,
}

impl Stage {
    async fn new() -> Self {
        let now = SystemTime::now();
        let authority = Authority::generate("test", now).expect("authority");
        let identity = authority
            .issue(&Request::server("pay", &["pay.example.com", "vault.example.com"], now))
            .expect("identity");
        let backend = Https {
            name: "pay",
            identity: &identity,
            clients: ClientCertificates::Ignored,
        };
        Self {
            client: Client::trusting(&authority).expect("client"),
            backend: backend.start(LOOPBACK).await.expect("backend"),
            address: loopback(free_port()),
        }
    }

    fn manifests(&self) -> Manifests {
        let routes = service("pay") + &route("pay", "pay.example.com", "pay");
        Manifests::new(&[("gateway.yaml", &gateway(self.address.port())), ("routes.yaml", &routes)])
    }

    fn flags(&self, manifests: &Manifests) -> Vec<String> {
        let path = manifests.path().display().to_string();
        vec![
            "-f".to_owned(),
            path,
            "--endpoint".to_owned(),
            format!("infra/pay:443={}", self.backend.address()),
        ]
    }

    async fn ask(&self, host: &str) -> Result<String, Failure> {
        self.client
            .https(self.address, host, "/")
            .await
            .map(|seen| seen.answer.backend)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_added_is_served_and_statuses_follow() {
    let stage = Stage::new().await;
    let manifests = stage.manifests();
    let gateway = Running::ready(stage.flags(&manifests)).await;
    assert_eq!(stage.ask("pay.example.com").await.expect("served"), "pay");
    assert!(matches!(stage.ask("vault.example.com").await, Err(Failure::Alert(_))));

    manifests.write("more.yaml", &route("vault", "vault.example.com", "pay"));
    let listener =
        |field: &str| gateway.json("/api/v1/status")["statuses"]["gateways"]["infra/edge"]["listeners"][0][field].clone();
    gateway.until("attached", || listener("attachedRoutes") == 2).await;
    assert_eq!(stage.ask("vault.example.com").await.expect("served"), "pay");
    let conditions = listener("conditions");
    assert!(conditions[0]["lastTransitionTime"].is_string(), "{conditions:#}");
    assert_eq!(gateway.json("/api/v1/status")["kind"], "Status");
    assert!(gateway.get("/api/v1/snapshot").contains("vault.example.com"));
    assert!(
        gateway
            .get("/metrics")
            .contains("sealway_config_reloads_total{result=\"success\"} 2")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_reload_keeps_what_was_good_and_says_so_until_mended() {
    let stage = Stage::new().await;
    let manifests = stage.manifests();
    let gateway = Running::ready(stage.flags(&manifests)).await;
    let good = service("pay") + &route("pay", "pay.example.com", "pay");
    manifests.write("routes.yaml", &good.replace("rules:", "rules: ["));
    let errors = || gateway.json("/api/v1/status")["summary"]["errors"].as_u64();
    gateway.until("an error", || errors() > Some(0)).await;
    assert_eq!(stage.ask("pay.example.com").await.expect("still served"), "pay");
    gateway
        .until("logged", || {
            gateway
                .log()
                .iter()
                .any(|line| line["level"] == "ERROR" && line["code"] == "syntax")
        })
        .await;

    manifests.write("routes.yaml", &good);
    gateway.until("mended", || errors() == Some(0)).await;
    gateway
        .until("taken back", || {
            gateway
                .log()
                .iter()
                .any(|line| line["code"] == "syntax" && line["level"] == "INFO")
        })
        .await;
    let said = gateway
        .log()
        .iter()
        .filter(|line| line["level"] == "ERROR" && line["code"] == "syntax")
        .count();
    assert_eq!(said, 1, "{:#?}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_it_listens_and_what_a_connection_was() {
    let stage = Stage::new().await;
    let manifests = stage.manifests();
    let gateway = Running::ready(stage.flags(&manifests)).await;
    gateway.until("said", || gateway.logged("listening").is_some()).await;
    let line = gateway.logged("listening").expect("just seen");
    assert_eq!(
        (&line["address"], &line["listeners"]),
        (&stage.address.to_string().into(), &"tls".into())
    );
    assert!(
        gateway
            .log()
            .iter()
            .any(|line| line["message"].as_str().is_some_and(|text| text.contains("no --bind")))
    );

    stage.ask("pay.example.com").await.expect("served");
    gateway
        .until("access line", || {
            gateway.log().iter().any(|line| line["target"] == "sealway::access")
        })
        .await;
    let log = gateway.log();
    let lines: Vec<_> = log.iter().filter(|line| line["target"] == "sealway::access").collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!(
        (&lines[0]["sni"], &lines[0]["route"]),
        (&"pay.example.com".into(), &"TLSRoute infra/pay".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_reported_and_served_once_it_is_free() {
    let stage = Stage::new().await;
    let manifests = stage.manifests();
    let other = TcpListener::bind(stage.address).expect("bound");
    let gateway = Running::start(stage.flags(&manifests)).await;
    let listener = || gateway.json("/api/v1/status")["statuses"]["gateways"]["infra/edge"]["listeners"][0].to_string();
    gateway.until("reported", || listener().contains("PortUnavailable")).await;
    let readiness = || gateway.get("/readyz");
    gateway
        .until("not ready", || readiness().contains("no port could be opened"))
        .await;
    assert!(readiness().starts_with("HTTP/1.1 503"));
    gateway
        .until("said", || gateway.logged("listener is not programmed").is_some())
        .await;
    let problem = gateway
        .log()
        .into_iter()
        .find(|line| line["code"] == "port-in-use")
        .expect("problem");
    assert!(
        problem["hint"].as_str().is_some_and(|hint| hint.contains("--port-offset")),
        "{problem:#}"
    );

    drop(other);
    gateway.until("listening", || gateway.logged("listening").is_some()).await;
    assert_eq!(stage.ask("pay.example.com").await.expect("served"), "pay");
    gateway.until("statuses", || !listener().contains("PortUnavailable")).await;
    gateway.until("ready", || readiness().starts_with("HTTP/1.1 200")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_resolve_is_reported() {
    let stage = Stage::new().await;
    let manifests = stage.manifests();
    let flags = [
        "-f".to_owned(),
        manifests.path().display().to_string(),
        "--endpoint".to_owned(),
        "infra/pay:443=no-such.invalid:443".to_owned(),
    ];
    let gateway = Running::ready(flags).await;
    let problems = || gateway.json("/api/v1/status")["problems"].to_string();
    gateway
        .until("reported", || problems().contains("backend-name-unresolved"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_does_not_end_it() {
    let stage = Stage::new().await;
    let manifests = stage.manifests();
    let gateway = Running::ready(stage.flags(&manifests)).await;
    gateway.signal(Signal::HUP);
    manifests.write("more.yaml", &route("vault", "vault.example.com", "pay"));
    gateway
        .until("reloaded", || gateway.logged("configuration reloaded").is_some())
        .await;
    assert_eq!(stage.ask("vault.example.com").await.expect("served"), "pay");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_serve_is_said() {
    let empty = tempfile::tempdir().expect("temporary directory");
    let flags = [
        "-f".to_owned(),
        empty.path().display().to_string(),
        "--bind".to_owned(),
        "infra/typo=127.0.0.3".to_owned(),
    ];
    let gateway = Running::start(flags).await;
    let said = |text: &str| {
        gateway
            .log()
            .iter()
            .any(|line| line["message"].as_str().is_some_and(|message| message.contains(text)))
    };
    gateway
        .until("said", || {
            said("nothing to serve") && said("--bind names a Gateway that is not there")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_by_name_is_resolved_and_served() {
    let stage = Stage::new().await;
    let manifests = stage.manifests();
    let backend = stage.backend.address();
    let flags = [
        "-f".to_owned(),
        manifests.path().display().to_string(),
        "--endpoint".to_owned(),
        format!("infra/pay:443=localhost:{}", backend.port()),
    ];
    let gateway = Running::ready(flags).await;
    gateway
        .until("resolved", || gateway.get("/api/v1/snapshot").contains(&backend.to_string()))
        .await;
    assert_eq!(stage.ask("pay.example.com").await.expect("served"), "pay");
}

#[tokio::test(flavor = "multi_thread")]
async fn termination_drains_and_a_second_one_ends_at_once() {
    let stage = Stage::new().await;
    let manifests = stage.manifests();
    let mut flags = stage.flags(&manifests);
    flags.extend(["--drain-timeout".to_owned(), "10m".to_owned()]);
    let mut gateway = Running::ready(flags).await;
    let held = stage
        .client
        .connect(stage.address, "pay.example.com")
        .await
        .expect("connected");
    gateway.signal(Signal::TERM);
    gateway
        .until("not ready", || gateway.get("/readyz").starts_with("HTTP/1.1 503"))
        .await;
    assert!(gateway.get("/livez").starts_with("HTTP/1.1 200"));
    // New connections find the port closed; the one that is there goes on.
    gateway
        .until("closed", || std::net::TcpStream::connect(stage.address).is_err())
        .await;
    let seen = held.request("pay.example.com", "/").await.expect("goes on");
    assert_eq!(seen.answer.backend, "pay");

    let mut another = Running::ready(stage.flags(&manifests)).await;
    let _held = stage
        .client
        .connect(stage.address, "pay.example.com")
        .await
        .expect("connected");
    another.signal(Signal::INT);
    another
        .until("not ready", || another.get("/readyz").starts_with("HTTP/1.1 503"))
        .await;
    another.signal(Signal::INT);
    assert_eq!(another.ended().await.code(), Some(0));
    // The first one had nothing left to wait for.
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(gateway.logged("drained").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn health_address_has_health_alone() {
    let stage = Stage::new().await;
    let manifests = stage.manifests();
    let mut flags = stage.flags(&manifests);
    flags.extend(["--health".to_owned(), "127.0.0.1:0".to_owned()]);
    let gateway = Running::ready(flags).await;
    let line = gateway.logged("health").expect("said before it is ready");
    let health = line["address"]
        .as_str()
        .and_then(|address| address.parse().ok())
        .expect("address");
    for path in ["/livez", "/readyz", "/metrics"] {
        assert!(get(health, path).starts_with("HTTP/1.1 200"), "{path}");
    }
    for path in ["/api/v1/status", "/api/v1/snapshot", "/"] {
        assert!(get(health, path).starts_with("HTTP/1.1 404"), "{path}");
    }
    let metrics = gateway.get("/metrics");
    assert!(
        metrics.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{metrics}"
    );
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
}

#[test]
fn an_admin_port_that_is_taken_is_a_failure_with_its_flag() {
    let manifests = Manifests::new(&[("gateway.yaml", &gateway(8443))]);
    let other = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = other.local_addr().expect("address").to_string();
    let mut command = sealway(["run", "--admin", &address, "-f"]);
    command.arg(manifests.path());
    let done = finish(command, "");
    assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""));
    assert!(done.stderr.contains(&format!("--admin {address}")), "{}", done.stderr);
}

#[test]
fn a_path_that_cannot_be_opened_is_a_failure() {
    let done = finish(sealway(["run", "--admin", "127.0.0.1:0", "-f", "/no/such/directory"]), "");
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert!(done.stderr.contains("/no/such/directory"), "{}", done.stderr);
}
