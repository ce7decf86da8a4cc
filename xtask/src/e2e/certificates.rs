//! What the embedded issuer makes, judged by others.

pub(crate) mod article;
pub(crate) mod rollover;
