//! cert-manager's Issuer, ClusterIssuer and Certificate, and trust-manager's Bundle, for machines that have neither.
//!
//! Job: issue and renew what manifests ask for, hand out CA bundles, revoke. [`plan()`] decides, without I/O, clock or chance;
//! `perform` does what was decided (keys, signatures) and says what must be kept; `store` keeps it; a worker drives the three.
//! Invariants: a key is never kept or served without its certificate; a CA's key is on disk before anything that it signed is served.

mod cron;
mod go_text;
mod issued;
mod order;
mod plan;
mod request;
mod settings;

pub use cron::{CronFault, CronReason, Schedule, ZoneFault};
pub use go_text::{DurationFault, GoDuration};
pub use issued::{Attempt, Authority, AuthorityId, Change, Issuance, Issued, IssuedSecret, Revocation};
pub use order::{Action, IssuerUrls, Order, SecretForm, Signer, StoreForm};
pub use plan::{Finding, IssuerStatuses, Overlay, Plan, Severity, plan};
pub use request::{Request, StoredConstraints};
pub use settings::{Behaviour, Settings};
