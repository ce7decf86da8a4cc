//! `sealway certs list`, `inspect`, `renew` and `revoke`: against a gateway that issues, and against what it leaves on disk.

use std::ffi::OsStr;

use rustix::process::Signal;
use sealway_testkit::free_port;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Finished, Running, finish, sealway};
use crate::yaml::Manifests;

/// A root, a CA issuer on it, and a listener that serves what that issues.
fn manifests(port: u16) -> String {
    format!(
        "apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {{name: roots}}
spec: {{selfSigned: {{}}}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {{name: root, namespace: shop}}
spec:
  secretName: root-keypair
  isCA: true
  commonName: shop root
  usages: [cert sign, crl sign, digital signature]
  privateKey: {{algorithm: ECDSA}}
  issuerRef: {{kind: ClusterIssuer, name: roots}}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {{name: shop-ca, namespace: shop}}
spec: {{ca: {{secretName: root-keypair}}}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {{name: web, namespace: shop}}
spec:
  secretName: web-tls
  dnsNames: [web.shop.example.com]
  privateKey: {{algorithm: ECDSA}}
  issuerRef: {{name: shop-ca}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: shop}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: sealway}}
spec: {{controllerName: sealway.dev/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec:
  gatewayClassName: sealway
  listeners:
    - name: web
      protocol: HTTPS
      port: {port}
      tls: {{certificateRefs: [{{name: web-tls}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web, namespace: shop}}
spec:
  parentRefs: [{{name: edge}}]
  rules: [{{backendRefs: [{{name: web, port: 80}}]}}]
"
    )
}

fn certs<Argument: AsRef<OsStr>>(arguments: impl IntoIterator<Item = Argument>) -> Finished {
    let mut command = sealway(["certs"]);
    command.args(arguments);
    finish(command, "")
}

/// A gateway that has issued everything, and its state directory.
struct Stage {
    state: TempDir,
    manifests: Manifests,
    gateway: Running,
}

impl Stage {
    async fn start() -> Self {
        let state = tempfile::tempdir().expect("temporary directory");
        let manifests = Manifests::new(&[("all.yaml", &manifests(free_port()))]);
        let (path, directory) = (manifests.path(), state.path().to_path_buf());
        let arguments = [
            OsStr::new("-f"),
            path.as_os_str(),
            OsStr::new("--endpoint"),
            OsStr::new("shop/web:80=127.0.0.1:9"),
            OsStr::new("--state-dir"),
            directory.as_os_str(),
        ];
        let gateway = Running::ready(arguments).await;
        let stage = Self {
            state,
            manifests,
            gateway,
        };
        let served = || stage.entry("web-tls")["servedBy"][0]["listener"] == "web";
        stage.gateway.until("issued and served", served).await;
        stage
    }

    fn state_dir(&self) -> [&OsStr; 2] {
        [OsStr::new("--state-dir"), self.state.path().as_os_str()]
    }

    fn entry(&self, name: &str) -> Value {
        entry(&self.gateway.json("/api/v1/certificates"), name)
    }

    fn serial(&self) -> String {
        self.entry("web-tls")["serial"].as_str().expect("a serial").to_owned()
    }

    async fn stop(&mut self) {
        self.gateway.signal(Signal::TERM);
        assert!(self.gateway.ended().await.success());
    }
}

fn entry(document: &Value, name: &str) -> Value {
    let entries = document["certificates"].as_array();
    let found = entries.and_then(|entries| entries.iter().find(|entry| entry["name"] == name));
    found.cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_gateway_tells_what_it_has_issued_and_does_what_is_asked() {
    let mut stage = Stage::start().await;
    let admin = stage.gateway.admin.to_string();

    let listed = certs(["list", "--admin", &admin, "-o", "json"]);
    assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""));
    let document = listed.json();
    assert_eq!(
        (&document["kind"], &document["version"]),
        (&Value::from("Certificates"), &Value::from(1))
    );
    let web = entry(&document, "web-tls");
    assert_eq!(
        (&web["state"], &web["issuer"]),
        (&Value::from("ready"), &Value::from("Issuer shop/shop-ca"))
    );
    let table = certs(["list", "--admin", &admin]);
    assert!(
        table.stdout.contains("shop/web-tls") && table.stdout.contains("shop/edge web:"),
        "{}",
        table.stdout
    );

    let first = stage.serial();
    let inspected = certs([
        "inspect",
        &format!("0X{}", first.to_uppercase()),
        "--admin",
        &admin,
        "-o",
        "json",
    ]);
    assert_eq!(inspected.code, Some(0), "{}", inspected.stderr);
    assert_eq!(inspected.json()["chain"][0]["serial"], first.as_str());
    let missing = certs(["inspect", "shop/web-tl", "--admin", &admin]);
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(1), ""));
    assert!(missing.stderr.contains("did you mean shop/web-tls"), "{}", missing.stderr);

    let mut renew = sealway(["certs", "renew", "shop/web", "-o", "json"]);
    renew.args(stage.state_dir());
    let renewed = finish(renew, "");
    assert_eq!(renewed.code, Some(0), "{}", renewed.stderr);
    let second = renewed.json()["renewals"][0]["serial"].as_str().expect("a serial").to_owned();
    assert_ne!(first, second);
    stage
        .gateway
        .until("the new one is served", || {
            stage.entry("web-tls")["servedBy"][0]["serial"] == second.as_str()
        })
        .await;
    let mut renew = sealway(["certs", "renew", "shop/wed"]);
    renew.args(stage.state_dir());
    let refused = finish(renew, "");
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("did you mean shop/web"), "{}", refused.stderr);

    let revoke = |flags: &[&str], serial: &str| {
        let mut revoke = sealway(["certs", "revoke", serial, "--reason", "keyCompromise"]);
        revoke.args(flags).args(stage.state_dir());
        finish(revoke, "")
    };
    // Nobody to ask: nothing is done, but what would be is shown.
    let unasked = revoke(&[], &second);
    assert_eq!(unasked.code, Some(2));
    assert!(
        unasked.stderr.contains("Certificate  shop/web") && unasked.stderr.contains("pass --yes"),
        "{}",
        unasked.stderr
    );
    assert!(unasked.stderr.contains("the one in use"), "{}", unasked.stderr);
    let before = stage.gateway.get("/crl/shop/shop-ca.crl");
    assert!(
        before.starts_with("HTTP/1.1 200") && before.contains("application/pkix-crl"),
        "{before}"
    );
    let revoked = revoke(&["--yes"], &first);
    assert_eq!(revoked.code, Some(0), "{}", revoked.stderr);
    assert!(!revoked.stderr.contains("the one in use"), "{}", revoked.stderr);
    let again = revoke(&["--yes"], &first);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("was revoked at"), "{}", again.stderr);
    let revoked = &stage.gateway.json("/api/v1/certificates")["authorities"][0]["revoked"][0];
    assert_eq!(
        (&revoked["serial"], &revoked["reason"]),
        (&Value::from(first.as_str()), &Value::from("keyCompromise"))
    );
    let after = stage.gateway.get("/crl/shop/shop-ca.crl");
    let tag = |answer: &str| answer.lines().find(|line| line.starts_with("etag:")).map(str::to_owned);
    assert!(tag(&before).is_some() && tag(&before) != tag(&after));
    let none = stage.gateway.get("/crl/shop/shop.crl");
    assert!(
        none.starts_with("HTTP/1.1 404") && none.contains("Issuer shop/shop-ca"),
        "{none}"
    );

    let metrics = stage.gateway.get("/metrics");
    for series in [
        "sealway_certificate_not_after_timestamp_seconds{namespace=\"shop\",name=\"root-keypair\",source=\"issued\"} ",
        "sealway_certificate_renewals_total{result=\"success\"} 3",
        "certmanager_certificate_ready_status{condition=\"True\",name=\"web\",namespace=\"shop\",issuer_name=\"shop-ca\"",
        "certmanager_clusterissuer_ready_status{condition=\"True\",name=\"roots\"} 1",
    ] {
        assert!(metrics.contains(series), "{series}\n{metrics}");
    }
    stage.stop().await;
    assert!(!stage.state.path().join("control").exists());
}

