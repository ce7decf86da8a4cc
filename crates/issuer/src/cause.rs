//! What can be wrong with issuers, Certificates, Gateway annotations and Bundles before anything is issued.
//!
//! A closed list: each variant says how bad it is, what is wrong and which edit mends it. [`Cause::about`] makes the flat [`Finding`]
//! that leaves the crate.

use sealway_api::{Certificate, Issuer, Kind, ObjectKey, ObjectRef};

use crate::bundle::SourceFault;
use crate::keystore::StoreFault;
use crate::plan::{Finding, Severity};
use crate::shim::AnnotationFault;
use crate::validate::{FieldError, foreign_issuer, issuer_warnings, validate_certificate, validate_issuer};

/// Something that is wrong with an object, or worth knowing about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// cert-manager's or trust-manager's webhook would refuse it.
    Refused(FieldError),
    /// cert-manager's webhook would take it with this warning.
    Warned(String),
    /// An issuer that only cert-manager can serve: `acme`, `vault` or `venafi`.
    IssuerForeign(&'static str),
    /// A Gateway whose annotations do not say which issuer; in cert-manager's words.
    GatewayIssuer(String),
    /// A Gateway's annotation that cannot be read: nothing is issued for it.
    GatewayAnnotation(AnnotationFault),
    /// A listener that nothing is issued for.
    ListenerSkipped {
        /// Its place in the Gateway.
        index: usize,
        /// Why.
        errors: Vec<FieldError>,
    },
    /// The manifests have a Certificate of the Secret's name: it counts, whatever the Gateway's annotations say.
    CertificateStands(ObjectKey),
    /// Another Gateway's Certificate has the Secret's name: the names of this one are not in it.
    CertificateOfAnother {
        /// The Certificate.
        certificate: ObjectKey,
        /// Whose it is.
        gateway: ObjectKey,
    },
    /// A Bundle without certificates to write.
    BundleSource(SourceFault),
    /// A source of a Bundle that adds nothing: the text, at this place, holds no PEM.
    BundleTextEmpty(usize),
    /// A Bundle that holds a certificate which has ended.
    BundleExpired(String),
    /// An object that a Bundle would write stands in the manifests, or is issued.
    TargetStands(ObjectRef),
    /// A keystore of a Bundle that cannot be made: `jks` or `pkcs12`.
    TargetFormat(&'static str, StoreFault),
}

impl Cause {
    /// Stable name of the variant.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Warned(_) => "warned",
            Self::IssuerForeign(_) => "issuer-foreign",
            Self::GatewayIssuer(_) => "gateway-issuer",
            Self::GatewayAnnotation(_) => "gateway-annotation",
            Self::ListenerSkipped { .. } => "listener-skipped",
            Self::CertificateStands(_) => "certificate-stands",
            Self::CertificateOfAnother { .. } => "certificate-of-another",
            Self::BundleSource(_) => "bundle-source",
            Self::BundleTextEmpty(_) => "bundle-text-empty",
            Self::BundleExpired(_) => "bundle-expired",
            Self::TargetStands(_) => "target-stands",
            Self::TargetFormat(..) => "target-format",
        }
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Warned(_)
            | Self::ListenerSkipped { .. }
            | Self::CertificateOfAnother { .. }
            | Self::BundleTextEmpty(_)
            | Self::BundleExpired(_) => Severity::Warning,
            Self::CertificateStands(_) | Self::TargetStands(_) => Severity::Note,
            Self::Refused(_)
            | Self::IssuerForeign(_)
            | Self::GatewayIssuer(_)
            | Self::GatewayAnnotation(_)
            | Self::BundleSource(_)
            | Self::TargetFormat(..) => Severity::Error,
        }
    }

    /// Path of the field to blame; empty for the whole object.
    #[must_use]
    pub fn field(&self) -> String {
        match self {
            Self::Refused(error) => error.field.clone(),
            Self::Warned(_) | Self::IssuerForeign(_) => "spec".to_owned(),
            Self::GatewayIssuer(_) => "metadata.annotations".to_owned(),
            Self::GatewayAnnotation(fault) => format!("metadata.annotations[{}]", fault.key),
            Self::ListenerSkipped { index, .. } => format!("spec.listeners[{index}]"),
            Self::BundleTextEmpty(index) => format!("spec.sources[{index}].inLine"),
            Self::BundleSource(_) | Self::BundleExpired(_) => "spec.sources".to_owned(),
            Self::TargetStands(_) => "spec.target".to_owned(),
            Self::TargetFormat(format, _) => format!("spec.target.additionalFormats.{format}"),
            Self::CertificateStands(_) | Self::CertificateOfAnother { .. } => String::new(),
        }
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Refused(error) => error.body(),
            Self::Warned(warning) => warning.clone(),
            Self::IssuerForeign(kind) => {
                format!("{kind} issuers are cert-manager's business: nothing is issued for Certificates that name this one")
            }
            Self::GatewayIssuer(text) => format!("it is not clear who issues for this Gateway: {text}"),
            Self::GatewayAnnotation(fault) => format!("{fault}: nothing is issued for this Gateway"),
            Self::ListenerSkipped { errors, .. } => {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                format!("no certificate is issued for this listener: {}", errors.join("; "))
            }
            Self::CertificateStands(key) => {
                format!("Certificate {key} is among the manifests and counts; the Gateway's annotations do nothing for it")
            }
            Self::CertificateOfAnother { certificate, gateway } => {
                format!("Certificate {certificate} is made for Gateway {gateway}: the hostnames of this one are not in it")
            }
            Self::BundleSource(fault) => fault.to_string(),
            Self::BundleTextEmpty(_) => "there is no certificate in this text: it adds nothing to the bundle".to_owned(),
            Self::BundleExpired(subject) => format!("the bundle holds a certificate that has ended: {subject}"),
            Self::TargetStands(target) => {
                format!("{target} does not come from this Bundle: it is served as it stands, and never overwritten")
            }
            Self::TargetFormat(_, fault) => fault.to_string(),
        }
    }

    /// The edit that mends it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Refused(error) => error.hint.clone(),
            Self::Warned(_) => "take the field out".to_owned(),
            Self::IssuerForeign(_) => {
                "write `ca` with a `secretName`, or `selfSigned: {}`; or let cert-manager issue in a cluster and put \
                                       its Secrets into the manifests"
                    .to_owned()
            }
            Self::GatewayIssuer(_) => {
                "keep one of `cert-manager.io/issuer: NAME` and `cert-manager.io/cluster-issuer: NAME`, the latter alone"
                    .to_owned()
            }
            Self::GatewayAnnotation(fault) => fault.hint(),
            Self::ListenerSkipped { errors, .. } => errors.first()?.hint.clone(),
            Self::CertificateStands(_) => return None,
            Self::CertificateOfAnother { .. } => {
                "give the listeners of this Gateway a `certificateRefs` name of their own, or write one Certificate for both"
                    .to_owned()
            }
            Self::BundleSource(fault) => fault.hint(),
            Self::BundleTextEmpty(_) => "write PEM blocks CERTIFICATE, each line of its own, or take the source out".to_owned(),
            Self::BundleExpired(_) => "take it out of the source: nobody needs to believe it any more".to_owned(),
            Self::TargetStands(target) => format!("take {target} out of the manifests, or rename the Bundle"),
            Self::TargetFormat(..) => "look at the certificates of the sources and at the password".to_owned(),
        })
    }

    /// The same about `object`.
    #[must_use]
    pub fn about(&self, object: ObjectRef) -> Finding {
        Finding {
            severity: self.severity(),
            label: self.label(),
            object,
            field: self.field(),
            message: self.message(),
            hint: self.hint(),
        }
    }
}

/// What is wrong with a Certificate as it is written.
#[must_use]
pub fn certificate_findings(certificate: &Certificate) -> Vec<Finding> {
    let object = ObjectRef::of(Kind::Certificate, &certificate.metadata.key());
    let errors = validate_certificate(certificate);
    errors
        .into_iter()
        .map(|error| Cause::Refused(error).about(object.clone()))
        .collect()
}

/// What is wrong with an Issuer or ClusterIssuer as it is written.
#[must_use]
pub fn issuer_findings(kind: Kind, issuer: &Issuer) -> Vec<Finding> {
    let object = ObjectRef::of(kind, &issuer.metadata.key());
    let refused = validate_issuer(issuer).into_iter().map(Cause::Refused);
    let warned = issuer_warnings(issuer).into_iter().map(Cause::Warned);
    let foreign = foreign_issuer(&issuer.spec).map(Cause::IssuerForeign);
    refused
        .chain(warned)
        .chain(foreign)
        .map(|cause| cause.about(object.clone()))
        .collect()
}
