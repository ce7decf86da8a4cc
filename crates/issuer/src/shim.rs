//! Certificates that Gateway annotations ask for, as cert-manager's gateway-shim makes them (its `pkg/controller/certificate-shim`).
//!
//! Input: the resources. Output: one Certificate for each Secret that a Gateway with an issuer's annotation serves, and what kept others
//! away. Invariants: a Certificate of the manifests is never replaced; one Secret has one Certificate; order of input does not matter.
//! ListenerSets have a shim of their own in cert-manager, behind an alpha gate that is off: they are left out here as well.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sealway_api::{
    Certificate, CertificateSpec, Gateway, IssuerRef, KeyUsage, Kind, Listener, ObjectKey, ObjectMeta, ObjectRef, Protocol,
    Resources, TlsMode,
};

use crate::cause::Cause;
use crate::plan::Finding;
use crate::validate::{FieldError, FieldErrorKind};

mod annotations;

pub use annotations::{AnnotationFault, AnnotationReason};

const ISSUER: &str = "cert-manager.io/issuer";
const CLUSTER_ISSUER: &str = "cert-manager.io/cluster-issuer";
const ISSUER_KIND: &str = "cert-manager.io/issuer-kind";
const ISSUER_GROUP: &str = "cert-manager.io/issuer-group";
const IGNORED_LISTENERS: &str = "cert-manager.io/ignore-tls-listeners";
/// A label of `kubectl apply --applyset`, which would prune what carries it.
const APPLY_SET_LABEL: &str = "applyset.kubernetes.io/part-of";

/// What Gateway annotations come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shim {
    /// Certificates to be treated as if the manifests had them, by key.
    pub certificates: Vec<Certificate>,
    /// What is wrong, or worth knowing.
    pub findings: Vec<Finding>,
}

/// What the Gateways' annotations ask for.
#[must_use]
pub fn gateway_certificates(resources: &Resources) -> Shim {
    // Of two Gateways that serve one Secret the first to come has its Certificate, as in a cluster.
    let mut gateways: Vec<(&ObjectKey, &Gateway)> = resources.gateways.iter().map(|(key, gateway)| (key, &**gateway)).collect();
    gateways.sort_by_key(|(key, gateway)| (gateway.metadata.creation_timestamp, *key));
    let mut made: BTreeMap<ObjectKey, (&ObjectKey, Certificate)> = BTreeMap::new();
    let mut findings = Vec::new();
    for (key, gateway) in gateways {
        let mut find = |cause: Cause| findings.push(cause.about(ObjectRef::of(Kind::Gateway, key)));
        for (name, certificate) in certificates(gateway, &mut find) {
            let certificate_key = ObjectKey::new(&key.namespace, name);
            if resources.certificates.contains_key(&certificate_key) {
                find(Cause::CertificateStands(certificate_key));
            } else if let Some((owner, _)) = made.get(&certificate_key) {
                let gateway = (*owner).clone();
                find(Cause::CertificateOfAnother {
                    certificate: certificate_key,
                    gateway,
                });
            } else {
                made.insert(certificate_key, (key, certificate));
            }
        }
    }
    Shim {
        certificates: made.into_values().map(|(_, certificate)| certificate).collect(),
        findings,
    }
}

/// By the Secret's name.
fn certificates(gateway: &Gateway, find: &mut impl FnMut(Cause)) -> BTreeMap<String, Certificate> {
    let annotations = &gateway.metadata.annotations;
    let asks = annotations.contains_key(ISSUER) || annotations.contains_key(CLUSTER_ISSUER);
    if !asks || gateway.metadata.deletion_timestamp.is_some() {
        return BTreeMap::new();
    }
    let issuer_ref = match issuer_ref(annotations) {
        Ok(issuer_ref) => issuer_ref,
        Err(text) => {
            find(Cause::GatewayIssuer(text));
            return BTreeMap::new();
        }
    };
    let mut certificates = BTreeMap::new();
    for (name, hosts) in hosts(gateway, find) {
        let (ip_addresses, dns_names) = hosts.into_iter().partition(|host| host.parse::<IpAddr>().is_ok());
        let mut spec = CertificateSpec {
            dns_names,
            ip_addresses,
            secret_name: name.clone(),
            issuer_ref: issuer_ref.clone(),
            usages: vec![KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment],
            ..CertificateSpec::default()
        };
        if let Err(fault) = annotations::translate(annotations, &mut spec) {
            // cert-manager gives up on the whole Gateway, and so on all of its Secrets.
            find(Cause::GatewayAnnotation(fault));
            return BTreeMap::new();
        }
        let metadata = metadata(&gateway.metadata, &name);
        certificates.insert(name, Certificate { metadata, spec });
    }
    certificates
}

