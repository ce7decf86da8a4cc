//! cert-manager's Issuer, ClusterIssuer and Certificate, and trust-manager's Bundle, for machines that have neither.
//!
//! Job: issue and renew what manifests ask for, hand out CA bundles, revoke. [`plan()`] decides, without I/O, clock or chance;
//! `perform` does what was decided (keys, signatures) and says what must be kept; `store` keeps it; a worker drives the three.
//! Invariants: a key is never kept or served without its certificate; a CA's key is on disk before anything that it signed is served.

mod bundle;
mod cause;
mod chain;
mod cron;
mod digits;
mod export;
mod facts;
mod go_text;
mod hook;
mod issued;
mod keys;
pub mod keystore;
#[cfg(test)]
mod manifests;
mod nearest;
mod order;
mod pem;
mod perform;
mod plan;
mod request;
pub mod secret;
mod settings;
mod shim;
mod store;
mod subject;
mod usages;
mod validate;
mod worker;
mod x509;

pub use bundle::{Bundles, PoolFault, SourceFault, bundles};
pub use cause::{Cause, certificate_findings, issuer_findings};
pub use chain::{ChainBundle, ChainFault, bundle, read_authority, read_chain, self_signed};
pub use cron::{CronFault, CronReason, Schedule, ZoneFault};
pub use digits::{hexadecimal, read_serial, serial_digits};
pub use export::{Export, ExportFault, Exported};
pub use facts::{Facts, FactsFault};
pub use go_text::{DurationFault, GoDuration};
pub use hook::{Hook, HookFault, HookRunner, Switch};
pub use issued::{Attempt, Authority, AuthorityId, Change, Issuance, Issued, IssuedSecret, Revocation};
pub use keys::{KeyFault, PrivateKey, RSA_SIZES};
pub use nearest::nearest;
pub use order::{Action, IssuerUrls, Order, SecretForm, Signer, StoreForm};
pub use pem::write as write_pem;
pub use perform::{PerformFault, perform};
pub use plan::{Finding, IssuerStatuses, Overlay, Plan, Severity, plan};
pub use request::{Request, RequestFault, StoredConstraints, go_duration};
pub use settings::{Behaviour, Settings};
pub use shim::{AnnotationFault, AnnotationReason, Shim, gateway_certificates};
pub use store::{Damage, OpenFault, Store, Unreadable, WriteFault};
pub use subject::{Attribute, SubjectParts, literal_subject, subject};
pub use validate::{
    FieldError, FieldErrorKind, foreign_issuer, issuer_warnings, validate_bundle, validate_certificate, validate_issuer,
};
pub use worker::{Command, Keeping, Made, Outlook, RenewRefusal, Renewed, RevokeRefusal, Revoked, Worker, run};
pub use x509::{CertificateParts, SignFault, SigningKey, certificate, revocation_list, serial};
