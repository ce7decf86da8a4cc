//! For tests: plan and perform, round after round, in a time that the test sets.

use std::time::Duration;

use sealway_api::{CertificateStatus, Kind, ObjectKey, Resource, Resources, StatusCondition, Timestamp};

use super::times::later;
use super::{Plan, plan};
use crate::facts::Facts;
use crate::issued::Issued;
use crate::order::Action;
use crate::perform::perform;
use crate::settings::{Behaviour, Settings};

pub(super) struct Lab {
    pub(super) now: Timestamp,
    pub(super) resources: Resources,
    pub(super) issued: Issued,
    pub(super) settings: Settings,
    /// What was done, with the time.
    pub(super) done: Vec<(Timestamp, Action)>,
}

pub(super) const START: &str = "2027-01-01T00:00:00Z";

impl Lab {
    pub(super) fn new(manifests: &str) -> Self {
        let mut lab = Self {
            now: START.parse().unwrap(),
            resources: Resources::default(),
            issued: Issued::default(),
            settings: Settings::default(),
            done: Vec::new(),
        };
        lab.add(manifests);
        lab
    }

    pub(super) fn cert_manager(mut self) -> Self {
        self.settings.behaviour = Behaviour::CertManager;
        self
    }

    /// Objects replace those of the same name.
    pub(super) fn add(&mut self, manifests: &str) {
        for document in manifests.split("\n---\n").filter(|document| !document.trim().is_empty()) {
            let value: serde_json::Value = serde_saphyr::from_str(document).unwrap();
            let kind = Kind::from(value["kind"].as_str().unwrap().to_owned());
            let resource = Resource::read(&kind, value).unwrap().unwrap();
            self.resources.insert(resource.with_generation(1));
        }
    }

    pub(super) fn plan(&self) -> Plan {
        plan(self.now, &self.resources, &self.issued, &self.settings)
    }

    /// Plans and performs until there is nothing to do.
    pub(super) fn settle(&mut self) -> Plan {
        for _ in 0..10 {
            let plan = self.plan();
            assert!(
                plan.wake_at.is_none_or(|wake| wake > self.now),
                "{:?} {:?}",
                plan.wake_at,
                self.now
            );
            if plan.actions.is_empty() {
                return plan;
            }
            for action in plan.actions {
                for change in perform(&action, &self.issued, self.now).unwrap() {
                    self.issued.apply(change);
                }
                self.done.push((self.now, action));
            }
        }
        panic!("no end of actions at {}: {:?}", self.now, self.plan().actions);
    }

    /// Goes on by so much, and settles at every moment at which a plan wants to be made.
    pub(super) fn pass(&mut self, time: Duration) -> Plan {
        let end = later(self.now, time);
        loop {
            let plan = self.settle();
            match plan.wake_at {
                Some(wake) if wake <= end => self.now = wake,
                _ => {
                    self.now = end;
                    return self.settle();
                }
            }
        }
    }

    pub(super) fn facts(&self, secret: &str) -> Facts {
        super::held::first_certificate(self.part(secret, "tls.crt").as_bytes()).unwrap()
    }

    pub(super) fn part(&self, secret: &str, part: &str) -> String {
        let secret = &self.issued.secrets[&key(secret)].secret;
        String::from_utf8(secret.data[part].expose().to_vec()).unwrap()
    }

    /// Changes a part of an issued Secret behind the issuer's back; `None` takes it away.
    pub(super) fn tamper(&mut self, secret: &str, part: &str, content: Option<&str>) {
        let mut issued = (*self.issued.secrets[&key(secret)]).clone();
        let mut changed = (*issued.secret).clone();
        match content {
            Some(content) => changed
                .data
                .insert(part.to_owned(), sealway_api::SecretBytes::new(content.into())),
            None => changed.data.remove(part),
        };
        issued.secret = changed.into();
        self.issued.secrets.insert(key(secret), issued.into());
    }
}

pub(super) fn key(text: &str) -> ObjectKey {
    let (namespace, name) = text.split_once('/').unwrap();
    ObjectKey::new(namespace, name)
}

pub(super) fn condition<'a>(status: &'a CertificateStatus, kind: &str) -> Option<&'a StatusCondition> {
    status.conditions.iter().find(|condition| condition.kind == kind)
}

/// `True Reason: message` of a condition; empty when there is none.
pub(super) fn said(plan: &Plan, certificate: &str, kind: &str) -> String {
    condition(&plan.statuses.certificates[&key(certificate)], kind)
        .map(|condition| format!("{:?} {}: {}", condition.status, condition.reason, condition.message))
        .unwrap_or_default()
}

pub(super) fn labels(plan: &Plan) -> Vec<&'static str> {
    plan.findings.iter().map(|finding| finding.label).collect()
}

/// A selfSigned issuer, a root in Secret shop/root, and an Issuer `root` that signs with it.
pub(super) const ROOT: &str = "
kind: Issuer
metadata: {name: selfsigned, namespace: shop}
spec: {selfSigned: {}}
---
kind: Certificate
metadata: {name: root, namespace: shop}
spec:
  isCA: true
  commonName: Root
  usages: [cert sign, crl sign]
  duration: 87600h
  secretName: root
  privateKey: {algorithm: ECDSA}
  issuerRef: {name: selfsigned}
---
kind: Issuer
metadata: {name: root, namespace: shop}
spec: {ca: {secretName: root}}
";

/// A leaf of Issuer `root`, with more lines of its spec.
pub(super) fn leaf(name: &str, more: &str) -> String {
    format!(
        "kind: Certificate\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  dnsNames: [{name}.shop]\n  secretName: {name}\n  \
         privateKey: {{algorithm: ECDSA}}\n  issuerRef: {{name: root}}\n{more}"
    )
}
