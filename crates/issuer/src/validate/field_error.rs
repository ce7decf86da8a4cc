//! A refusal at one field, in the words of Kubernetes (k8s.io/apimachinery's `field.Error`).

use std::fmt;

use serde::Serialize;

use crate::go_text::{json, quote};

/// A field that is refused; prints as Go's `field.Error` does, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Path, as `spec.privateKey.size`.
    pub field: String,
    /// What is wrong with it.
    pub kind: FieldErrorKind,
    /// The value that is refused, as Go prints it; `None` where the kind does not show it.
    pub value: Option<String>,
    /// More about it; may be empty.
    pub detail: String,
    /// The edit that mends it. Not part of the text.
    pub hint: String,
}

/// See [`FieldError::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// It is there twice.
    Duplicate,
    /// It may not be there together with something else.
    Forbidden,
    /// It is malformed or out of bounds.
    Invalid,
    /// It is none of the values that there are.
    NotSupported,
    /// It is not there.
    Required,
    /// It is too long.
    TooLong,
}

impl fmt::Display for FieldErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::Invalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Required => "Required value",
            Self::TooLong => "Too long",
        })
    }
}

impl FieldError {
    /// Without a value.
    pub(crate) fn new(field: &str, kind: FieldErrorKind, detail: &str, hint: &str) -> Self {
        error(field, kind, None, detail).hint(hint)
    }

    /// For texts of a type of their own.
    pub(crate) fn invalid(field: &str, value: &str, detail: &str, hint: &str) -> Self {
        invalid_value(field, &value, detail).hint(hint)
    }

    /// For texts of a type of their own.
    pub(crate) fn not_supported(field: &str, value: &str, supported: &[&str], hint: &str) -> Self {
        not_supported(field, &value, supported).hint(hint)
    }

    /// Everything behind the field's name.
    #[must_use]
    pub fn body(&self) -> String {
        let value = self.value.as_ref().map(|value| format!(": {value}")).unwrap_or_default();
        let detail = if self.detail.is_empty() {
            String::new()
        } else {
            format!(": {}", self.detail)
        };
        format!("{}{value}{detail}", self.kind)
    }

    /// The same with the edit that mends it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.body())
    }
}

fn error(field: &str, kind: FieldErrorKind, value: Option<String>, detail: impl Into<String>) -> FieldError {
    FieldError {
        field: field.to_owned(),
        kind,
        value,
        detail: detail.into(),
        hint: String::new(),
    }
}

pub(super) fn required(field: &str, detail: &str) -> FieldError {
    error(field, FieldErrorKind::Required, None, detail)
}

pub(super) fn forbidden(field: &str, detail: impl Into<String>) -> FieldError {
    error(field, FieldErrorKind::Forbidden, None, detail)
}

/// For values of Go's type `string`.
pub(super) fn invalid(field: &str, value: &str, detail: impl Into<String>) -> FieldError {
    error(field, FieldErrorKind::Invalid, Some(quote(value)), detail)
}

/// For values of other types: they print as JSON.
pub(super) fn invalid_value(field: &str, value: &impl Serialize, detail: impl Into<String>) -> FieldError {
    error(field, FieldErrorKind::Invalid, Some(json(value)), detail)
}

pub(super) fn not_supported(field: &str, value: &impl Serialize, supported: &[&str]) -> FieldError {
    let supported: Vec<String> = supported.iter().map(|value| quote(value)).collect();
    error(
        field,
        FieldErrorKind::NotSupported,
        Some(json(value)),
        format!("supported values: {}", supported.join(", ")),
    )
}

pub(super) fn duplicate(field: &str, value: &str) -> FieldError {
    error(field, FieldErrorKind::Duplicate, Some(quote(value)), "")
}

pub(super) fn too_long(field: &str, limit: usize) -> FieldError {
    error(
        field,
        FieldErrorKind::TooLong,
        None,
        format!("may not be more than {limit} bytes"),
    )
}
