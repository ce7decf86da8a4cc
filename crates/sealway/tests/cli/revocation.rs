//! `--crl-failure`, and lists that are fetched: a client, its authority's server, and the gateway between them and over a restart.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CrlDistributionPoint, IsCa,
    KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use sealway_testkit::certificates::{Authority, Identity, PrivateKey, Request};
use sealway_testkit::clients::{Client, Failure};
use sealway_testkit::{free_port, loopback, wait_until};

use crate::process::{DEADLINE, Running, finish, sealway};
use crate::yaml::Manifests;

const HOST: &str = "pay.example.com";

/// Serves one list under every path, while there is one.
#[derive(Clone)]
struct Publisher {
    address: SocketAddr,
    list: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Publisher {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let publisher = Self {
            address: listener.local_addr().expect("address"),
            list: Arc::default(),
        };
        let list = Arc::clone(&publisher.list);
        std::thread::spawn(move || {
            use std::io::{Read, Write};
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let _ = stream.read(&mut [0; 4096]);
                let answer = match &*list.lock().expect("list") {
                    Some(list) => [
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", list.len()).as_bytes(),
                        list,
                    ]
                    .concat(),
                    None => b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_vec(),
                };
                let _ = stream.write_all(&answer);
            }
        });
        publisher
    }

    fn publish(&self, list: Option<Vec<u8>>) {
        *self.list.lock().expect("list") = list;
    }
}

/// An authority of clients, whose certificates say where its list is.
struct Clients {
    authority: CertifiedIssuer<'static, KeyPair>,
    publisher: Publisher,
}

impl Clients {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            authority: CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("signed"),
            publisher: Publisher::start(),
        }
    }

    fn identity(&self, serial: u64) -> Identity {
        let mut params = CertificateParams::new(vec!["client.example.com".to_owned()]).expect("parameters");
        params.serial_number = Some(SerialNumber::from(serial));
        params.crl_distribution_points = vec![CrlDistributionPoint {
            uris: vec![format!("http://{}/ca.crl", self.publisher.address)],
        }];
        let key = KeyPair::generate().expect("key");
        let certificate = params.signed_by(&key, &self.authority).expect("signed");
        Identity::new(certificate.pem(), PrivateKey::new(key.serialize_pem()))
    }

    fn list(&self, revoked: u64) -> Vec<u8> {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2999, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(revoked),
                revocation_time: date_time_ymd(2024, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.authority).expect("signed").der().to_vec()
    }
}

struct Stage {
    servers: Authority,
    clients: Clients,
    manifests: Manifests,
    address: SocketAddr,
}

impl Stage {
    fn new() -> Self {
        let now = SystemTime::now();
        let servers = Authority::generate("servers", now).expect("authority");
        let served = servers.issue(&Request::server(HOST, &[HOST], now)).expect("identity");
        let clients = Clients::new();
        let address = loopback(free_port());
        let indented = |pem: &str| pem.lines().map(|line| format!("    {line}\n")).collect::<String>();
        let manifests = Manifests::new(&[
            ("gateway.yaml", &gateway(address.port())),
            (
                "secret.yaml",
                &format!(
                    "apiVersion: v1\nkind: Secret\nmetadata: {{name: server, namespace: infra}}\ntype: kubernetes.io/tls\nstringData:\n  \
                     tls.crt: |\n{}  tls.key: |\n{}",
                    indented(served.chain_pem()),
                    indented(served.key().expose_pem())
                ),
            ),
            (
                "authority.yaml",
                &format!(
                    "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: clients, namespace: infra}}\ndata:\n  ca.crt: |\n{}",
                    indented(&clients.authority.pem())
                ),
            ),
        ]);
        Self {
            servers,
            clients,
            manifests,
            address,
        }
    }

    async fn run(&self, state: &Path, failure: &str) -> Running {
        let (path, state) = (self.manifests.path().display().to_string(), state.display().to_string());
        Running::ready(["-f", &path, "--state-dir", &state, "--crl-failure", failure]).await
    }

