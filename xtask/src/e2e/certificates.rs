//! What the embedded issuer makes, judged by others.

pub(crate) mod article;
