//! Everything that Sealway finds wrong, as one closed enum.
//!
//! Job: own severity, code, message and hint of every refusal, so that conditions, `check`, Events and logs print the same words.
//! Input: who found what, where. Output: a [`Problem`]. Invariant: no message ever contains a value from a Secret.

use std::fmt;

use sealway_api::ObjectRef;
use serde::Serialize;
use serde::ser::SerializeStruct;

mod cause;
mod flaw;
mod hint;
mod kind;
mod message;
mod reason;
pub(crate) mod text;
mod told;

pub use cause::{Cause, NoEndpoint};
pub use flaw::{AuthorityFlaw, CertificateFlaw, ListFault, OcspFault};
pub use told::Told;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The object to blame; `None` when the document could not be read that far.
    pub object: Option<ObjectRef>,
    /// Path of the field to blame, as in `spec.listeners[1].port`; empty: the whole object.
    pub field: String,
    /// Where that stands; `None` outside files, or until a provider has looked it up.
    pub location: Option<Location>,
    /// What is wrong.
    pub cause: Cause,
}

impl Problem {
    /// A problem of an object's field.
    pub fn new(object: ObjectRef, field: impl Into<String>, cause: Cause) -> Self {
        Self {
            object: Some(object),
            field: field.into(),
            location: None,
            cause,
        }
    }

    /// A problem of a place in a file.
    #[must_use]
    pub fn at(location: Location, object: Option<ObjectRef>, cause: Cause) -> Self {
        Self {
            object,
            field: String::new(),
            location: Some(location),
            cause,
        }
    }

    /// Order for people: root causes before what follows from them, then by object and field.
    pub fn sort(problems: &mut [Self]) {
        problems.sort_by(|one, two| {
            (one.cause.rank(), &one.object, &one.location, &one.field, &one.cause).cmp(&(
                two.cause.rank(),
                &two.object,
                &two.location,
                &two.field,
                &two.cause,
            ))
        });
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(formatter, "{location}: ")?;
        }
        if let Some(object) = &self.object {
            write!(formatter, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(formatter, "{}: ", self.field)?;
        }
        write!(formatter, "{}", self.cause.message())
    }
}

/// `{severity, code, object, field, location, message, hint}`: the shape that `check -o json` and the admin API give out.
impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Problem", 7)?;
        fields.serialize_field("severity", &self.cause.severity())?;
        fields.serialize_field("code", self.cause.code())?;
        fields.serialize_field("object", &self.object)?;
        fields.serialize_field("field", &self.field)?;
        fields.serialize_field("location", &self.location)?;
        fields.serialize_field("message", &self.cause.message())?;
        fields.serialize_field("hint", &self.cause.hint())?;
        fields.end()
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// As it was given on the command line; `-` for standard input.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something that was asked for is not served.
    Error,
    /// Accepted, but it cannot be meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}