    /// The status of an answer, or the alert that was got instead. There is no route, so whoever is let in gets 404.
    async fn ask(&self, identity: &Identity) -> String {
        self.asked(identity).await.unwrap_or_else(|other| panic!("{other}"))
    }

    /// The same; an error for anything else that may come of it.
    async fn asked(&self, identity: &Identity) -> Result<String, String> {
        let client = Client::presenting(&self.servers, identity)
            .expect("client")
            .without_resumption();
        match client.https(self.address, HOST, "/").await {
            Err(failure @ (Failure::Status(_) | Failure::Alert(_))) => Ok(failure.to_string()),
            other => Err(format!("{other:?}")),
        }
    }

    async fn until(&self, identity: &Identity, expected: &str) {
        let deadline = std::time::Instant::now() + DEADLINE;
        loop {
            // A list that comes between handshake and answer ends the connection: that is neither the one nor the other yet.
            let seen = self.asked(identity).await.unwrap_or_else(|ended| ended);
            if seen == expected {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{seen} instead of {expected}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

const LET_IN: &str = "HTTP status 404";
const REVOKED: &str = "alert certificate_revoked (44)";

#[tokio::test(flavor = "multi_thread")]
async fn list_is_waited_for_where_it_is_insisted_on_and_a_restart_has_it() {
    let stage = Stage::new();
    let (good, lost) = (stage.clients.identity(8), stage.clients.identity(7));
    let state = tempfile::tempdir().expect("directory");
    stage.clients.publisher.publish(Some(stage.clients.list(7)));
    let mut gateway = stage.run(state.path(), "hard").await;
    assert_eq!(stage.ask(&good).await, "alert access_denied (49)");
    stage.until(&good, LET_IN).await;
    assert_eq!(stage.ask(&lost).await, REVOKED);
    assert!(gateway.logged("revocation list fetched").is_some());
    let shown = gateway.get("/api/v1/snapshot");
    assert!(
        shown.contains("\"crlFailure\":\"hard\"") || shown.contains("\"crlFailure\": \"hard\""),
        "{shown}"
    );
    let lists = state.path().join("revocation-lists");
    let is_kept = || std::fs::read_dir(&lists).is_ok_and(|mut files| files.next().is_some());
    assert!(wait_until(DEADLINE, is_kept).await);
    gateway.signal(rustix::process::Signal::TERM);
    gateway.ended().await;

    stage.clients.publisher.publish(None);
    let _gateway = stage.run(state.path(), "hard").await;
    // From the first connection on.
    assert_eq!(stage.ask(&good).await, LET_IN);
    assert_eq!(stage.ask(&lost).await, REVOKED);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_list_a_client_is_let_in_by_default_and_no_longer_than_that() {
    let stage = Stage::new();
    let lost = stage.clients.identity(7);
    let state = tempfile::tempdir().expect("directory");
    let gateway = stage.run(state.path(), "soft").await;
    assert_eq!(stage.ask(&lost).await, LET_IN);
    gateway
        .until("the failure is logged", || {
            gateway
                .logged("revocation list not fetched: the server says 503 Service Unavailable")
                .is_some()
        })
        .await;
    stage.clients.publisher.publish(Some(stage.clients.list(7)));
    stage.until(&lost, REVOKED).await;
}

#[test]
fn flag_takes_two_words() {
    let finished = finish(sealway(["run", "-f", ".", "--crl-failure", "maybe"]), "");
    assert_eq!(finished.code, Some(2));
    assert!(
        finished.stderr.contains("[possible values: hard, soft]"),
        "{}",
        finished.stderr
    );
}

fn gateway(port: u16) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: sealway}}
spec: {{controllerName: sealway.dev/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: infra}}
spec:
  gatewayClassName: sealway
  tls:
    frontend:
      default:
        validation:
          caCertificateRefs: [{{group: \"\", kind: ConfigMap, name: clients}}]
  listeners:
    - name: https
      port: {port}
      protocol: HTTPS
      tls: {{certificateRefs: [{{name: server}}]}}
"
    )
}
