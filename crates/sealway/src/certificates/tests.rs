//! What a whole issuer leaves, told.

use sealway_core::{Compiler, Observed, Settings};
use sealway_issuer::{Behaviour, Change, Outlook, Revocation};
use sealway_provider::files::Loaded;

use super::*;
use crate::foresight::{Foresight, foresee};

const MANIFESTS: &str = r#"
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: roots}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: root, namespace: shop}
spec:
  secretName: root-keypair
  isCA: true
  commonName: shop root
  usages: [cert sign, crl sign]
  duration: 87600h
  privateKey: {algorithm: ECDSA}
  issuerRef: {kind: ClusterIssuer, name: roots}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: shop-ca, namespace: shop}
spec: {ca: {secretName: root-keypair}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: web, namespace: shop}
spec:
  secretName: web-tls
  dnsNames: [web.shop.example.com, api.shop.example.com]
  privateKey: {algorithm: ECDSA}
  issuerRef: {name: shop-ca}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sealway}
spec: {controllerName: sealway.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: sealway
  listeners:
    - name: web
      protocol: HTTPS
      port: 8443
      hostname: web.shop.example.com
      tls: {certificateRefs: [{name: web-tls}]}
"#;

/// Everything issued and compiled, at one moment.
struct Lab {
    now: Timestamp,
    resources: Arc<Resources>,
    outlook: Outlook,
    seen: BTreeMap<ObjectKey, Seen>,
    snapshots: BTreeMap<ObjectRef, Arc<Snapshot>>,
}

impl Lab {
    fn issued(manifests: &str) -> Self {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let loaded = Loaded::from_texts([("lab.yaml".to_owned(), manifests.to_owned())]);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let Foresight { resources, outlook } = foresee(now, &loaded.resources, Behaviour::default()).expect("in memory");
        let compiled = Compiler::new(Settings::default()).compile(&resources, &Observed::assumed(now));
        Self {
            now,
            resources: loaded.resources,
            outlook: Outlook::clone(&outlook),
            seen: BTreeMap::new(),
            snapshots: compiled.snapshots,
        }
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            now: self.now,
            resources: &self.resources,
            issued: &self.outlook.issued,
            statuses: &self.outlook.statuses,
            findings: &self.outlook.findings,
            seen: &self.seen,
            overlay: &self.outlook.overlay,
            snapshots: &self.snapshots,
        }
    }

    fn entry(&self, name: &str) -> Entry {
        let entries = inventory(&self.scene()).certificates;
        entries.into_iter().find(|entry| entry.name == name).expect("there")
    }

    fn serial(&self, name: &str) -> String {
        self.entry(name).leaf.expect("issued").serial
    }

    /// Its file cannot be read.
    fn lose(&mut self, name: &str) {
        let issued = Arc::make_mut(&mut self.outlook.issued);
        issued.damaged.insert(ObjectKey::new("shop", name));
    }

    fn revoke(&mut self, name: &str) {
        let serial = self.serial(name);
        let at = self.now;
        let mut changes = Vec::new();
        for (id, authority) in &self.outlook.issued.authorities {
            let mut authority = sealway_issuer::Authority::clone(authority);
            for issuance in authority.issuances.iter_mut().filter(|issuance| issuance.serial == serial) {
                issuance.revoked = Some(Revocation {
                    at,
                    reason: "keyCompromise".to_owned(),
                });
            }
            changes.push(Change::Authority(id.clone(), Arc::new(authority)));
        }
        let issued = Arc::make_mut(&mut self.outlook.issued);
        changes.into_iter().for_each(|change| issued.apply(change));
    }
}

#[test]
fn it_tells_who_issued_who_serves_and_until_when() {
    let lab = Lab::issued(MANIFESTS);
    let entry = lab.entry("web-tls");
    assert_eq!(
        (entry.state, entry.source),
        (State::Ready, Source::Issued),
        "{:?}",
        entry.message
    );
    assert_eq!(entry.certificate.as_deref(), Some("shop/web"));
    assert_eq!(entry.issuer.as_deref(), Some("Issuer shop/shop-ca"));
    assert_eq!(entry.revision, Some(1));
    assert_eq!(entry.seconds_left, Some(90 * 86_400));
    let renewal = entry.renewal_time.expect("a renewal");
    assert_eq!(renewal.as_second() - lab.now.as_second(), 60 * 86_400);
    let leaf = entry.leaf.expect("issued");
    assert_eq!(leaf.names, ["web.shop.example.com", "api.shop.example.com"]);
    assert_eq!((leaf.key.as_str(), leaf.is_ca), ("ECDSA P-256", false));
    assert_eq!(leaf.signed_by, "CN=shop root");
    // The listener claims one of the two names.
    let [place] = entry.served_by.as_slice() else {
        panic!("{:?}", entry.served_by)
    };
    assert_eq!(
        (place.gateway.as_str(), place.listener.as_deref(), place.port),
        ("shop/edge", Some("web"), Some(8443))
    );
    assert_eq!(
        (place.names.as_slice(), &place.serial),
        (&["web.shop.example.com".to_owned()][..], &leaf.serial)
    );
    let inventory = inventory(&lab.scene());
    // What ends soonest comes first.
    let order: Vec<&str> = inventory.certificates.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(order, ["web-tls", "root-keypair"]);
    let [authority] = inventory.authorities.as_slice() else {
        panic!("one CA")
    };
    assert_eq!(
        (authority.secret.as_str(), authority.issuances, authority.retired),
        ("shop/root-keypair", 1, false)
    );
    assert_eq!(authority.issuers, ["Issuer shop/shop-ca"]);
    assert_eq!(authority.id, lab.entry("root-keypair").leaf.expect("issued").sha256);
    assert!(authority.list_next_update.is_some_and(|next| lab.now < next));
}