/// The error is cert-manager's text.
fn issuer_ref(annotations: &BTreeMap<String, String>) -> Result<IssuerRef, String> {
    let stated = |key: &str| annotations.get(key).cloned();
    let (issuer, cluster_issuer, kind, group) = (
        stated(ISSUER),
        stated(CLUSTER_ISSUER),
        stated(ISSUER_KIND),
        stated(ISSUER_GROUP),
    );
    let both = |first: &str, second: &str| format!("both \"{first}\" and \"{second}\" may not be set");
    let name = cluster_issuer.clone().or(issuer.clone()).unwrap_or_default();
    let mut faults = Vec::new();
    if name.is_empty() {
        faults.push("failed to determine issuer name to be used for ingress resource".to_owned());
    }
    if issuer.is_some() && cluster_issuer.is_some() {
        faults.push(both(ISSUER, CLUSTER_ISSUER));
    }
    if cluster_issuer.is_some() && group.is_some() {
        faults.push(both(CLUSTER_ISSUER, ISSUER_GROUP));
    }
    if cluster_issuer.is_some() && kind.is_some() {
        faults.push(both(CLUSTER_ISSUER, ISSUER_KIND));
    }
    if !faults.is_empty() {
        return Err(faults.join(", "));
    }
    let default_kind = if cluster_issuer.is_some() { "ClusterIssuer" } else { "Issuer" };
    Ok(IssuerRef {
        name,
        kind: Some(kind.unwrap_or_else(|| default_kind.to_owned())),
        group: Some(group.unwrap_or_else(|| "cert-manager.io".to_owned())),
    })
}

/// Hostnames by the name of the Secret that serves them, each once, in the listeners' order.
fn hosts(gateway: &Gateway, find: &mut impl FnMut(Cause)) -> BTreeMap<String, Vec<String>> {
    let namespace = gateway.metadata.namespace.as_deref().unwrap_or_default();
    let ignored: Vec<&str> = gateway
        .metadata
        .annotations
        .get(IGNORED_LISTENERS)
        .map_or_else(Vec::new, |names| names.split(',').map(str::trim).collect());
    let mut hosts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (index, listener) in gateway.spec.listeners.iter().enumerate() {
        let passes_through = listener
            .tls
            .as_ref()
            .is_some_and(|tls| tls.mode == Some(TlsMode::Passthrough));
        let speaks_tls = matches!(listener.protocol, Protocol::Https | Protocol::Tls);
        if !speaks_tls || passes_through || ignored.contains(&listener.name.as_str()) {
            continue;
        }
        let errors = listener_errors(index, listener, namespace);
        if !errors.is_empty() {
            find(Cause::ListenerSkipped { index, errors });
            continue;
        }
        let hostname = listener.hostname.clone().unwrap_or_default();
        for reference in listener.tls.iter().flat_map(|tls| &tls.certificate_refs) {
            let hosts = hosts.entry(reference.name.clone()).or_default();
            if !hosts.contains(&hostname) {
                hosts.push(hostname.clone());
            }
        }
    }
    hosts
}

