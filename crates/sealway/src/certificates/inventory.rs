//! Every certificate, every CA, every bundle: the document `Certificates`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealway_api::{Certificate, CertificateStatus, ConditionStatus, Kind, ObjectKey, Secret, SecretBytes, StatusCondition};
use sealway_issuer::{Finding, IssuedSecret, Revocation, Severity, secret};

use super::places::{Place, places};
use super::{Details, Entry, Inventory, Leaf, Scene, Source, State, authorities, details};

/// See the module.
pub(crate) fn inventory(scene: &Scene<'_>) -> Inventory {
    let index = Index::of(scene);
    let mut certificates: Vec<Entry> = index.secrets(scene).iter().map(|key| index.entry(scene, key)).collect();
    certificates.extend(index.without_secret(scene));
    certificates.sort_by(|one, other| {
        let order = |entry: &Entry| (entry.leaf.as_ref().map(|leaf| leaf.not_after), entry.key());
        order(one).cmp(&order(other))
    });
    Inventory {
        certificates,
        authorities: authorities::authorities(scene),
        bundles: authorities::bundles(scene),
    }
}

/// What is looked up for each Secret.
pub(super) struct Index<'a> {
    /// The Certificate that a Secret is for.
    owners: BTreeMap<ObjectKey, &'a ObjectKey>,
    places: BTreeMap<ObjectKey, Vec<Place>>,
    revoked: BTreeMap<&'a str, &'a Revocation>,
}

impl<'a> Index<'a> {
    pub(super) fn of(scene: &Scene<'a>) -> Self {
        let mut owners = BTreeMap::new();
        // A Certificate that a Gateway's annotation asks for has the name of its Secret.
        for key in scene.statuses.certificates.keys() {
            owners.insert(key.clone(), key);
        }
        for (key, certificate) in &scene.resources.certificates {
            owners.remove(key);
            let lost = |finding: &Finding| finding.label == TAKEN && finding.object.key == *key;
            if scene.findings.iter().any(lost) {
                continue;
            }
            owners.insert(ObjectKey::new(&key.namespace, &certificate.spec.secret_name), key);
        }
        for (secret, issued) in &scene.issued.secrets {
            owners.insert(secret.clone(), &issued.certificate);
        }
        let issuances = scene.issued.authorities.values().flat_map(|authority| &authority.issuances);
        Self {
            owners,
            places: places(scene.snapshots),
            revoked: issuances
                .filter_map(|issuance| Some((issuance.serial.as_str(), issuance.revoked.as_ref()?)))
                .collect(),
        }
    }

    fn secrets(&self, scene: &Scene<'_>) -> BTreeSet<ObjectKey> {
        let given = scene.resources.secrets.iter();
        let given = given
            .filter(|(_, secret)| secret.data.contains_key(CERTIFICATES))
            .map(|(key, _)| key);
        let issued = scene.issued.secrets.keys().chain(&scene.issued.damaged);
        let all = given.chain(issued).chain(self.owners.keys()).chain(self.places.keys());
        all.cloned().collect()
    }

    /// Certificates whose Secret is another Certificate's.
    fn without_secret(&self, scene: &Scene<'_>) -> Vec<Entry> {
        let owners: BTreeSet<&ObjectKey> = self.owners.values().copied().collect();
        let others = scene.resources.certificates.iter().filter(|(key, _)| !owners.contains(key));
        let entry = |(key, certificate): (&ObjectKey, &Arc<Certificate>)| {
            let message = blocked(scene, Some(key)).or_else(|| {
                let status = scene.statuses.certificates.get(key)?;
                Some(condition(status, "Ready")?.message.clone())
            });
            Entry {
                namespace: key.namespace.clone(),
                name: certificate.spec.secret_name.clone(),
                source: Source::Issued,
                state: State::NotReady,
                message,
                certificate: Some(key.to_string()),
                issuer: issuer(scene, key, Some(key), None, None),
                ..Entry::default()
            }
        };
        others.map(entry).collect()
    }

    pub(super) fn entry(&self, scene: &Scene<'_>, key: &ObjectKey) -> Entry {
        let given = scene.resources.secrets.get(key).map(AsRef::as_ref);
        let issued = scene.issued.secrets.get(key).map(AsRef::as_ref).filter(|_| given.is_none());
        let certificate = self.owners.get(key).copied();
        let status = certificate.and_then(|certificate| scene.statuses.certificates.get(certificate));
        let leaf = leaf(given.or_else(|| issued.map(|issued| issued.secret.as_ref())));
        let mut entry = Entry {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            source: if given.is_some() { Source::Manifest } else { Source::Issued },
            certificate: certificate.map(ObjectKey::to_string),
            issuer: issuer(scene, key, certificate, given, issued),
            revision: issued.map(|issued| issued.revision),
            renewal_time: status.and_then(|status| status.renewal_time),
            served_by: self.places.get(key).cloned().unwrap_or_default(),
            seen: certificate.and_then(|certificate| scene.seen.get(certificate)).cloned(),
            ..Entry::default()
        };
        if let Some(leaf) = &leaf {
            entry.seconds_left = Some(leaf.not_after.as_second().saturating_sub(scene.now.as_second()));
            entry.leaf = Some(Leaf::of(leaf));
        }
        (entry.state, entry.message) = self.state(scene, key, certificate, status, leaf.as_ref(), given);
        if entry.state == State::Issuing && entry.leaf.is_none() {
            let by = entry.issuer.as_ref().map(|issuer| format!("will be issued by {issuer}"));
            entry.message = by.or(entry.message);
        }
        entry
    }