#[test]
fn no_byte_of_a_key_gets_into_a_document() {
    let lab = Lab::issued(MANIFESTS);
    let inspection = inspect(&lab.scene(), "shop/web-tls").expect("there");
    let texts = [
        serde_json::to_string(&inventory(&lab.scene())).expect("JSON"),
        serde_json::to_string(&inspection).expect("JSON"),
        inventory_text(&inventory(&lab.scene())),
        inspection_text(&inspection),
    ];
    let mut lines = 0;
    for secret in lab.outlook.issued.secrets.values() {
        let key = String::from_utf8(secret.secret.data["tls.key"].expose().to_vec()).expect("PEM");
        for line in key.lines().filter(|line| !line.starts_with("-----")) {
            lines += 1;
            assert!(texts.iter().all(|text| !text.contains(line)));
        }
    }
    assert!(lines > 4 && texts.iter().all(|text| !text.contains("PRIVATE")));
}

#[test]
fn documents_are_read_back_as_they_were() {
    let mut lab = Lab::issued(MANIFESTS);
    lab.revoke("web-tls");
    // One without a certificate too: its fields are absent.
    lab.lose("lost");
    let inventory = inventory(&lab.scene());
    let text = serde_json::to_string(&inventory).expect("JSON");
    assert_eq!(serde_json::from_str::<Inventory>(&text).expect("read"), inventory);
    let inspection = inspect(&lab.scene(), "shop/web").expect("there");
    let text = serde_json::to_string(&inspection).expect("JSON");
    assert_eq!(serde_json::from_str::<Inspection>(&text).expect("read"), inspection);
}

#[test]
fn states_are_told_apart() {
    let mut lab = Lab::issued(MANIFESTS);
    lab.lose("lost");
    assert_eq!(lab.entry("lost").state, State::Damaged);
    lab.revoke("web-tls");
    let revoked = lab.entry("web-tls");
    assert_eq!(revoked.state, State::Revoked);
    assert!(revoked.message.is_some_and(|message| message.contains("keyCompromise")));
    let begin = lab.now;
    lab.now = begin
        .checked_add(std::time::Duration::from_secs(91 * 86_400))
        .expect("a time");
    lab.outlook.issued = Lab::issued(MANIFESTS).outlook.issued;
    let expired = lab.entry("web-tls");
    assert_eq!((expired.state, expired.seconds_left), (State::Expired, Some(-86_400)));
    lab.now = begin.checked_sub(std::time::Duration::from_secs(86_400)).expect("a time");
    assert_eq!(lab.entry("web-tls").state, State::NotYetValid);
    assert!(inventory_text(&inventory(&lab.scene())).contains("not-yet-valid"));
}

#[test]
fn what_is_not_issued_yet_says_by_whom_it_will_be() {
    let mut lab = Lab::issued(MANIFESTS);
    let plan = sealway_issuer::plan(
        lab.now,
        &lab.resources,
        &Issued::default(),
        &sealway_issuer::Settings::default(),
    );
    lab.outlook = Outlook {
        statuses: plan.statuses,
        ..Outlook::default()
    };
    lab.snapshots.clear();
    let entry = lab.entry("web-tls");
    assert_eq!((entry.state, entry.leaf), (State::Issuing, None));
    assert_eq!(entry.message.as_deref(), Some("will be issued by Issuer shop/shop-ca"));
    assert_eq!(
        lab.entry("root-keypair").message.as_deref(),
        Some("will be issued by ClusterIssuer roots")
    );
}