#[tokio::test]
async fn what_a_gateway_leaves_can_be_told_and_changed_without_it() {
    let mut stage = Stage::start().await;
    let serial = stage.serial();
    stage.stop().await;
    let run = |arguments: &[&str]| {
        let mut command = sealway(["certs"]);
        command.args(arguments).args(stage.state_dir());
        finish(command, "")
    };
    let listed = run(&["list", "-o", "json"]);
    assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""));
    assert_eq!(entry(&listed.json(), "web-tls")["serial"], serial.as_str());

    let revoked = run(&["revoke", &serial, "--yes"]);
    assert_eq!(revoked.code, Some(0), "{}", revoked.stderr);
    assert!(revoked.stderr.contains("certs renew shop/web"), "{}", revoked.stderr);
    let listed = run(&["list", "-o", "json"]).json();
    assert_eq!(entry(&listed, "web-tls")["state"], "revoked");
    assert_eq!(listed["authorities"][0]["revoked"][0]["serial"], serial.as_str());
    assert!(listed["authorities"][0]["listNumber"].is_u64(), "{listed}");

    // Without the manifests there is nothing to issue by.
    let noted = run(&["renew", "--all"]);
    assert_eq!(noted.code, Some(0), "{}", noted.stderr);
    assert!(
        noted.stdout.contains("noted shop/web") && noted.stderr.contains("-f"),
        "{} {}",
        noted.stdout,
        noted.stderr
    );
    let path = stage.manifests.path().display().to_string();
    let renewed = run(&["renew", "shop/web", "-f", &path]);
    assert_eq!(renewed.code, Some(0), "{}", renewed.stderr);
    let listed = run(&["list", "-o", "json"]).json();
    let web = entry(&listed, "web-tls");
    assert_eq!(web["state"], "ready", "{web}");
    assert_ne!(web["serial"], serial.as_str());
    let unknown = run(&["revoke", "0a0b", "--yes"]);
    assert_eq!(unknown.code, Some(1), "{}", unknown.stderr);
}