    fn state(
        &self,
        scene: &Scene<'_>,
        key: &ObjectKey,
        certificate: Option<&ObjectKey>,
        status: Option<&CertificateStatus>,
        leaf: Option<&Details>,
        given: Option<&Secret>,
    ) -> (State, Option<String>) {
        let attempt = certificate.and_then(|certificate| scene.issued.attempts.get(certificate));
        let failure = attempt
            .filter(|attempt| attempt.failures > 0)
            .map(|attempt| attempt.message.clone());
        let issuing = status
            .and_then(|status| condition(status, "Issuing"))
            .filter(|issuing| holds(issuing) || issuing.reason == "Waiting");
        let unready = status
            .and_then(|status| condition(status, "Ready"))
            .filter(|ready| !holds(ready));
        let said = |condition: &StatusCondition| Some(condition.message.clone()).filter(|message| !message.is_empty());
        let revoked = leaf.and_then(|leaf| self.revoked.get(leaf.serial.as_str()));
        let is_damaged = leaf.is_none() && (scene.issued.damaged.contains(key) || given.is_some());
        if is_damaged {
            return (State::Damaged, Some("no certificate can be read from it".to_owned()));
        }
        if let Some(revoked) = revoked {
            let reason = if revoked.reason.is_empty() {
                "unspecified"
            } else {
                revoked.reason.as_str()
            };
            return (State::Revoked, Some(format!("revoked at {}: {reason}", revoked.at)));
        }
        if leaf.is_some_and(|leaf| leaf.not_after < scene.now) {
            return (State::Expired, failure.or_else(|| unready.and_then(said)));
        }
        if leaf.is_some_and(|leaf| scene.now < leaf.not_before) {
            return (State::NotYetValid, None);
        }
        if failure.is_some() {
            return (State::Failing, failure);
        }
        if let Some(why) = blocked(scene, certificate).filter(|_| issuing.is_some() || unready.is_some()) {
            return (State::NotReady, Some(why));
        }
        if let Some(issuing) = issuing {
            return (State::Issuing, said(issuing));
        }
        let left_over = scene
            .findings
            .iter()
            .find(|finding| finding.label == LEFT_OVER && finding.object.kind == Kind::Secret && finding.object.key == *key);
        if let Some(left_over) = left_over {
            return (State::LeftOver, Some(left_over.message.clone()));
        }
        match unready {
            Some(unready) => (State::NotReady, said(unready)),
            None if leaf.is_none() => (State::NotReady, Some("there is no such Secret".to_owned())),
            None => (State::Ready, None),
        }
    }
}

/// What keeps a Certificate from being issued, as the issuer has it.
fn blocked(scene: &Scene<'_>, certificate: Option<&ObjectKey>) -> Option<String> {
    let certificate = certificate?;
    let concerns = |finding: &&Finding| {
        finding.severity == Severity::Error && finding.object.kind == Kind::Certificate && finding.object.key == *certificate
    };
    Some(scene.findings.iter().find(concerns)?.message.clone())
}

/// The first certificate of a Secret's `tls.crt`.
pub(super) fn leaf(secret: Option<&Secret>) -> Option<Details> {
    let text = secret?.data.get(CERTIFICATES).map(SecretBytes::expose)?;
    details::chain(text).into_iter().next()
}

/// As the Certificate refers to it, else as the Secret says.
fn issuer(
    scene: &Scene<'_>,
    key: &ObjectKey,
    certificate: Option<&ObjectKey>,
    given: Option<&Secret>,
    issued: Option<&IssuedSecret>,
) -> Option<String> {
    if let Some(issued) = issued {
        let (name, kind, _) = &issued.request.issuer;
        return Some(issuer_text(kind, &key.namespace, name));
    }
    if let Some(given) = given {
        // What stands in the manifests was made by whoever its annotations name, whatever a Certificate asks for now.
        let annotation = |name: &str| given.metadata.annotations.get(name).map_or("", String::as_str);
        let name = Some(annotation(secret::ISSUER_NAME)).filter(|name| !name.is_empty())?;
        return Some(issuer_text(annotation(secret::ISSUER_KIND), &key.namespace, name));
    }
    let reference = &scene.resources.certificates.get(certificate?)?.spec.issuer_ref;
    let kind = reference.kind.as_deref().unwrap_or_default();
    Some(issuer_text(kind, &key.namespace, &reference.name))
}

fn issuer_text(kind: &str, namespace: &str, name: &str) -> String {
    match kind {
        "ClusterIssuer" => format!("ClusterIssuer {name}"),
        "" => format!("Issuer {namespace}/{name}"),
        kind => format!("{kind} {namespace}/{name}"),
    }
}

fn condition<'a>(status: &'a CertificateStatus, kind: &str) -> Option<&'a StatusCondition> {
    status.conditions.iter().find(|condition| condition.kind == kind)
}

fn holds(condition: &StatusCondition) -> bool {
    condition.status == ConditionStatus::True
}

pub(super) const CERTIFICATES: &str = "tls.crt";
/// The issuer's word for a Certificate whose Secret is another's.
const TAKEN: &str = "secret-taken";
/// The issuer's word for a Secret whose Certificate is gone.
const LEFT_OVER: &str = "secret-left-over";
