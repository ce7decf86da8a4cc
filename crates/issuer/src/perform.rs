//! Doing what a plan asks for: keys, signatures, Secrets.
//!
//! Input: an [`Action`], what is there, the time; chance comes from the system. Output: [`Change`]s to keep, in this order. No other I/O:
//! nothing is done until the changes are kept. A certificate that cannot be made becomes a failed [`Attempt`], which the plan waits out.
//! Invariant: the record of a signature stands before the Secret that holds it, so what is served can always be revoked.

use std::sync::Arc;
use std::time::Duration;

use sealway_api::{KeyEncoding, ObjectKey, Secret, SecretBytes, Timestamp};
use thiserror::Error;

use crate::chain::{self, ChainFault};
use crate::facts::Facts;
use crate::issued::{Attempt, Authority, AuthorityId, Change, Issuance, Issued, IssuedSecret};
use crate::keys::{KeyFault, PrivateKey};
use crate::order::{Action, Order, Signer};
use crate::request::Request;
use crate::secret::{self, FormFault};
use crate::x509::{self, SignFault};

/// Why something could not be made.
#[derive(Debug, Error)]
pub enum PerformFault {
    /// Of the key.
    #[error("private key: {0}")]
    Key(#[from] KeyFault),
    /// Of the signature.
    #[error("{0}")]
    Sign(#[from] SignFault),
    /// Of the issuer's chain.
    #[error("chain of the issuer: {0}")]
    Chain(#[from] ChainFault),
    /// Of the Secret's form: keystores, names.
    #[error("{0}")]
    Form(#[from] FormFault),
    /// The issuer's Secret has no certificate, or no key.
    #[error("Secret {secret} of the issuer has no {what}")]
    SignerIncomplete {
        /// The Secret.
        secret: ObjectKey,
        /// `tls.crt` or `tls.key`.
        what: &'static str,
    },
    /// The action names something that is not there any more.
    #[error("{0} is not there any more")]
    Gone(String),
}