#[test]
fn one_is_found_by_every_name_that_it_has() {
    let mut lab = Lab::issued(MANIFESTS);
    let serial = lab.serial("web-tls");
    let with_colons = serial
        .to_uppercase()
        .as_bytes()
        .chunks(2)
        .map(String::from_utf8_lossy)
        .collect::<Vec<_>>()
        .join(":");
    lab.revoke("web-tls");
    for asked in ["shop/web-tls", "shop/web", &serial, &with_colons, &format!("0x{serial}")] {
        let inspection = inspect(&lab.scene(), asked).expect(asked);
        assert_eq!(inspection.certificate.expect("an entry").name, "web-tls", "{asked}");
        assert_eq!((inspection.chain.len(), inspection.authorities.len()), (1, 1), "{asked}");
        let [past] = inspection.history.as_slice() else {
            panic!("one was signed")
        };
        assert!(past.current && past.serial == serial && past.reason.as_deref() == Some("keyCompromise"));
    }
    let not_found = inspect(&lab.scene(), "shop/webb").expect_err("no such").to_string();
    assert!(not_found.contains("did you mean shop/web"), "{not_found}");
    let not_found = inspect(&lab.scene(), "abcd").expect_err("no such").to_string();
    assert!(not_found.contains("certs list"), "{not_found}");
}

#[test]
fn a_certificate_is_shown_whole() {
    let lab = Lab::issued(MANIFESTS);
    let inspection = inspect(&lab.scene(), "shop/web").expect("there");
    let [leaf] = inspection.chain.as_slice() else {
        panic!("the leaf alone: its CA is a root")
    };
    assert_eq!(leaf.usages, ["digital signature", "key encipherment"]);
    assert_eq!(leaf.names, ["DNS web.shop.example.com", "DNS api.shop.example.com"]);
    let [root] = inspection.authorities.as_slice() else {
        panic!("its CA")
    };
    assert!(root.is_ca && root.usages.iter().any(|usage| usage == "cert sign"));
    assert!(leaf.authority_key_id.is_some() && leaf.authority_key_id == root.subject_key_id);
    assert_eq!(leaf.signature, "ECDSAWithSHA256");
    let text = inspection_text(&inspection);
    for part in [
        "shop/edge web:8443 for web.shop.example.com",
        "subject key id",
        "signed for this Certificate",
        "authority in ca.crt",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn what_keeps_one_from_being_issued_is_said_and_so_is_who_has_its_secret() {
    let more = r#"
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: lost, namespace: shop}
spec: {secretName: nowhere, dnsNames: [a.example.com], privateKey: {algorithm: ECDSA}, issuerRef: {name: nobody}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: zweb, namespace: shop}
spec: {secretName: web-tls, dnsNames: [b.example.com], privateKey: {algorithm: ECDSA}, issuerRef: {name: shop-ca}}
"#;
    let mut lab = Lab::issued(&format!("{MANIFESTS}{more}"));
    let lost = lab.entry("nowhere");
    assert_eq!(lost.state, State::NotReady);
    assert_eq!(
        lost.message.as_deref(),
        Some("Issuer shop/nobody does not exist: the manifests have none")
    );
    let status = &lab.outlook.statuses.certificates[&ObjectKey::new("shop", "lost")];
    let issuing = status
        .conditions
        .iter()
        .find(|condition| condition.kind == "Issuing")
        .expect("said");
    assert_eq!(issuing.reason, "Waiting");
    assert!(issuing.message.ends_with("the manifests have none"), "{}", issuing.message);
    let inspection = inspect(&lab.scene(), "shop/zweb").expect("there");
    let entry = inspection.certificate.expect("an entry");
    assert!(inspection.chain.is_empty() && entry.state == State::NotReady);
    assert!(
        entry
            .message
            .is_some_and(|message| message.contains("belongs to Certificate shop/web"))
    );
    let entries = inventory(&lab.scene()).certificates;
    let winner = entries
        .iter()
        .find(|entry| entry.certificate.as_deref() == Some("shop/web"))
        .expect("there");
    assert_eq!((winner.state, winner.name.as_str()), (State::Ready, "web-tls"));
    let serial = winner.leaf.as_ref().expect("issued").serial.clone();

    let seen = Seen {
        holds: false,
        message: "serial 01 does not arrive".to_owned(),
    };
    lab.seen.insert(ObjectKey::new("shop", "web"), seen);
    let text = inventory_text(&inventory(&lab.scene()));
    assert!(text.contains("shop/web-tls: serial 01 does not arrive"), "{text}");
    assert!(text.contains(&serial), "what `certs revoke` wants");
    // Its Certificate goes.
    let resources = Arc::make_mut(&mut lab.resources);
    for name in ["web", "zweb"] {
        resources.certificates.remove(&ObjectKey::new("shop", name));
    }
    let plan = sealway_issuer::plan(
        lab.now,
        &lab.resources,
        &lab.outlook.issued,
        &sealway_issuer::Settings::default(),
    );
    (lab.outlook.statuses, lab.outlook.findings) = (plan.statuses, plan.findings);
    assert_eq!(lab.entry("web-tls").state, State::LeftOver);
}
