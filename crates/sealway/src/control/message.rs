//! What goes over the control socket: one line each way.
//!
//! Invariant: a line of a version that is not known here is refused, not guessed at.

use sealway_issuer::{RenewRefusal, Renewed, RevokeRefusal, Revoked};
use serde::{Deserialize, Serialize};

/// What is asked for, with the version of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Question {
    version: u32,
    #[serde(flatten)]
    asked: Asked,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub(crate) enum Asked {
    /// Issue the certificate of a Certificate anew.
    Renew { namespace: String, name: String },
    /// Take a certificate back; `reason` as in RFC 5280 section 5.3.1, empty for none.
    Revoke { serial: String, reason: String },
}

impl Question {
    /// In the version of this program.
    pub(crate) fn new(asked: Asked) -> Self {
        Self { version: VERSION, asked }
    }

    /// Reads a line.
    pub(super) fn read(line: &str) -> Result<Asked, Refused> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Ok(Versioned { version }) = serde_json::from_str(line) else {
            return Err(Refused::malformed());
        };
        if version != VERSION {
            return Err(Refused::version(version));
        }
        serde_json::from_str(line)
            .map(|question: Self| question.asked)
            .map_err(|_| Refused::malformed())
    }

    /// As it is sent.
    pub(crate) fn line(&self) -> String {
        // Text has no way to fail.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

/// What came of it, with the version of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    version: u32,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// There is a new certificate. Names are `namespace/name`.
    Renewed {
        certificate: String,
        secret: String,
        revision: u64,
        serial: String,
    },
    /// It is taken back; `listed`: its CA's list says so already.
    Revoked {
        serial: String,
        certificate: String,
        authority: String,
        listed: bool,
    },
    /// Nothing was done.
    Refused(Refused),
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    /// Stable name of the reason.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Answer {
    fn new(outcome: Outcome) -> Self {
        Self {
            version: VERSION,
            outcome,
        }
    }

    pub(crate) fn refused(refused: Refused) -> Self {
        Self::new(Outcome::Refused(refused))
    }

    pub(crate) fn renewed(done: &Result<Renewed, RenewRefusal>) -> Self {
        Self::new(match done {
            Ok(renewed) => Outcome::Renewed {
                certificate: renewed.certificate.to_string(),
                secret: renewed.secret.to_string(),
                revision: renewed.revision,
                serial: renewed.serial.clone(),
            },
            Err(refusal) => {
                let code = match refusal {
                    RenewRefusal::NotFound { .. } => "not-found",
                    RenewRefusal::Carried { .. } => "carried",
                    RenewRefusal::ForeignIssuer { .. } => "foreign-issuer",
                    RenewRefusal::Waiting { .. } => "waiting",
                    RenewRefusal::NotKept(_) => "not-kept",
                };
                Outcome::Refused(Refused::new(code, refusal, refusal.hint()))
            }
        })
    }

    pub(crate) fn revoked(done: &Result<Revoked, RevokeRefusal>) -> Self {
        Self::new(match done {
            Ok(revoked) => Outcome::Revoked {
                serial: revoked.serial.clone(),
                certificate: revoked.certificate.to_string(),
                authority: revoked.authority.to_string(),
                listed: revoked.is_listed,
            },
            Err(refusal) => {
                let code = match refusal {
                    RevokeRefusal::NotFound { .. } => "not-found",
                    RevokeRefusal::NotOurs { .. } => "not-ours",
                    RevokeRefusal::SelfSigned { .. } => "self-signed",
                    RevokeRefusal::ListsOff => "lists-off",
                    RevokeRefusal::NoKey { .. } => "no-key",
                    RevokeRefusal::NotListed { .. } => "not-listed",
                    RevokeRefusal::AlreadyRevoked { .. } => "already-revoked",
                    RevokeRefusal::Reason { .. } => "reason",
                    RevokeRefusal::NotKept(_) => "not-kept",
                };
                Outcome::Refused(Refused::new(code, refusal, refusal.hint()))
            }
        })
    }

    /// As it is sent.
    pub(super) fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

impl Refused {
    pub(crate) fn new(code: &str, message: impl ToString, hint: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.to_string(),
            hint: hint.into(),
        }
    }

    fn malformed() -> Self {
        let message = "a line of JSON was expected: {\"version\":1,\"command\":\"renew\",\"namespace\":…,\"name\":…} or so";
        Self::new("malformed", message, "use `sealway certs`")
    }

    fn version(version: u32) -> Self {
        let message = format!("version {version} of the control protocol is not known here, but {VERSION} is");
        Self::new(
            "version",
            message,
            "use the `sealway` that is of the same version as the one that runs",
        )
    }

    /// An answer to another question.
    pub(crate) fn strange() -> Self {
        Self::new(
            "strange",
            "the gateway answers something else",
            "use the `sealway` that is of the same version as the one that runs",
        )
    }

    /// Only the gateway's own user is heard.
    pub(super) fn other_user() -> Self {
        Self::new(
            "other-user",
            "the gateway runs as another user",
            "ask as that user, for instance with `sudo -u USER`",
        )
    }

    /// The issuer is at something else.
    pub(super) fn busy() -> Self {
        let message = "the issuer did not answer in time; it may still do what was asked";
        Self::new("busy", message, "look with `sealway certs list`, and at the log")
    }

    /// The issuer has ended, or the process is about to.
    pub(super) fn gone() -> Self {
        Self::new("gone", "the gateway is ending", "try again once it runs")
    }
}

const VERSION: u32 = 1;