#[test]
fn manifests_alone_say_who_will_issue() {
    let manifests = Manifests::new(&[("all.yaml", &manifests(8443))]);
    let path = manifests.path().display().to_string();
    let listed = certs(["list", "-f", &path]);
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    assert!(
        listed.stdout.contains("shop/web-tls: will be issued by Issuer shop/shop-ca"),
        "{}",
        listed.stdout
    );
    let checked = finish(sealway(["check", "-f", &path]), "");
    assert!(
        checked.stdout.contains("will be issued by Issuer shop-ca"),
        "{}",
        checked.stdout
    );
    assert!(
        checked.stdout.ends_with("\n0 errors, 0 warnings, 0 notes\n"),
        "{}",
        checked.stdout
    );
}

#[test]
fn a_file_is_shown_whole_and_a_key_in_it_is_not() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let now = std::time::SystemTime::now();
    let authority = sealway_testkit::certificates::Authority::generate("internal-ca", now).expect("authority");
    let key = authority.identity().key().expose_pem().to_owned();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, format!("{key}{}", authority.certificate_pem())).expect("written");
    let shown = certs([OsStr::new("inspect"), path.as_os_str()]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(
        shown.stdout.contains("internal-ca") && shown.stdout.contains("cert sign"),
        "{}",
        shown.stdout
    );
    assert!(
        key.lines()
            .filter(|line| !line.starts_with('-'))
            .all(|line| !shown.stdout.contains(line))
    );
    let mut command = sealway(["certs", "inspect", "-", "-o", "json"]);
    command.env("SEALWAY_STATE_DIR", folder.path());
    let shown = finish(command, authority.certificate_pem());
    assert_eq!(
        (&shown.json()["kind"], &shown.json()["certificate"]),
        (&Value::from("Certificate"), &Value::Null)
    );
    let none = finish(sealway(["certs", "inspect", "-"]), "nothing");
    assert_eq!(none.code, Some(1), "{}", none.stderr);
}

#[test]
fn serial_numbers_and_names_that_are_none_are_usage_errors() {
    for arguments in [
        &["revoke", "zebra"][..],
        &["revoke", "0a", "--reason", "mood"],
        &["renew", "web"],
        &["renew"],
    ] {
        assert_eq!(certs(arguments).code, Some(2), "{arguments:?}");
    }
    let nobody = certs(["list", "--admin", "127.0.0.1:1"]);
    assert_eq!(nobody.code, Some(2));
    assert!(nobody.stderr.contains("nobody answers at 127.0.0.1:1"), "{}", nobody.stderr);
}