/// What keeps a listener from having a certificate issued, in cert-manager's words.
fn listener_errors(index: usize, listener: &Listener, namespace: &str) -> Vec<FieldError> {
    let field = format!("spec.listeners[{index}]");
    let mut errors = Vec::new();
    if listener.hostname.as_deref().unwrap_or_default().is_empty() {
        let hint = "write a `hostname`: a certificate needs a name; or serve a Secret of your own";
        errors.push(FieldError::new(
            &format!("{field}.hostname"),
            FieldErrorKind::Required,
            "the hostname cannot be empty",
            hint,
        ));
    }
    let Some(tls) = &listener.tls else {
        let hint = "write `tls` with `certificateRefs` that name the Secret to issue";
        errors.push(FieldError::new(
            &format!("{field}.tls"),
            FieldErrorKind::Required,
            "the TLS block cannot be empty",
            hint,
        ));
        return errors;
    };
    // The field is called certificateRefs; cert-manager writes it so.
    let field = format!("{field}.tls");
    if tls.certificate_refs.is_empty() {
        let hint = "name the Secret to issue in `tls.certificateRefs`";
        errors.push(FieldError::new(
            &format!("{field}.certificateRef"),
            FieldErrorKind::Required,
            "listener has no certificateRefs",
            hint,
        ));
    }
    for (index, reference) in tls.certificate_refs.iter().enumerate() {
        let field = format!("{field}.certificateRef[{index}]");
        let hint = "only Secrets can be issued: leave `group` and `kind` out, or keep the listener out with `cert-manager.io/ignore-tls-listeners`";
        if !matches!(reference.group(), "" | "core") {
            errors.push(FieldError::not_supported(
                &format!("{field}.group"),
                reference.group(),
                &["core", ""],
                hint,
            ));
        }
        if !matches!(reference.kind(), "" | "Secret") {
            errors.push(FieldError::not_supported(
                &format!("{field}.kind"),
                reference.kind(),
                &["Secret", ""],
                hint,
            ));
        }
        if let Some(other) = reference.namespace.as_deref().filter(|other| *other != namespace) {
            let detail = "cross-namespace secret references are not allowed in listeners";
            let hint = format!("write a Certificate in namespace {other}, or leave `namespace` out");
            errors.push(FieldError::invalid(&format!("{field}.namespace"), other, detail, &hint));
        }
    }
    if let Some(mode @ TlsMode::Other(_)) = &tls.mode {
        errors.push(FieldError::not_supported(
            &format!("{field}.mode"),
            mode.as_str(),
            &["Terminate"],
            "write `mode: Terminate`",
        ));
    }
    errors
}

fn metadata(gateway: &ObjectMeta, name: &str) -> ObjectMeta {
    let mut labels = gateway.labels.clone();
    labels.remove(APPLY_SET_LABEL);
    ObjectMeta {
        name: name.to_owned(),
        namespace: gateway.namespace.clone(),
        labels,
        annotations: acme_annotations(gateway),
        creation_timestamp: gateway.creation_timestamp,
        generation: gateway.generation,
        deletion_timestamp: None,
        uid: None,
    }
}

/// What cert-manager tells its ACME solvers, and what its users see on the Certificate.
fn acme_annotations(gateway: &ObjectMeta) -> BTreeMap<String, String> {
    let acme = |name: &str| format!("acme.cert-manager.io/http01-{name}");
    let mut annotations = BTreeMap::from([
        (acme("parentrefkind"), "Gateway".to_owned()),
        (acme("parentrefname"), gateway.name.clone()),
    ]);
    if gateway
        .annotations
        .get(&acme("edit-in-place"))
        .is_some_and(|value| value == "true")
    {
        annotations.insert(acme("override-ingress-name"), gateway.name.clone());
        annotations.insert("cert-manager.io/issue-temporary-certificate".to_owned(), "true".to_owned());
    }
    for (from, to) in [
        ("ingress-class", "override-ingress-class"),
        ("ingress-ingressclassname", "override-ingress-ingressclassname"),
    ] {
        if let Some(class) = gateway.annotations.get(&acme(from)).filter(|class| !class.is_empty()) {
            annotations.insert(acme(to), class.clone());
        }
    }
    annotations
}

#[cfg(test)]
mod tests;
