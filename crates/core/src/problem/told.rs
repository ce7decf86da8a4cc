//! What another part of the process has found: the embedded issuer, whose own closed enum has given code, words and hint.

use super::Severity;

/// A finding of another part, as [`super::Cause::Told`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// How bad it is.
    pub severity: Severity,
    /// Stable identifier, as `certificate-expires`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What mends it.
    pub hint: Option<String>,
}
